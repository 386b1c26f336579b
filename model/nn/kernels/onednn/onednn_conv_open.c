/* Primitives of a convolution, the layouts they want, and what lies where in scratch. */
#include "model/nn/kernels/onednn/onednn_conv_private.h"

#include "io/alloc.h"
#include "model/nn/kernels/onednn/onednn_isa.h"

enum { MANY_PIXELS = 4096 };

static void pass_close(pass *p) {
    dnnl_memory_destroy(p->scratch);
    dnnl_primitive_destroy(p->primitive);
}

static void relay_close(relay *r) {
    dnnl_memory_destroy(r->other);
    pass_close(&r->reorder);
}

static void product_close(product_pass *p) {
    dnnl_memory_destroy(p->in_memory);
    dnnl_memory_destroy(p->out_memory);
    pass_close(&p->pass);
}

void onednn_conv_close(onednn_conv *c) {
    if (!c) return;
    product_close(&c->forward);
    product_close(&c->backward_data);
    product_close(&c->backward_weights);
    relay_close(&c->forward_weights);
    relay_close(&c->data_weights);
    relay_close(&c->weights_gradient);
    dnnl_memory_t memories[] = {c->weight, c->turned, c->bias, c->dbias};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        dnnl_memory_destroy(memories[i]);
    dnnl_stream_destroy(c->stream);
    dnnl_engine_destroy(c->engine);
    free(c->no_bias);
    free(c);
}

static void pass_arg(pass *p, int role, dnnl_memory_t memory) {
    p->args[p->count++] = (dnnl_exec_arg_t){role, memory};
}

/* The primitive of a description. All passes share the beginning of scratch. */
static status pass_open(onednn_conv *c, pass *p, const_dnnl_primitive_desc_t description,
                        const char *what) {
    status st;
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    int64_t bytes = (int64_t)dnnl_memory_desc_get_size(scratch);
    if (bytes > c->passes_bytes) c->passes_bytes = bytes;
    TRY(check(&c->shape, what, dnnl_primitive_create(&p->primitive, description)));
    TRY(check(&c->shape, what,
              dnnl_memory_create(&p->scratch, scratch, c->engine, DNNL_MEMORY_NONE)));
    pass_arg(p, DNNL_ARG_SCRATCHPAD, p->scratch);
done:
    return st;
}

/* r->other in `layout`, and the reorder from `plain` to it or, back, from it to plain. */
static status relay_open(onednn_conv *c, relay *r, const dnnl_memory_desc_t *layout,
                         dnnl_memory_t plain, bool back, dnnl_primitive_attr_t attributes) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    const dnnl_memory_desc_t *from;
    TRY(check(&c->shape, "layout",
              dnnl_memory_create(&r->other, layout, c->engine, DNNL_MEMORY_NONE)));
    TRY(check(&c->shape, "layout", dnnl_memory_get_memory_desc(plain, &from)));
    TRY(check(&c->shape, "reorder",
              dnnl_reorder_primitive_desc_create(&description, back ? layout : from, c->engine,
                                                 back ? from : layout, c->engine, attributes)));
    TRY(pass_open(c, &r->reorder, description, "reorder"));
    pass_arg(&r->reorder, DNNL_ARG_FROM, back ? r->other : plain);
    pass_arg(&r->reorder, DNNL_ARG_TO, back ? plain : r->other);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* Everything oneDNN wants to know: memory descriptions and paddings. */
typedef struct geometry {
    dnnl_memory_desc_t x, y, dx, dy, weight, dweight, bias; /* weights in any layout */
    dnnl_dims_t stride, before, after;
    dnnl_data_type_t product; /* type of what is multiplied */
    dnnl_primitive_attr_t attributes;
} geometry;

/* The type that a product writes into a map: rounding to bf16 is the staging's where products are
 * of f32 numbers. */
static dnnl_data_type_t type_of(const onednn_conv *c, tensor_type t) {
    return c->low && t == TYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* x and y, in blocks or nhwc. */
static status geometry_maps(const onednn_conv *c, geometry *g, bool blocks) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_format_tag_t tag = !blocks ? dnnl_nhwc : cpu_has(CPU_AVX512) ? dnnl_nChw16c : dnnl_nChw8c;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    dnnl_dims_t x = {s->batch, s->in, s->height, s->width}, y = {s->batch, s->out, yh, yw};
    TRY(check(s, "x", dnnl_memory_desc_init_by_tag(&g->x, 4, x, g->product, tag)));
    TRY(check(s, "dx", dnnl_memory_desc_init_by_tag(&g->dx, 4, x, type_of(c, s->x), tag)));
    TRY(check(s, "y", dnnl_memory_desc_init_by_tag(&g->y, 4, y, type_of(c, s->y), tag)));
    TRY(check(s, "dy", dnnl_memory_desc_init_by_tag(&g->dy, 4, y, g->product, tag)));
done:
    return st;
}

static status geometry_open(const onednn_conv *c, geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    int64_t pad = s->kernel / 2;
    dnnl_dims_t weight = {s->out, s->in, s->kernel, s->kernel}, bias = {s->out};
    *g = (geometry){.product = c->low ? dnnl_bf16 : dnnl_f32};
    TRY(check(
        s, "weights",
        dnnl_memory_desc_init_by_tag(&g->weight, 4, weight, g->product, dnnl_format_tag_any)));
    TRY(check(s, "weights",
              dnnl_memory_desc_init_by_tag(&g->dweight, 4, weight, dnnl_f32, dnnl_format_tag_any)));
    TRY(check(s, "bias", dnnl_memory_desc_init_by_tag(&g->bias, 1, bias, dnnl_f32, dnnl_x)));
    g->stride[0] = g->stride[1] = s->stride;
    g->before[0] = g->before[1] = pad;
    g->after[0] = (yh - 1) * s->stride + s->kernel - s->height - pad;
    g->after[1] = (yw - 1) * s->stride + s->kernel - s->width - pad;
    TRY(check(s, "attributes", dnnl_primitive_attr_create(&g->attributes)));
    TRY(check(s, "attributes",
              dnnl_primitive_attr_set_scratchpad_mode(g->attributes, dnnl_scratchpad_mode_user)));
done:
    return st;
}

/* Which products take blocks of channels: see the head of conv_dnnl.c. */
static bool takes_blocks(const onednn_conv *c, bool weights_gradient) {
    const conv_shape *s = &c->shape;
    int64_t width = cpu_has(CPU_AVX512) ? 16 : 8;
    if (c->low || s->kernel == 1 || s->in % width != 0 || s->out % width != 0) return false;
    return !cpu_has(CPU_AVX512) || (weights_gradient && s->height * s->width >= MANY_PIXELS);
}

/* How a map of the caller comes to a product (reads) or from it. */
static staging staging_of(const onednn_conv *c, tensor_type type, int64_t pixels, int64_t channels,
                          bool blocks, bool reads) {
    bool other = c->low ? reads && type == TYPE_F32 : type == TYPE_BF16 || (c->alike && reads);
    int64_t width = !blocks ? channels : cpu_has(CPU_AVX512) ? 16 : 8;
    return (staging){.kind = c->low && other   ? STAGING_NARROW
                             : blocks || other ? STAGING_BLOCKS
                                               : STAGING_NONE,
                     .shape = {type, c->shape.batch, pixels, channels, width},
                     .rounded = c->alike};
}

/* The maps of a product that reads `in` or `out` or both. */
static status open_maps(onednn_conv *c, product_pass *p, bool blocks, const dnnl_memory_desc_t *in,
                        bool reads_in, const dnnl_memory_desc_t *out, bool reads_out) {
    status st;
    const conv_shape *s = &c->shape;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    p->in = staging_of(c, s->x, s->height * s->width, s->in, blocks, reads_in);
    p->out = staging_of(c, s->y, yh * yw, s->out, blocks, reads_out);
    TRY(check(s, "memory", dnnl_memory_create(&p->in_memory, in, c->engine, DNNL_MEMORY_NONE)));
    TRY(check(s, "memory", dnnl_memory_create(&p->out_memory, out, c->engine, DNNL_MEMORY_NONE)));
done:
    return st;
}

/* Describes the forward convolution of g from x to y, with a bias unless it is NULL. */
static status describe_forward(onednn_conv *c, const geometry *g, const dnnl_memory_desc_t *bias,
                               dnnl_primitive_desc_t *out) {
    status st;
    dnnl_convolution_desc_t d;
    TRY(check(&c->shape, "forward description",
              dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct,
                                                 &g->x, &g->weight, bias, &g->y, g->stride,
                                                 g->before, g->after)));
    TRY(check(&c->shape, "forward description",
              dnnl_primitive_desc_create(out, &d, g->attributes, c->engine, NULL)));
done:
    return st;
}

static status open_forward(onednn_conv *c, const geometry *g,
                           const_dnnl_primitive_desc_t description) {
    status st;
    pass *p = &c->forward.pass;
    TRY(open_maps(c, &c->forward, takes_blocks(c, false), &g->x, true, &g->y, false));
    TRY(pass_open(c, p, description, "forward"));
    TRY(relay_open(c, &c->forward_weights,
                   dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->weight,
                   false, g->attributes));
    pass_arg(p, DNNL_ARG_SRC, c->forward.in_memory);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->forward_weights.other);
    pass_arg(p, DNNL_ARG_BIAS, c->bias);
    pass_arg(p, DNNL_ARG_DST, c->forward.out_memory);
done:
    return st;
}

/* The data gradient with stride 1: dx = dy * turned weights. */
static status open_data_turned(onednn_conv *c, const geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_primitive_desc_t description = NULL;
    dnnl_memory_desc_t plain;
    dnnl_dims_t turned = {s->in, s->out, s->kernel, s->kernel};
    geometry back = *g;
    pass *p = &c->backward_data.pass;
    back.x = g->dy, back.y = g->dx;
    TRY(check(
        s, "weights",
        dnnl_memory_desc_init_by_tag(&back.weight, 4, turned, g->product, dnnl_format_tag_any)));
    TRY(check(s, "weights", dnnl_memory_desc_init_by_tag(&plain, 4, turned, dnnl_f32, dnnl_oihw)));
    TRY(check(s, "weights", dnnl_memory_create(&c->turned, &plain, c->engine, DNNL_MEMORY_NONE)));
    TRY(describe_forward(c, &back, NULL, &description));
    TRY(pass_open(c, p, description, "backward data"));
    TRY(relay_open(c, &c->data_weights,
                   dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->turned,
                   false, g->attributes));
    pass_arg(p, DNNL_ARG_SRC, c->backward_data.out_memory);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.other);
    pass_arg(p, DNNL_ARG_DST, c->backward_data.in_memory);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

static status open_data(onednn_conv *c, const geometry *g, const_dnnl_primitive_desc_t forward) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    pass *p = &c->backward_data.pass;
    TRY(check(&c->shape, "backward data description",
              dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &g->dx,
                                                       &g->weight, &g->dy, g->stride, g->before,
                                                       g->after)));
    TRY(check(&c->shape, "backward data description",
              dnnl_primitive_desc_create(&description, &d, g->attributes, c->engine, forward)));
    TRY(pass_open(c, p, description, "backward data"));
    TRY(relay_open(c, &c->data_weights,
                   dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->weight,
                   false, g->attributes));
    pass_arg(p, DNNL_ARG_DIFF_DST, c->backward_data.out_memory);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.other);
    pass_arg(p, DNNL_ARG_DIFF_SRC, c->backward_data.in_memory);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

static status open_weights_gradient(onednn_conv *c, const geometry *g,
                                    const_dnnl_primitive_desc_t forward) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    dnnl_post_ops_t add = NULL;
    dnnl_primitive_attr_t adding = NULL;
    geometry of = *g;
    pass *p = &c->backward_weights.pass;
    bool blocks = takes_blocks(c, true);
    TRY(geometry_maps(c, &of, blocks));
    TRY(open_maps(c, &c->backward_weights, blocks, &of.x, true, &of.dy, true));
    if (blocks) forward = NULL; /* only a hint, and it may be about another layout */
    TRY(check(&c->shape, "backward weights description",
              dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &of.x,
                                                          &of.dweight, &of.bias, &of.dy, of.stride,
                                                          of.before, of.after)));
    TRY(check(&c->shape, "backward weights description",
              dnnl_primitive_desc_create(&description, &d, g->attributes, c->engine, forward)));
    TRY(pass_open(c, p, description, "backward weights"));
    TRY(check(&c->shape, "addition", dnnl_primitive_attr_clone(&adding, g->attributes)));
    TRY(check(&c->shape, "addition", dnnl_post_ops_create(&add)));
    TRY(check(&c->shape, "addition", dnnl_post_ops_append_sum(add, 1)));
    TRY(check(&c->shape, "addition", dnnl_primitive_attr_set_post_ops(adding, add)));
    TRY(relay_open(c, &c->weights_gradient,
                   dnnl_primitive_desc_query_md(description, dnnl_query_diff_weights_md, 0),
                   c->weight, true, adding));
    pass_arg(p, DNNL_ARG_SRC, c->backward_weights.in_memory);
    pass_arg(p, DNNL_ARG_DIFF_DST, c->backward_weights.out_memory);
    pass_arg(p, DNNL_ARG_DIFF_WEIGHTS, c->weights_gradient.other);
    pass_arg(p, DNNL_ARG_DIFF_BIAS, c->dbias);
done:
    dnnl_primitive_attr_destroy(adding);
    dnnl_post_ops_destroy(add);
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* Engine, stream and the memory objects that stand for other people's arrays. */
static status open_memories(onednn_conv *c, const geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_dims_t dims = {s->out, s->in, s->kernel, s->kernel};
    dnnl_memory_desc_t plain;
    TRY(check(s, "weights", dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw)));
    const struct {
        dnnl_memory_t *memory;
        const dnnl_memory_desc_t *layout;
    } all[] = {{&c->weight, &plain}, {&c->bias, &g->bias}, {&c->dbias, &g->bias}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        TRY(check(s, "memory",
                  dnnl_memory_create(all[i].memory, all[i].layout, c->engine, DNNL_MEMORY_NONE)));
    TRY(array_alloc(&c->no_bias, s->out, sizeof(float), "bias"));
done:
    return st;
}

/* Hands out `bytes` of scratch. */
static int64_t reserve(onednn_conv *c, int64_t bytes) {
    int64_t at = c->bytes;
    c->bytes += whole_lines(bytes);
    return at;
}

/* Products run one after the other: their copies may lie in the same place. */
static void lay_out_staging(onednn_conv *c) {
    product_pass *all[] = {&c->forward, &c->backward_data, &c->backward_weights};
    int64_t in = 0, out = 0;
    for (int i = 0; i < 3; i++) {
        if (staging_bytes(&all[i]->in) > in) in = staging_bytes(&all[i]->in);
        if (staging_bytes(&all[i]->out) > out) out = staging_bytes(&all[i]->out);
    }
    int64_t in_at = reserve(c, in), out_at = reserve(c, out);
    for (int i = 0; i < 3; i++) all[i]->in.at = in_at, all[i]->out.at = out_at;
}

static void lay_out_scratch(onednn_conv *c, bool training) {
    reserve(c, c->passes_bytes);
    lay_out_staging(c);
    c->rounded_at = reserve(c, c->alike ? bytes_of(c->weight) : 0);
    if (!training) return;
    c->dw_at = reserve(c, bytes_of(c->weights_gradient.other));
    c->db_at = reserve(c, bytes_of(c->dbias));
    c->data_at = reserve(c, c->turned ? bytes_of(c->data_weights.other) : 0);
    c->turned_at = reserve(c, bytes_of(c->turned));
}

/* Backward, beginning with an open forward product. */
static status open_training(onednn_conv *c, const geometry *g, const_dnnl_primitive_desc_t forward,
                            bool by_weights) {
    status st;
    const conv_shape *s = &c->shape;
    TRY(open_maps(c, &c->backward_data, takes_blocks(c, false), &g->dx, false, &g->dy, true));
    if (s->stride == 1 && (c->low ? cpu_has(CPU_AMX) : cpu_has(CPU_AVX512)))
        TRY(open_data_turned(c, g));
    else
        TRY(open_data(c, g, forward));
    if (!by_weights) goto done;
    if (gradient_is_product(c)) {
        c->backward_weights.in = staging_of(c, s->x, s->height * s->width, s->in, false, true);
        c->backward_weights.out = staging_of(c, s->y, s->height * s->width, s->out, false, true);
    } else {
        TRY(open_weights_gradient(c, g, forward));
    }
done:
    return st;
}

status onednn_conv_open(const conv_shape *shape, bool by_data, bool by_weights, onednn_conv **out) {
    status st;
    geometry g = {0};
    dnnl_primitive_desc_t forward = NULL;
    onednn_conv *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    c->shape = *shape;
    c->low = conv_of_bf16(shape) && cpu_prefers_bf16();
    c->alike = conv_of_bf16(shape) && !c->low;
    /* The same thing on a single pixel. */
    if (shape->height == 1 && shape->width == 1) c->shape.stride = 1;
    if (c->low && by_weights && shape->width == 1 && c->shape.stride == 2) {
        st =
            status_fail(ST_USAGE, "the weight gradient of oneDNN 2.6 is wrong in bf16 for stride 2 "
                                  "over maps one pixel wide; use train.precision: f32");
        goto done;
    }
    TRY(geometry_open(c, &g));
    TRY(check(shape, "engine", dnnl_engine_create(&c->engine, dnnl_cpu, 0)));
    TRY(check(shape, "stream",
              dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags)));
    TRY(open_memories(c, &g));
    TRY(geometry_maps(c, &g, takes_blocks(c, false)));
    TRY(describe_forward(c, &g, &g.bias, &forward));
    TRY(open_forward(c, &g, forward));
    if (by_data) TRY(open_training(c, &g, forward, by_weights));
    lay_out_scratch(c, by_data);
    *out = c;
    c = NULL;
done:
    dnnl_primitive_desc_destroy(forward);
    dnnl_primitive_attr_destroy(g.attributes);
    onednn_conv_close(c);
    return st;
}
