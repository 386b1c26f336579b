/* Convolutions by oneDNN: primitives created once, weights packed when they change.
 *
 * Activations stay channels-last (nhwc) for oneDNN too. Measured with version 2.6 on two cores with
 * AVX-512 over the 3x3 convolutions of the networks here (32 to 512 channels, 64x64 to 8x8 maps):
 * forward nhwc is as fast as oneDNN's own blocked layout or faster, f32 and bf16; it takes any number
 * of channels, where the blocked one falls to reference loops below 16. Three exceptions are
 * made, all for f32:
 *   - With stride 1 the data gradient is itself a convolution, of dy with the kernel turned by 180
 *     degrees and channels exchanged: as a forward primitive 1.1 to 1.3 times as fast.
 *   - The weight gradient of maps of 4096 pixels or more is 1.1 to 1.4 times as fast in the blocked
 *     layout; bringing x and dy into it takes a part of that, on one thread nearly all.
 *   - The weight gradient of a 1x1 convolution is a plain product dy^T x, 1.1 to 2.2 times as fast.
 * In bf16 the blocked layout gains 4 % by weights, and backward by data is as fast as forward.
 *
 * Maps that are f32 while the products are of bf16 numbers (a network's input and output) are
 * rounded into scratch first.
 */
#include "model/nn/conv_fast.h"

#include "io/span.h"
#include "model/nn/bf16.h"
#include "model/nn/pack_dnnl.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

enum { MOST_ARGS = 5, ALIGNMENT = 64, MANY_PIXELS = 4096, BLOCK_CHANNELS = 16 };

/* A primitive with the memory objects it runs on. */
typedef struct pass {
    dnnl_primitive_t primitive;
    dnnl_memory_t scratch;
    dnnl_exec_arg_t args[MOST_ARGS];
    int count;
} pass;

/* A memory object whose layout a primitive chose, and the reorder between it and a plain one. */
typedef struct relay {
    dnnl_memory_t other;
    pass reorder;
} relay;

struct conv {
    conv_shape shape;
    bool low; /* products of bf16 numbers */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_memory_t x, y, dx, dy; /* of the caller, or of scratch where they have to be rounded */
    dnnl_memory_t weight;       /* of the caller: [out,in,k,k] */
    dnnl_memory_t turned;       /* [in,out,k,k] in scratch; NULL: the data gradient is a real one */
    dnnl_memory_t bias, dbias;
    float *no_bias;
    pass forward, backward_data, backward_weights;
    relay forward_weights, data_weights, weights_gradient;
    relay blocked_x, blocked_dy; /* other is NULL where the weight gradient takes nhwc */
    /* Offsets in scratch: of the passes' own, of rounded x and y, of dw as oneDNN lays it out and
     * of db, of turned weights, of blocked x and dy. */
    int64_t passes_bytes, x_at, y_at, dw_at, db_at, turned_at, blocked_x_at, blocked_dy_at, bytes;
};

static status check(const conv_shape *s, const char *what, dnnl_status_t got) {
    if (got == dnnl_success) return ST_OK;
    if (got == dnnl_unimplemented && (s->x == TYPE_BF16 || s->y == TYPE_BF16))
        return status_fail(ST_USAGE,
                           "oneDNN has no convolutions of bf16 numbers for this processor; "
                           "use train.precision: f32 or auto");
    return status_fail(ST_INTERNAL,
                       "oneDNN: %s (%s) for the %dx%d convolution with stride %d of %" PRId64
                       " maps %" PRId64 "x%" PRId64 ", %" PRId64 " to %" PRId64 " channels",
                       what, dnnl_status2str(got), s->kernel, s->kernel, s->stride, s->batch,
                       s->height, s->width, s->in, s->out);
}

static void pass_close(pass *p) {
    dnnl_memory_destroy(p->scratch);
    dnnl_primitive_destroy(p->primitive);
}

static void relay_close(relay *r) {
    dnnl_memory_destroy(r->other);
    pass_close(&r->reorder);
}

void dnnl_conv_close(conv *c) {
    if (!c) return;
    pass_close(&c->forward);
    pass_close(&c->backward_data);
    pass_close(&c->backward_weights);
    relay_close(&c->forward_weights);
    relay_close(&c->data_weights);
    relay_close(&c->weights_gradient);
    relay_close(&c->blocked_x);
    relay_close(&c->blocked_dy);
    dnnl_memory_t memories[] = {c->x, c->y, c->dx, c->dy, c->weight, c->turned, c->bias, c->dbias};
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
static status pass_open(conv *c, pass *p, const_dnnl_primitive_desc_t description,
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

static status pass_run(conv *c, pass *p, void *scratch, const char *what) {
    status st;
    TRY(check(&c->shape, "scratch", dnnl_memory_set_data_handle(p->scratch, scratch)));
    TRY(check(&c->shape, what, dnnl_primitive_execute(p->primitive, c->stream, p->count, p->args)));
    TRY(check(&c->shape, what, dnnl_stream_wait(c->stream)));
done:
    return st;
}

/* Puts an array behind a memory object; oneDNN has no const. */
static status attach(conv *c, dnnl_memory_t memory, const void *values) {
    return check(&c->shape, "attach", dnnl_memory_set_data_handle(memory, (void *)values));
}

/* r->other in `layout`, and the reorder from `plain` to it or, back, from it to plain. */
static status relay_open(conv *c, relay *r, const dnnl_memory_desc_t *layout, dnnl_memory_t plain,
                         bool back, dnnl_primitive_attr_t attributes) {
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

static dnnl_data_type_t type_of(tensor_type t) { return t == TYPE_BF16 ? dnnl_bf16 : dnnl_f32; }

/* x and y in layout `tag`. */
static status geometry_maps(const conv_shape *s, geometry *g, dnnl_format_tag_t tag) {
    status st;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    dnnl_dims_t x = {s->batch, s->in, s->height, s->width}, y = {s->batch, s->out, yh, yw};
    TRY(check(s, "x", dnnl_memory_desc_init_by_tag(&g->x, 4, x, g->product, tag)));
    TRY(check(s, "dx", dnnl_memory_desc_init_by_tag(&g->dx, 4, x, type_of(s->x), tag)));
    TRY(check(s, "y", dnnl_memory_desc_init_by_tag(&g->y, 4, y, type_of(s->y), tag)));
    TRY(check(s, "dy", dnnl_memory_desc_init_by_tag(&g->dy, 4, y, g->product, tag)));
done:
    return st;
}

static status geometry_open(const conv *c, geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    int64_t pad = s->kernel / 2;
    dnnl_dims_t weight = {s->out, s->in, s->kernel, s->kernel}, bias = {s->out};
    *g = (geometry){.product = c->low ? dnnl_bf16 : dnnl_f32};
    TRY(geometry_maps(s, g, dnnl_nhwc));
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

/* Describes the forward convolution of g from x to y, with a bias unless it is NULL. */
static status describe_forward(conv *c, const geometry *g, const dnnl_memory_desc_t *bias,
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

static status open_forward(conv *c, const geometry *g, const_dnnl_primitive_desc_t description) {
    status st;
    TRY(pass_open(c, &c->forward, description, "forward"));
    TRY(relay_open(c, &c->forward_weights,
                   dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0), c->weight,
                   false, g->attributes));
    pass_arg(&c->forward, DNNL_ARG_SRC, c->x);
    pass_arg(&c->forward, DNNL_ARG_WEIGHTS, c->forward_weights.other);
    pass_arg(&c->forward, DNNL_ARG_BIAS, c->bias);
    pass_arg(&c->forward, DNNL_ARG_DST, c->y);
done:
    return st;
}

/* The data gradient with stride 1: dx = dy * turned weights. */
static status open_data_turned(conv *c, const geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_primitive_desc_t description = NULL;
    dnnl_memory_desc_t plain;
    dnnl_dims_t turned = {s->in, s->out, s->kernel, s->kernel};
    geometry back = *g;
    pass *p = &c->backward_data;
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
    pass_arg(p, DNNL_ARG_SRC, c->dy);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.other);
    pass_arg(p, DNNL_ARG_DST, c->dx);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

static status open_data(conv *c, const geometry *g, const_dnnl_primitive_desc_t forward) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    pass *p = &c->backward_data;
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
    pass_arg(p, DNNL_ARG_DIFF_DST, c->dy);
    pass_arg(p, DNNL_ARG_WEIGHTS, c->data_weights.other);
    pass_arg(p, DNNL_ARG_DIFF_SRC, c->dx);
done:
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* f32, many pixels, whole blocks of channels: see the head of this file. */
static bool gradient_is_blocked(const conv *c) {
    const conv_shape *s = &c->shape;
    return !c->low && s->height * s->width >= MANY_PIXELS && s->in % BLOCK_CHANNELS == 0 &&
           s->out % BLOCK_CHANNELS == 0;
}

static bool gradient_is_product(const conv *c) {
    return !c->low && c->shape.kernel == 1 && c->shape.stride == 1;
}

static status open_weights_gradient(conv *c, const geometry *g,
                                    const_dnnl_primitive_desc_t forward) {
    status st;
    dnnl_primitive_desc_t description = NULL;
    dnnl_convolution_desc_t d;
    dnnl_post_ops_t add = NULL;
    dnnl_primitive_attr_t adding = NULL;
    geometry of = *g;
    pass *p = &c->backward_weights;
    if (gradient_is_blocked(c)) {
        TRY(geometry_maps(&c->shape, &of, dnnl_nChw16c));
        TRY(relay_open(c, &c->blocked_x, &of.x, c->x, false, g->attributes));
        TRY(relay_open(c, &c->blocked_dy, &of.dy, c->dy, false, g->attributes));
        forward = NULL; /* only a hint, and about another layout */
    }
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
    pass_arg(p, DNNL_ARG_SRC, c->blocked_x.other ? c->blocked_x.other : c->x);
    pass_arg(p, DNNL_ARG_DIFF_DST, c->blocked_dy.other ? c->blocked_dy.other : c->dy);
    pass_arg(p, DNNL_ARG_DIFF_WEIGHTS, c->weights_gradient.other);
    pass_arg(p, DNNL_ARG_DIFF_BIAS, c->dbias);
done:
    dnnl_primitive_attr_destroy(adding);
    dnnl_post_ops_destroy(add);
    dnnl_primitive_desc_destroy(description);
    return st;
}

/* Engine, stream and the memory objects that stand for other people's arrays. */
static status open_memories(conv *c, const geometry *g) {
    status st;
    const conv_shape *s = &c->shape;
    dnnl_dims_t dims = {s->out, s->in, s->kernel, s->kernel};
    dnnl_memory_desc_t plain;
    TRY(check(s, "weights", dnnl_memory_desc_init_by_tag(&plain, 4, dims, dnnl_f32, dnnl_oihw)));
    const struct {
        dnnl_memory_t *memory;
        const dnnl_memory_desc_t *layout;
    } all[] = {{&c->x, &g->x},       {&c->y, &g->y},       {&c->dx, &g->dx},     {&c->dy, &g->dy},
               {&c->weight, &plain}, {&c->bias, &g->bias}, {&c->dbias, &g->bias}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        TRY(check(s, "memory",
                  dnnl_memory_create(all[i].memory, all[i].layout, c->engine, DNNL_MEMORY_NONE)));
    TRY(array_alloc(&c->no_bias, s->out, sizeof(float), "bias"));
done:
    return st;
}

static int64_t whole_lines(int64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Hands out `bytes` of scratch. */
static int64_t reserve(conv *c, int64_t bytes) {
    int64_t at = c->bytes;
    c->bytes += whole_lines(bytes);
    return at;
}

static int64_t bytes_of(dnnl_memory_t memory) {
    const dnnl_memory_desc_t *layout = NULL;
    if (!memory || dnnl_memory_get_memory_desc(memory, &layout) != dnnl_success) return 0;
    return (int64_t)dnnl_memory_desc_get_size(layout);
}

static void lay_out_scratch(conv *c, bool training) {
    const conv_shape *s = &c->shape;
    reserve(c, c->passes_bytes);
    c->x_at = reserve(c, c->low && s->x == TYPE_F32 ? bytes_of(c->x) : 0);
    if (!training) return;
    c->y_at = reserve(c, c->low && s->y == TYPE_F32 ? bytes_of(c->dy) : 0);
    c->dw_at = reserve(c, bytes_of(c->weights_gradient.other));
    c->db_at = reserve(c, bytes_of(c->dbias));
    c->turned_at = reserve(c, bytes_of(c->turned));
    c->blocked_x_at = reserve(c, bytes_of(c->blocked_x.other));
    c->blocked_dy_at = reserve(c, bytes_of(c->blocked_dy.other));
}

status dnnl_conv_open(const conv_shape *shape, bool training, conv **out) {
    status st;
    geometry g = {0};
    dnnl_primitive_desc_t forward = NULL;
    conv *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    c->shape = *shape;
    c->low = shape->x == TYPE_BF16 || shape->y == TYPE_BF16;
    /* The same thing on a single pixel. */
    if (shape->height == 1 && shape->width == 1) c->shape.stride = 1;
    if (c->low && training && shape->width == 1 && c->shape.stride == 2) {
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
    TRY(describe_forward(c, &g, &g.bias, &forward));
    TRY(open_forward(c, &g, forward));
    if (training) {
        if (c->shape.stride == 1 && !c->low)
            TRY(open_data_turned(c, &g));
        else
            TRY(open_data(c, &g, forward));
        if (!gradient_is_product(c)) TRY(open_weights_gradient(c, &g, forward));
    }
    lay_out_scratch(c, training);
    *out = c;
    c = NULL;
done:
    dnnl_primitive_desc_destroy(forward);
    dnnl_primitive_attr_destroy(g.attributes);
    dnnl_conv_close(c);
    return st;
}

static void *place(void *scratch, int64_t offset) { return (char *)scratch + offset; }

int64_t dnnl_conv_scratch(const conv *c) { return c->bytes; }

/* turned [in,out,k,k] from weight [out,in,k,k]: channels exchanged, kernel turned by 180 degrees;
 * in tiles, because one side or the other is far apart in memory. */
static void turn(const conv_shape *s, const float *weight, float *turned) {
    enum { TILE = 16 };
    int64_t taps = s->kernel * s->kernel;
#pragma omp parallel for schedule(static) if (s->in * s->out > 4096)
    for (int64_t first = 0; first < s->in; first += TILE)
        for (int64_t o = 0; o < s->out; o++)
            for (int64_t i = first; i < first + TILE && i < s->in; i++)
                for (int64_t t = 0; t < taps; t++)
                    turned[(i * s->out + o) * taps + t] =
                        weight[(o * s->in + i) * taps + taps - 1 - t];
}

static const dnnl_memory_desc_t *layout_of(dnnl_memory_t memory) {
    const dnnl_memory_desc_t *layout = NULL;
    return dnnl_memory_get_memory_desc(memory, &layout) == dnnl_success ? layout : NULL;
}

static status pack_forward(conv *c, const float *weight, void *packed, void *scratch) {
    const conv_shape *s = &c->shape;
    const dnnl_memory_desc_t *layout = layout_of(c->forward_weights.other);
    int64_t taps = s->kernel * s->kernel;
    if (!layout || !pack_can_write(layout))
        return pass_run(c, &c->forward_weights.reorder, scratch, "weights reorder");
    pack_weights(layout, weight, s->in * taps, taps, false, packed);
    return ST_OK;
}

static status pack_turned(conv *c, const float *weight, void *packed, void *scratch) {
    status st = ST_OK;
    const conv_shape *s = &c->shape;
    const dnnl_memory_desc_t *layout = layout_of(c->data_weights.other);
    int64_t taps = s->kernel * s->kernel;
    if (layout && pack_can_write(layout)) {
        pack_weights(layout, weight, taps, s->in * taps, true, packed);
        goto done;
    }
    turn(s, weight, place(scratch, c->turned_at));
    TRY(attach(c, c->turned, place(scratch, c->turned_at)));
    TRY(pass_run(c, &c->data_weights.reorder, scratch, "weights reorder"));
done:
    return st;
}

int64_t dnnl_conv_packed(const conv *c) {
    return whole_lines(bytes_of(c->forward_weights.other)) + bytes_of(c->data_weights.other);
}

status dnnl_conv_pack(conv *c, const float *weight, void *packed, void *scratch) {
    status st;
    char *forward = packed, *data = forward + whole_lines(bytes_of(c->forward_weights.other));
    TRY(attach(c, c->weight, weight));
    TRY(attach(c, c->forward_weights.other, forward));
    TRY(pack_forward(c, weight, forward, scratch));
    if (!c->backward_data.primitive) goto done;
    TRY(attach(c, c->data_weights.other, data));
    if (c->turned)
        TRY(pack_turned(c, weight, data, scratch));
    else
        TRY(pass_run(c, &c->data_weights.reorder, scratch, "weights reorder"));
done:
    return st;
}

/* Puts a map behind `memory`; if it is f32 and bf16 is wanted, its rounding, made in scratch. */
static status attach_product(conv *c, dnnl_memory_t memory, tensor_type type, const void *map,
                             void *rounded) {
    if (!c->low || type == TYPE_BF16) return attach(c, memory, map);
    bf16_round(map, rounded, bytes_of(memory) / (int64_t)sizeof(bf16));
    return attach(c, memory, rounded);
}

status dnnl_conv_forward(conv *c, const void *x, const float *bias, void *y, void *scratch) {
    status st;
    TRY(attach_product(c, c->x, c->shape.x, x, place(scratch, c->x_at)));
    TRY(attach(c, c->bias, bias ? bias : c->no_bias));
    TRY(attach(c, c->y, y));
    TRY(pass_run(c, &c->forward, scratch, "forward"));
done:
    return st;
}

status dnnl_conv_backward_data(conv *c, const void *dy, void *dx, void *scratch) {
    status st;
    TRY(attach_product(c, c->dy, c->shape.y, dy, place(scratch, c->y_at)));
    TRY(attach(c, c->dx, dx));
    TRY(pass_run(c, &c->backward_data, scratch, "backward data"));
done:
    return st;
}

/* Brings x and dy into blocks. */
static status relay_maps(conv *c, void *scratch) {
    status st;
    TRY(attach(c, c->blocked_x.other, place(scratch, c->blocked_x_at)));
    TRY(attach(c, c->blocked_dy.other, place(scratch, c->blocked_dy_at)));
    TRY(pass_run(c, &c->blocked_x.reorder, scratch, "x into blocks"));
    TRY(pass_run(c, &c->blocked_dy.reorder, scratch, "dy into blocks"));
done:
    return st;
}

status dnnl_conv_backward_weights(conv *c, const void *x, const void *dy, float *dw, float *db,
                                  void *scratch) {
    status st;
    const conv_shape *s = &c->shape;
    float *dbias = place(scratch, c->db_at);
    if (gradient_is_product(c)) {
        int64_t pixels = s->batch * s->height * s->width;
        if (db) bias_gradient_add(dy, pixels, s->out, db);
        return check(
            s, "backward weights",
            dnnl_sgemm('T', 'N', s->out, s->in, pixels, 1, dy, s->out, x, s->in, 1, dw, s->in));
    }
    TRY(attach_product(c, c->x, s->x, x, place(scratch, c->x_at)));
    TRY(attach_product(c, c->dy, s->y, dy, place(scratch, c->y_at)));
    TRY(attach(c, c->dbias, dbias));
    TRY(attach(c, c->weights_gradient.other, place(scratch, c->dw_at)));
    if (c->blocked_x.other) TRY(relay_maps(c, scratch));
    TRY(pass_run(c, &c->backward_weights, scratch, "backward weights"));
    const dnnl_memory_desc_t *layout = layout_of(c->weights_gradient.other);
    if (layout && pack_can_read(layout)) {
        unpack_add(layout, place(scratch, c->dw_at), dw);
    } else {
        TRY(attach(c, c->weight, dw));
        TRY(pass_run(c, &c->weights_gradient.reorder, scratch, "weights gradient reorder"));
    }
    for (int64_t o = 0; db && o < s->out; o++) db[o] += dbias[o];
done:
    return st;
}

/* Blocks and gradients in scratch hold whatever they held. */
status dnnl_conv_products(conv *c, const void *x, const void *dy, void *y, void *dx,
                          void *scratch) {
    status st;
    const struct {
        dnnl_memory_t memory;
        const void *at;
    } all[] = {{c->x, x},
               {c->dy, dy},
               {c->y, y},
               {c->dx, dx},
               {c->bias, c->no_bias},
               {c->dbias, place(scratch, c->db_at)},
               {c->weights_gradient.other, place(scratch, c->dw_at)},
               {c->blocked_x.other, place(scratch, c->blocked_x_at)},
               {c->blocked_dy.other, place(scratch, c->blocked_dy_at)}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].memory) TRY(attach(c, all[i].memory, all[i].at));
    TRY(pass_run(c, &c->forward, scratch, "forward"));
    TRY(pass_run(c, &c->backward_data, scratch, "backward data"));
    TRY(pass_run(c, &c->backward_weights, scratch, "backward weights"));
done:
    return st;
}
