/* Convolutions by oneDNN: primitives are created once, weights are packed when they change.
 *
 * The activations of the caller are channels-last (nhwc). Where oneDNN is faster with blocks of
 * channels, conv_staging.h copies them to scratch in that layout. The choices are for oneDNN 2.6
 * and the 3x3 convolutions of the networks here:
 *
 *   AVX-512, forward and data gradient: nhwc. It is at least as fast as blocks of 16 channels, and
 *   supports any number of channels, where blocks use reference loops below 16.
 *
 *   AVX-512, f32, data gradient with stride 1: a forward primitive, the convolution of dy with the
 *   flipped kernel and input and output channels exchanged. It is faster than the backward
 *   primitive. In bf16 this holds with AMX tiles only; elsewhere the two are equally fast.
 *
 *   AVX-512, f32, weight gradient: blocks of 16 for activations of 4096 pixels or more, where they
 *   are faster even with the copies. nhwc for smaller ones, and in bf16, where blocks gain little.
 *
 *   AVX2, all three products: blocks of 8, which are faster even with the copies; blocks of 16 use
 *   reference loops. The data gradient is the backward primitive, at least as fast as a forward one
 *   with the flipped kernel.
 *
 *   Weight gradient of a 1x1 convolution in f32: the matrix product dy^T x, faster than the
 *   primitive.
 *
 * Where the Winograd algorithm is used instead (variants.c), the f32 3x3 convolutions with stride 1
 * run here only as the baseline of the benchmark.
 *
 * Products of bf16 numbers are used where they are faster (cpu_prefers_bf16()). Elsewhere the same
 * numbers, rounded to bf16, are multiplied in f32.
 */
#include "model/nn/kernels/onednn/onednn_conv_private.h"

#include "model/nn/kernels/bias_gradient.h"
#include "model/nn/kernels/onednn/weight_layout.h"

static status primitive_run(onednn_conv *c, primitive_call *p, void *scratch, const char *what) {
    status st;
    TRY(check(&c->shape, "scratch", dnnl_memory_set_data_handle(p->scratch, scratch)));
    TRY(check(&c->shape, what, dnnl_primitive_execute(p->primitive, c->stream, p->count, p->args)));
    TRY(check(&c->shape, what, dnnl_stream_wait(c->stream)));
done:
    return st;
}

static void *at_offset(void *scratch, int64_t offset) { return (char *)scratch + offset; }

int64_t onednn_conv_scratch(const onednn_conv *c) { return c->scratch_bytes; }

/* flipped [in,out,k,k] from weight [out,in,k,k]: channels exchanged, kernel rotated by 180 degrees.
 * Works in tiles of input channels, because reads or writes are far apart in memory. */
static void flip(const conv_shape *s, const float *weight, float *flipped) {
    enum { TILE = 16 };
    int64_t taps = s->kernel * s->kernel;
#pragma omp parallel for schedule(static) if (s->in * s->out > 4096)
    for (int64_t first = 0; first < s->in; first += TILE)
        for (int64_t o = 0; o < s->out; o++)
            for (int64_t i = first; i < first + TILE && i < s->in; i++)
                for (int64_t t = 0; t < taps; t++)
                    flipped[(i * s->out + o) * taps + t] =
                        weight[(o * s->in + i) * taps + taps - 1 - t];
}

static const dnnl_memory_desc_t *layout_of(dnnl_memory_t memory) {
    const dnnl_memory_desc_t *layout = NULL;
    return dnnl_memory_get_memory_desc(memory, &layout) == dnnl_success ? layout : NULL;
}

static status pack_forward(onednn_conv *c, const float *weight, void *packed, void *scratch) {
    const conv_shape *s = &c->shape;
    const dnnl_memory_desc_t *layout = layout_of(c->forward_weights.memory);
    int64_t taps = s->kernel * s->kernel;
    if (!layout || !weight_layout_can_write(layout))
        return primitive_run(c, &c->forward_weights.reorder, scratch, "weights reorder");
    weight_layout_write(layout, weight, s->in * taps, taps, false, packed);
    return ST_OK;
}

/* Packs flipped weights for a data gradient that is a forward primitive. */
static status pack_flipped(onednn_conv *c, const float *weight, void *packed, void *scratch) {
    status st = ST_OK;
    const conv_shape *s = &c->shape;
    const dnnl_memory_desc_t *layout = layout_of(c->data_weights.memory);
    int64_t taps = s->kernel * s->kernel;
    if (layout && weight_layout_can_write(layout)) {
        weight_layout_write(layout, weight, taps, s->in * taps, true, packed);
        goto done;
    }
    flip(s, weight, at_offset(scratch, c->flipped_at));
    TRY(attach(c, c->flipped, at_offset(scratch, c->flipped_at)));
    TRY(primitive_run(c, &c->data_weights.reorder, scratch, "weights reorder"));
done:
    return st;
}

int64_t onednn_conv_packed(const onednn_conv *c) {
    int64_t forward = round_up_to_cache_line(bytes_of(c->forward_weights.memory));
    return c->flipped ? forward : forward + bytes_of(c->data_weights.memory);
}

/* The weights to multiply: the caller's, or a copy in scratch that is rounded to bf16. */
static const float *weights_as_multiplied(const onednn_conv *c, const float *weight,
                                          void *scratch) {
    const conv_shape *s = &c->shape;
    if (!c->bf16_rounded_f32) return weight;
    float *copy = at_offset(scratch, c->rounded_at);
    const block_shape unblocked = {TYPE_F32, 1, s->out, s->in * s->kernel * s->kernel,
                                   s->in * s->kernel * s->kernel};
    blocks_gather(&unblocked, true, weight, copy);
    return copy;
}

status onednn_conv_pack(onednn_conv *c, const float *weight, void *packed, void *scratch) {
    status st;
    c->caller_weight = weight;
    weight = weights_as_multiplied(c, weight, scratch);
    TRY(attach(c, c->weight, weight));
    TRY(attach(c, c->forward_weights.memory, packed));
    TRY(pack_forward(c, weight, packed, scratch));
    if (!c->data_weights.memory || c->flipped) goto done;
    TRY(attach(c, c->data_weights.memory,
               at_offset(packed, round_up_to_cache_line(bytes_of(c->forward_weights.memory)))));
    TRY(primitive_run(c, &c->data_weights.reorder, scratch, "weights reorder"));
done:
    return st;
}

/* Packs the flipped weights of the data gradient in scratch. Doing it in every backward run takes
 * little time, and saves the memory of a second copy of packed weights. */
static status repack_data_weights(onednn_conv *c, void *scratch) {
    status st;
    const float *weight = weights_as_multiplied(c, c->caller_weight, scratch);
    void *packed = at_offset(scratch, c->data_weights_at);
    TRY(attach(c, c->weight, weight));
    TRY(attach(c, c->data_weights.memory, packed));
    TRY(pack_flipped(c, weight, packed, scratch));
done:
    return st;
}

status onednn_conv_forward(onednn_conv *c, const void *x, const float *bias, void *y,
                           void *scratch) {
    status st;
    const conv_product *p = &c->forward;
    TRY(attach(c, p->in_memory, staging_in(&p->in, x, scratch)));
    TRY(attach(c, c->bias, bias ? bias : c->no_bias));
    TRY(attach(c, p->out_memory, staging_out(&p->out, y, scratch)));
    TRY(primitive_run(c, &c->forward.call, scratch, "forward"));
    staging_copy_out(&p->out, y, scratch);
done:
    return st;
}

status onednn_conv_backward_data(onednn_conv *c, const void *dy, void *dx, void *scratch) {
    status st;
    const conv_product *p = &c->backward_data;
    if (c->flipped) TRY(repack_data_weights(c, scratch));
    TRY(attach(c, p->out_memory, staging_in(&p->out, dy, scratch)));
    TRY(attach(c, p->in_memory, staging_out(&p->in, dx, scratch)));
    TRY(primitive_run(c, &c->backward_data.call, scratch, "backward data"));
    staging_copy_out(&p->in, dx, scratch);
done:
    return st;
}

status onednn_conv_backward_weights(onednn_conv *c, const void *x, const void *dy, float *dw,
                                    float *db, void *scratch) {
    status st;
    const conv_shape *s = &c->shape;
    const conv_product *p = &c->backward_weights;
    float *dbias = at_offset(scratch, c->db_at);
    const void *staged_x = staging_in(&p->in, x, scratch);
    const void *staged_dy = staging_in(&p->out, dy, scratch);
    if (weight_gradient_is_matmul(c)) {
        int64_t pixels = s->batch * s->height * s->width;
        if (db) bias_gradient_add(staged_dy, pixels, s->out, db);
        return check(s, "backward weights",
                     dnnl_sgemm('T', 'N', s->out, s->in, pixels, 1, staged_dy, s->out, staged_x,
                                s->in, 1, dw, s->in));
    }
    TRY(attach(c, p->in_memory, staged_x));
    TRY(attach(c, p->out_memory, staged_dy));
    TRY(attach(c, c->dbias, dbias));
    TRY(attach(c, c->weight_gradient.memory, at_offset(scratch, c->dw_at)));
    TRY(primitive_run(c, &c->backward_weights.call, scratch, "backward weights"));
    const dnnl_memory_desc_t *layout = layout_of(c->weight_gradient.memory);
    if (layout && weight_layout_can_read(layout)) {
        weight_layout_add(layout, at_offset(scratch, c->dw_at), dw);
    } else {
        TRY(attach(c, c->weight, dw));
        TRY(primitive_run(c, &c->weight_gradient.reorder, scratch, "weights gradient reorder"));
    }
    for (int64_t o = 0; db && o < s->out; o++) db[o] += dbias[o];
done:
    return st;
}

/* Runs the products on whatever scratch holds: nothing is staged or packed. */
status onednn_conv_products(onednn_conv *c, const void *x, const void *dy, void *y, void *dx,
                            void *scratch) {
    status st;
    conv_product *all[] = {&c->forward, &c->backward_data, &c->backward_weights};
    const void *in[] = {x, dx, x}, *out[] = {y, dy, dy};
    const char *const what[] = {"forward", "backward data", "backward weights"};
    TRY(attach(c, c->bias, c->no_bias));
    TRY(attach(c, c->dbias, at_offset(scratch, c->db_at)));
    TRY(attach(c, c->weight_gradient.memory, at_offset(scratch, c->dw_at)));
    if (c->flipped) TRY(attach(c, c->data_weights.memory, at_offset(scratch, c->data_weights_at)));
    for (int i = 0; i < 3; i++) {
        conv_product *p = all[i];
        TRY(attach(c, p->in_memory, staging_out(&p->in, (void *)in[i], scratch)));
        TRY(attach(c, p->out_memory, staging_out(&p->out, (void *)out[i], scratch)));
        TRY(primitive_run(c, &p->call, scratch, what[i]));
    }
done:
    return st;
}
