/* Creation of a convolution by oneDNN: its primitives, the layouts they choose, and the layout of
 * scratch. onednn_conv.c gives the reasons for the choices. */
#include "model/nn/kernels/onednn/onednn_conv_private.h"

#include "io/alloc.h"
#include "model/nn/kernels/cpu.h"

enum { MANY_PIXELS = 4096 };

static void call_close(primitive_call *p) {
    dnnl_memory_destroy(p->scratch);
    dnnl_primitive_destroy(p->primitive);
}

static void reordered_close(reordered_weights *r) {
    dnnl_memory_destroy(r->memory);
    call_close(&r->reorder);
}

static void product_close(conv_product *p) {
    dnnl_memory_destroy(p->in_memory);
    dnnl_memory_destroy(p->out_memory);
    call_close(&p->call);
}

void onednn_conv_close(onednn_conv *c) {
    if (!c) return;
    product_close(&c->forward);
    product_close(&c->backward_data);
    product_close(&c->backward_weights);
    reordered_close(&c->forward_weights);
    reordered_close(&c->data_weights);
    reordered_close(&c->weight_gradient);
    dnnl_memory_t memories[] = {c->weight, c->flipped, c->bias, c->dbias};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++)
        dnnl_memory_destroy(memories[i]);
    dnnl_stream_destroy(c->stream);
    dnnl_engine_destroy(c->engine);
    free(c->no_bias);
    free(c);
}

static void call_arg(primitive_call *p, int role, dnnl_memory_t memory) {
    p->args[p->count++] = (dnnl_exec_arg_t){role, memory};
}

/* Creates the primitive of a description. All primitives share the beginning of scratch. */
static status call_open(onednn_conv *c, primitive_call *p, const_dnnl_primitive_desc_t description,
                        const char *what) {
    status st;
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0);
    int64_t bytes = (int64_t)dnnl_memory_desc_get_size(scratch);
    c->primitives_bytes = max_i64(c->primitives_bytes, bytes);
    TRY(check(&c->shape, what, dnnl_primitive_create(&p->primitive, description)));
    TRY(check(&c->shape, what,
              dnnl_memory_create(&p->scratch, scratch, c->engine, DNNL_MEMORY_NONE)));
    call_arg(p, DNNL_ARG_SCRATCHPAD, p->scratch);
done:
    return st;
}

/* Creates r->memory with a layout, and the reorder from `plain` to it or, if back is set, from it
 * to `plain`. */
static status reordered_open(onednn_conv *c, reordered_weights *r, const dnnl_memory_desc_t *layout,
                             dnnl_memory_t plain, bool back, dnnl_primitive_attr_t attributes) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    const dnnl_memory_desc_t *from;
    TRY(check(&c->shape, "layout",
              dnnl_memory_create(&r->memory, layout, c->engine, DNNL_MEMORY_NONE)));
    TRY(check(&c->shape, "layout", dnnl_memory_get_memory_desc(plain, &from)));
    TRY(check(&c->shape, "reorder",
              dnnl_reorder_primitive_desc_create(&description, back ? layout : from, c->engine,
                                                 back ? from : layout, c->engine, attributes)));
    TRY(call_open(c, &r->reorder, description, "reorder"));
    call_arg(&r->reorder, DNNL_ARG_FROM, back ? r->memory : plain);
    call_arg(&r->reorder, DNNL_ARG_TO, back ? plain : r->memory);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* The arguments of oneDNN's descriptions. The weights' layouts are any, for oneDNN to choose. */
typedef struct geometry {
    dnnl_memory_desc_t x, y, dx, dy, weight, dweight, bias;
    dnnl_dims_t stride, padding_before, padding_after;
    dnnl_data_type_t product_type; /* of the numbers that are multiplied */
    dnnl_primitive_attr_t attributes;
} geometry;

/* The type in which a product writes an activation. Where products are of f32 numbers, it is f32,
 * and staging rounds to bf16. */
static dnnl_data_type_t result_type(const onednn_conv *c, tensor_type t) {
    return c->bf16_products && t == TYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* Describes x, y and their gradients, in blocks or nhwc. */
static status geometry_activations(const onednn_conv *c, geometry *g, bool blocks) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_format_tag_t tag = !blocks ? dnnl_nhwc : cpu_has(CPU_AVX512) ? dnnl_nChw16c : dnnl_nChw8c;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    dnnl_dims_t x = {s->batch, s->in, s->height, s->width}, y = {s->batch, s->out, yh, yw};
    TRY(check(s, "x", dnnl_memory_desc_init_by_tag(&g->x, 4, x, g->product_type, tag)));
    TRY(check(s, "dx", dnnl_memory_desc_init_by_tag(&g->dx, 4, x, result_type(c, s->x), tag)));
    TRY(check(s, "y", dnnl_memory_desc_init_by_tag(&g->y, 4, y, result_type(c, s->y), tag)));
    TRY(check(s, "dy", dnnl_memory_desc_init_by_tag(&g->dy, 4, y, g->product_type, tag)));
done:
    return st;
}

static status geometry_open(const onednn_conv *c, geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    int64_t pad = s->kernel / 2;
    dnnl_dims_t weight = {s->out, s->in, s->kernel, s->kernel}, bias = {s->out};
    *g = (geometry){.product_type = c->bf16_products ? dnnl_bf16 : dnnl_f32};
    TRY(check(
        s, "weights",
        dnnl_memory_desc_init_by_tag(&g->weight, 4, weight, g->product_type, dnnl_format_tag_any)));
    TRY(check(s, "weights",
              dnnl_memory_desc_init_by_tag(&g->dweight, 4, weight, dnnl_f32, dnnl_format_tag_any)));
    TRY(check(s, "bias", dnnl_memory_desc_init_by_tag(&g->bias, 1, bias, dnnl_f32, dnnl_x)));
    g->stride[0] = g->stride[1] = s->stride;
    g->padding_before[0] = g->padding_before[1] = pad;
    g->padding_after[0] = (yh - 1) * s->stride + s->kernel - s->height - pad;
    g->padding_after[1] = (yw - 1) * s->stride + s->kernel - s->width - pad;
    TRY(check(s, "attributes", dnnl_primitive_attr_create(&g->attributes)));
    TRY(check(s, "attributes",
              dnnl_primitive_attr_set_scratchpad_mode(g->attributes, dnnl_scratchpad_mode_user)));
done:
    return st;
}

/* Width of a block of channels. */
static int64_t block_width(void) { return cpu_has(CPU_AVX512) ? 16 : 8; }

/* Whether a product uses blocks of channels; onednn_conv.c gives the reasons. */
static bool uses_blocks(const onednn_conv *c, bool weights_gradient) {
    const conv_shape *s = &c->shape;
    int64_t width = block_width();
    if (c->bf16_products || s->kernel == 1 || s->in % width != 0 || s->out % width != 0)
        return false;
    return !cpu_has(CPU_AVX512) || (weights_gradient && s->height * s->width >= MANY_PIXELS);
}

/* How an activation of the caller is converted for a product that reads it (reads), or back from a
 * product that writes it. */
static staging staging_of(const onednn_conv *c, tensor_type type, int64_t pixels, int64_t channels,
                          bool blocks, bool reads) {
    bool converts = c->bf16_products ? reads && type == TYPE_F32
                                     : type == TYPE_BF16 || (c->bf16_rounded_f32 && reads);
    int64_t width = blocks ? block_width() : channels;
    return (staging){.kind = c->bf16_products && converts ? STAGING_BF16
                             : blocks || converts         ? STAGING_BLOCKS
                                                          : STAGING_NONE,
                     .shape = {type, c->shape.batch, pixels, channels, width},
                     .rounded = c->bf16_rounded_f32};
}

/* Opens the activations of a product that reads `in` or `out` or both. */
static status open_activations(onednn_conv *c, conv_product *p, bool blocks,
                               const dnnl_memory_desc_t *in, bool reads_in,
                               const dnnl_memory_desc_t *out, bool reads_out) {
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

/* Describes the forward convolution of g from x to y; bias may be NULL. */
static status describe_forward(onednn_conv *c, const geometry *g, const dnnl_memory_desc_t *bias,
                               dnnl_primitive_desc_t *out) {
    status st;
    dnnl_convolution_desc_t d;
    TRY(check(&c->shape, "forward description",
              dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct,
                                                 &g->x, &g->weight, bias, &g->y, g->stride,
                                                 g->padding_before, g->padding_after)));
    TRY(check(&c->shape, "forward description",
              dnnl_primitive_desc_create(out, &d, g->attributes, c->engine, NULL)));
done:
    return st;
}

static status open_forward(onednn_conv *c, const geometry *g,
                           const_dnnl_primitive_desc_t description) {
    status st;
    primitive_call *p = &c->forward.call;
    TRY(open_activations(c, &c->forward, uses_blocks(c, false), &g->x, true, &g->y, false));
    TRY(call_open(c, p, description, "forward"));
    TRY(reordered_open(c, &c->forward_weights,
                       dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0),
                       c->weight, false, g->attributes));
    call_arg(p, DNNL_ARG_SRC, c->forward.in_memory);
    call_arg(p, DNNL_ARG_WEIGHTS, c->forward_weights.memory);
    call_arg(p, DNNL_ARG_BIAS, c->bias);
    call_arg(p, DNNL_ARG_DST, c->forward.out_memory);
done:
    return st;
}

/* Opens the data gradient with a description that reads dy and weights (a plain memory) and writes
 * dx, in these roles. */
static status open_data_product(onednn_conv *c, const geometry *g,
                                const_dnnl_primitive_desc_t description, dnnl_memory_t weight,
                                int dy_role, int dx_role) {
    status st;
    primitive_call *p = &c->backward_data.call;
    TRY(call_open(c, p, description, "backward data"));
    TRY(reordered_open(c, &c->data_weights,
                       dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), weight,
                       false, g->attributes));
    call_arg(p, dy_role, c->backward_data.out_memory);
    call_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.memory);
    call_arg(p, dx_role, c->backward_data.in_memory);
done:
    return st;
}

/* The data gradient with stride 1 as a forward primitive: dx = dy * flipped weights. */
static status open_data_flipped(onednn_conv *c, const geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_primitive_desc_t description = NULL;
    dnnl_memory_desc_t plain;
    dnnl_dims_t flipped = {s->in, s->out, s->kernel, s->kernel};
    geometry back = *g;
    back.x = g->dy, back.y = g->dx;
    TRY(check(s, "weights",
              dnnl_memory_desc_init_by_tag(&back.weight, 4, flipped, g->product_type,
                                           dnnl_format_tag_any)));
    TRY(check(s, "weights", dnnl_memory_desc_init_by_tag(&plain, 4, flipped, dnnl_f32, dnnl_oihw)));
    TRY(check(s, "weights", dnnl_memory_create(&c->flipped, &plain, c->engine, DNNL_MEMORY_NONE)));
    TRY(describe_forward(c, &back, NULL, &description));
    TRY(open_data_product(c, g, description, c->flipped, DNNL_ARG_SRC, DNNL_ARG_DST));
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* The data gradient as a backward primitive. */
static status open_data(onednn_conv *c, const geometry *g, const_dnnl_primitive_desc_t forward) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    TRY(check(&c->shape, "backward data description",
              dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &g->dx,
                                                       &g->weight, &g->dy, g->stride,
                                                       g->padding_before, g->padding_after)));
    TRY(check(&c->shape, "backward data description",
              dnnl_primitive_desc_create(&description, &d, g->attributes, c->engine, forward)));
    TRY(open_data_product(c, g, description, c->weight, DNNL_ARG_DIFF_DST, DNNL_ARG_DIFF_SRC));
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* The weight gradient as a primitive. Its reorder to the plain layout adds to dw. */
static status open_weight_gradient(onednn_conv *c, const geometry *g,
                                   const_dnnl_primitive_desc_t forward) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    dnnl_post_ops_t add = NULL;
    dnnl_primitive_attr_t adding = NULL;
    geometry own = *g;
    primitive_call *p = &c->backward_weights.call;
    bool blocks = uses_blocks(c, true);
    TRY(geometry_activations(c, &own, blocks));
    TRY(open_activations(c, &c->backward_weights, blocks, &own.x, true, &own.dy, true));
    if (blocks) forward = NULL; /* only a hint, and it may have another layout */
    TRY(check(&c->shape, "backward weights description",
              dnnl_convolution_backward_weights_desc_init(
                  &d, dnnl_convolution_direct, &own.x, &own.dweight, &own.bias, &own.dy, own.stride,
                  own.padding_before, own.padding_after)));
    TRY(check(&c->shape, "backward weights description",
              dnnl_primitive_desc_create(&description, &d, g->attributes, c->engine, forward)));
    TRY(call_open(c, p, description, "backward weights"));
    TRY(check(&c->shape, "addition", dnnl_primitive_attr_clone(&adding, g->attributes)));
    TRY(check(&c->shape, "addition", dnnl_post_ops_create(&add)));
    TRY(check(&c->shape, "addition", dnnl_post_ops_append_sum(add, 1)));
    TRY(check(&c->shape, "addition", dnnl_primitive_attr_set_post_ops(adding, add)));
    TRY(reordered_open(c, &c->weight_gradient,
                       dnnl_primitive_desc_query_md(description, dnnl_query_diff_weights_md, 0),
                       c->weight, true, adding));
    call_arg(p, DNNL_ARG_SRC, c->backward_weights.in_memory);
    call_arg(p, DNNL_ARG_DIFF_DST, c->backward_weights.out_memory);
    call_arg(p, DNNL_ARG_DIFF_WEIGHTS, c->weight_gradient.memory);
    call_arg(p, DNNL_ARG_DIFF_BIAS, c->dbias);
done:
    dnnl_primitive_attr_destroy(adding);
    dnnl_post_ops_destroy(add);
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* Creates the memory objects that stand for arrays of the caller in plain layout. */
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

/* Reserves `bytes` of scratch, which begin at a cache line; returns their offset. */
static int64_t reserve(onednn_conv *c, int64_t bytes) {
    int64_t at = c->scratch_bytes;
    c->scratch_bytes += round_up_to_cache_line(bytes);
    return at;
}

/* Products run one after the other, so that their staged copies share memory. */
static void lay_out_staging(onednn_conv *c) {
    conv_product *all[] = {&c->forward, &c->backward_data, &c->backward_weights};
    int64_t in = 0, out = 0;
    for (int i = 0; i < 3; i++) {
        in = max_i64(in, staging_bytes(&all[i]->in));
        out = max_i64(out, staging_bytes(&all[i]->out));
    }
    int64_t in_at = reserve(c, in), out_at = reserve(c, out);
    for (int i = 0; i < 3; i++) all[i]->in.at = in_at, all[i]->out.at = out_at;
}

static void lay_out_scratch(onednn_conv *c, bool training) {
    reserve(c, c->primitives_bytes);
    lay_out_staging(c);
    c->rounded_at = reserve(c, c->bf16_rounded_f32 ? bytes_of(c->weight) : 0);
    if (!training) return;
    c->dw_at = reserve(c, bytes_of(c->weight_gradient.memory));
    c->db_at = reserve(c, bytes_of(c->dbias));
    c->data_weights_at = reserve(c, c->flipped ? bytes_of(c->data_weights.memory) : 0);
    c->flipped_at = reserve(c, bytes_of(c->flipped));
}

/* Opens backward. forward: the description of the forward product, a hint for oneDNN. */
static status open_training(onednn_conv *c, const geometry *g, const_dnnl_primitive_desc_t forward,
                            bool weight_gradient) {
    status st;
    const conv_shape *s = &c->shape;
    TRY(open_activations(c, &c->backward_data, uses_blocks(c, false), &g->dx, false, &g->dy, true));
    if (s->stride == 1 && (c->bf16_products ? cpu_has(CPU_AMX) : cpu_has(CPU_AVX512)))
        TRY(open_data_flipped(c, g));
    else
        TRY(open_data(c, g, forward));
    if (!weight_gradient) goto done;
    if (weight_gradient_is_matmul(c)) {
        c->backward_weights.in = staging_of(c, s->x, s->height * s->width, s->in, false, true);
        c->backward_weights.out = staging_of(c, s->y, s->height * s->width, s->out, false, true);
    } else {
        TRY(open_weight_gradient(c, g, forward));
    }
done:
    return st;
}

status onednn_conv_open(const conv_shape *shape, bool data_gradient, bool weight_gradient,
                        onednn_conv **out) {
    status st;
    geometry g = {0};
    dnnl_primitive_desc_t forward = NULL;
    onednn_conv *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    c->shape = *shape;
    c->bf16_products = conv_of_bf16(shape) && cpu_prefers_bf16();
    c->bf16_rounded_f32 = conv_of_bf16(shape) && !c->bf16_products;
    /* On a single pixel strides 1 and 2 are the same. */
    if (shape->height == 1 && shape->width == 1) c->shape.stride = 1;
    if (c->bf16_products && weight_gradient && shape->width == 1 && c->shape.stride == 2) {
        st =
            status_fail(ST_USAGE, "the weight gradient of oneDNN 2.6 is wrong in bf16 for stride 2 "
                                  "over activations one pixel wide; use train.precision: f32");
        goto done;
    }
    TRY(geometry_open(c, &g));
    TRY(check(shape, "engine", dnnl_engine_create(&c->engine, dnnl_cpu, 0)));
    TRY(check(shape, "stream",
              dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags)));
    TRY(open_memories(c, &g));
    TRY(geometry_activations(c, &g, uses_blocks(c, false)));
    TRY(describe_forward(c, &g, &g.bias, &forward));
    TRY(open_forward(c, &g, forward));
    if (data_gradient) TRY(open_training(c, &g, forward, weight_gradient));
    lay_out_scratch(c, data_gradient);
    *out = c;
    c = NULL;
done:
    dnnl_primitive_desc_destroy(forward);
    dnnl_primitive_attr_destroy(g.attributes);
    onednn_conv_close(c);
    return st;
}
