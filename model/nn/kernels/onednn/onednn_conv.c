/* Convolutions by oneDNN: primitives created once, weights packed when they change.
 *
 * Maps are channels-last (nhwc), and where oneDNN is faster otherwise they are staged in scratch
 * (staging.h). Measured with version 2.6 on two cores over the 3x3 convolutions of the networks
 * here (32 to 512 channels, 64x64 to 8x8 maps):
 *
 * With AVX-512 forward nhwc is as fast as oneDNN's own blocks of 16 channels or faster, f32 and
 * bf16; it takes any number of channels, where the blocks fall to reference loops below 16. (Where
 * there is bf16 too, 3x3 with stride 1 in f32 is run here for the benchmark's limit only: see
 * winograd.c.) Three exceptions are made, all for f32:
 *   - With stride 1 the data gradient is itself a convolution, of dy with the kernel turned by 180
 *     degrees and channels exchanged: as a forward primitive 1.1 to 1.3 times as fast.
 *   - The weight gradient of maps of 4096 pixels or more is 1.1 to 1.4 times as fast in blocks;
 *     bringing x and dy into them takes a part of that, on one thread nearly all.
 *   - The weight gradient of a 1x1 convolution is a plain product dy^T x, 1.1 to 2.2 times as fast.
 * In bf16 blocks gain 4 % by weights (where these are left to the library: see conv_ways.h), and
 * backward by data is as fast as forward, but for tiles (AMX): there the turned kernel is 1.05
 * to 1.5 times as fast too.
 *
 * With AVX2 blocks of 8 channels are faster: forward 1.1 to 1.7 times, backward by data 0.9 to 1.6
 * (and its own primitive as fast as the turned one or faster); staging takes 3 ms for a convolution
 * of 47. Blocks of 16 are reference loops there. The weight gradient is 1.0 to 2.5 times as fast in
 * blocks of 8. 3x3 with stride 1 in these blocks is run for the benchmark's limit only: see
 * winograd.c.
 *
 * Products of bf16 numbers want a processor that is quicker with them (cpu_prefers_bf16()).
 * Elsewhere the same numbers, rounded alike, are multiplied in f32.
 */
#include "model/nn/kernels/onednn/onednn_conv_private.h"

#include "model/nn/kernels/bias_gradient.h"
#include "model/nn/kernels/onednn/weight_layout.h"

static status pass_run(onednn_conv *c, pass *p, void *scratch, const char *what) {
    status st;
    TRY(check(&c->shape, "scratch", dnnl_memory_set_data_handle(p->scratch, scratch)));
    TRY(check(&c->shape, what, dnnl_primitive_execute(p->primitive, c->stream, p->count, p->args)));
    TRY(check(&c->shape, what, dnnl_stream_wait(c->stream)));
done:
    return st;
}

static void *place(void *scratch, int64_t offset) { return (char *)scratch + offset; }

int64_t onednn_conv_scratch(const onednn_conv *c) { return c->bytes; }

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

static status pack_forward(onednn_conv *c, const float *weight, void *packed, void *scratch) {
    const conv_shape *s = &c->shape;
    const dnnl_memory_desc_t *layout = layout_of(c->forward_weights.other);
    int64_t taps = s->kernel * s->kernel;
    if (!layout || !weight_layout_can_write(layout))
        return pass_run(c, &c->forward_weights.reorder, scratch, "weights reorder");
    weight_layout_write(layout, weight, s->in * taps, taps, false, packed);
    return ST_OK;
}

static status pack_turned(onednn_conv *c, const float *weight, void *packed, void *scratch) {
    status st = ST_OK;
    const conv_shape *s = &c->shape;
    const dnnl_memory_desc_t *layout = layout_of(c->data_weights.other);
    int64_t taps = s->kernel * s->kernel;
    if (layout && weight_layout_can_write(layout)) {
        weight_layout_write(layout, weight, taps, s->in * taps, true, packed);
        goto done;
    }
    turn(s, weight, place(scratch, c->turned_at));
    TRY(attach(c, c->turned, place(scratch, c->turned_at)));
    TRY(pass_run(c, &c->data_weights.reorder, scratch, "weights reorder"));
done:
    return st;
}

int64_t onednn_conv_packed(const onednn_conv *c) {
    int64_t forward = whole_lines(bytes_of(c->forward_weights.other));
    return c->turned ? forward : forward + bytes_of(c->data_weights.other);
}

/* The caller's, or a copy in scratch of what bf16 can say of them. */
static const float *weights_as_multiplied(const onednn_conv *c, const float *weight,
                                          void *scratch) {
    const conv_shape *s = &c->shape;
    if (!c->alike) return weight;
    float *copy = place(scratch, c->rounded_at);
    const block_shape as_they_are = {TYPE_F32, 1, s->out, s->in * s->kernel * s->kernel,
                                     s->in * s->kernel * s->kernel};
    blocks_gather(&as_they_are, true, weight, copy);
    return copy;
}

status onednn_conv_pack(onednn_conv *c, const float *weight, void *packed, void *scratch) {
    status st;
    c->plain = weight;
    weight = weights_as_multiplied(c, weight, scratch);
    TRY(attach(c, c->weight, weight));
    TRY(attach(c, c->forward_weights.other, packed));
    TRY(pack_forward(c, weight, packed, scratch));
    if (!c->data_weights.other || c->turned) goto done;
    TRY(attach(c, c->data_weights.other,
               place(packed, whole_lines(bytes_of(c->forward_weights.other)))));
    TRY(pass_run(c, &c->data_weights.reorder, scratch, "weights reorder"));
done:
    return st;
}

/* Turned weights of the data gradient, in scratch. They are packed in every backward run, which is
 * quick, and would be 36 MB more beside the forward ones of R64 in bf16. */
static status pack_data(onednn_conv *c, void *scratch) {
    status st;
    const float *weight = weights_as_multiplied(c, c->plain, scratch);
    void *packed = place(scratch, c->data_at);
    TRY(attach(c, c->weight, weight));
    TRY(attach(c, c->data_weights.other, packed));
    TRY(pack_turned(c, weight, packed, scratch));
done:
    return st;
}

status onednn_conv_forward(onednn_conv *c, const void *x, const float *bias, void *y,
                           void *scratch) {
    status st;
    const product_pass *p = &c->forward;
    TRY(attach(c, p->in_memory, staging_in(&p->in, x, scratch)));
    TRY(attach(c, c->bias, bias ? bias : c->no_bias));
    TRY(attach(c, p->out_memory, staging_out(&p->out, y, scratch)));
    TRY(pass_run(c, &c->forward.pass, scratch, "forward"));
    staging_deliver(&p->out, y, scratch);
done:
    return st;
}

status onednn_conv_backward_data(onednn_conv *c, const void *dy, void *dx, void *scratch) {
    status st;
    const product_pass *p = &c->backward_data;
    if (c->turned) TRY(pack_data(c, scratch));
    TRY(attach(c, p->out_memory, staging_in(&p->out, dy, scratch)));
    TRY(attach(c, p->in_memory, staging_out(&p->in, dx, scratch)));
    TRY(pass_run(c, &c->backward_data.pass, scratch, "backward data"));
    staging_deliver(&p->in, dx, scratch);
done:
    return st;
}

status onednn_conv_backward_weights(onednn_conv *c, const void *x, const void *dy, float *dw,
                                    float *db, void *scratch) {
    status st;
    const conv_shape *s = &c->shape;
    const product_pass *p = &c->backward_weights;
    float *dbias = place(scratch, c->db_at);
    const void *from = staging_in(&p->in, x, scratch), *by = staging_in(&p->out, dy, scratch);
    if (gradient_is_product(c)) {
        int64_t pixels = s->batch * s->height * s->width;
        if (db) bias_gradient_add(by, pixels, s->out, db);
        return check(
            s, "backward weights",
            dnnl_sgemm('T', 'N', s->out, s->in, pixels, 1, by, s->out, from, s->in, 1, dw, s->in));
    }
    TRY(attach(c, p->in_memory, from));
    TRY(attach(c, p->out_memory, by));
    TRY(attach(c, c->dbias, dbias));
    TRY(attach(c, c->weights_gradient.other, place(scratch, c->dw_at)));
    TRY(pass_run(c, &c->backward_weights.pass, scratch, "backward weights"));
    const dnnl_memory_desc_t *layout = layout_of(c->weights_gradient.other);
    if (layout && weight_layout_can_read(layout)) {
        weight_layout_add(layout, place(scratch, c->dw_at), dw);
    } else {
        TRY(attach(c, c->weight, dw));
        TRY(pass_run(c, &c->weights_gradient.reorder, scratch, "weights gradient reorder"));
    }
    for (int64_t o = 0; db && o < s->out; o++) db[o] += dbias[o];
done:
    return st;
}

/* What lies in scratch holds whatever it held. */
status onednn_conv_products(onednn_conv *c, const void *x, const void *dy, void *y, void *dx,
                            void *scratch) {
    status st;
    product_pass *all[] = {&c->forward, &c->backward_data, &c->backward_weights};
    const void *in[] = {x, dx, x}, *out[] = {y, dy, dy};
    const char *const what[] = {"forward", "backward data", "backward weights"};
    TRY(attach(c, c->bias, c->no_bias));
    TRY(attach(c, c->dbias, place(scratch, c->db_at)));
    TRY(attach(c, c->weights_gradient.other, place(scratch, c->dw_at)));
    if (c->turned) TRY(attach(c, c->data_weights.other, place(scratch, c->data_at)));
    for (int i = 0; i < 3; i++) {
        product_pass *p = all[i];
        TRY(attach(c, p->in_memory, staging_out(&p->in, (void *)in[i], scratch)));
        TRY(attach(c, p->out_memory, staging_out(&p->out, (void *)out[i], scratch)));
        TRY(pass_run(c, &p->pass, scratch, what[i]));
    }
done:
    return st;
}
