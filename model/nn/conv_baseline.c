/* Times the convolutions of a network alone, each shape once. */
#include "model/nn/conv_baseline.h"

#include "io/alloc.h"
#include "model/nn/clock.h"
#include "model/nn/op.h"

#include <string.h>

enum { REPEATS = 3 };

/* Indices of the activations of a convolution and their gradients. */
enum { X, DY, Y, DX, ACTIVATIONS };

static status run_products(const kernels *engine, conv *c, void *const at[ACTIVATIONS], float *w,
                           void *scratch) {
    status st = ST_OK;
    if (engine->conv_products)
        return engine->conv_products(c, at[X], at[DY], at[Y], at[DX], scratch);
    TRY(engine->conv_forward(c, at[X], NULL, at[Y], scratch));
    TRY(engine->conv_backward_data(c, at[DY], at[DX], scratch));
    TRY(engine->conv_backward_weights(c, at[X], at[DY], w, NULL, scratch));
done:
    return st;
}

/* Allocates an activation and writes zeros, so that every page of it is mapped. */
static status activation_alloc(const conv_shape *s, bool output, void **at) {
    int64_t h = output ? (s->height - 1) / s->stride + 1 : s->height;
    int64_t width = output ? (s->width - 1) / s->stride + 1 : s->width;
    tensor t = {.type = output ? s->y : s->x,
                .shape = {s->batch, h, width, output ? s->out : s->in}};
    status st = pages_alloc(at, tensor_bytes(&t), "a benchmark");
    if (st == ST_OK) memset(*at, 0, (size_t)tensor_bytes(&t));
    return st;
}

/* The shortest time of REPEATS runs, after one that warms the caches. */
static status time_conv(const conv_shape *s, const kernels *engine, double *best) {
    status st = ST_OK;
    conv *c = NULL;
    void *at[ACTIVATIONS] = {NULL}, *scratch = NULL, *packed = NULL;
    float *w = NULL;
    for (int i = 0; i < ACTIVATIONS; i++) TRY(activation_alloc(s, i == DY || i == Y, &at[i]));
    TRY(array_alloc(&w, s->out * s->in * 9, sizeof(float), "a benchmark"));
    if (engine->conv_open_library)
        TRY(engine->conv_open_library(s, &c));
    else
        TRY(engine->conv_open(s, true, &c));
    TRY(pages_alloc(&scratch, engine->conv_scratch(c), "a benchmark"));
    memset(scratch, 0, (size_t)engine->conv_scratch(c));
    TRY(pages_alloc(&packed, engine->conv_packed(c), "a benchmark"));
    TRY(engine->conv_pack(c, w, packed, scratch));
    for (int i = 0; i <= REPEATS; i++) {
        double began = monotonic_seconds();
        TRY(run_products(engine, c, at, w, scratch));
        double took = monotonic_seconds() - began;
        if (i == 1 || (i > 1 && took < *best)) *best = took;
    }
done:
    if (c) engine->conv_close(c);
    for (int i = 0; i < ACTIVATIONS; i++) free(at[i]);
    free(w);
    free(scratch);
    free(packed);
    return st;
}

status conv_baseline_measure(const graph *g, const kernels *engine, int64_t batch, tensor_type type,
                             double *flops_per_s) {
    status st = ST_OK;
    conv_shape *shapes = NULL;
    double *took = NULL, sum = 0, flops = 0;
    int64_t known = 0;
    TRY(array_alloc(&shapes, g->count, sizeof *shapes, "a benchmark"));
    TRY(array_alloc(&took, g->count, sizeof *took, "a benchmark"));
    for (int32_t i = 0; i < g->count; i++) {
        const graph_op *op = &g->ops[i];
        if (op->set.kernel != 3) continue;
        const graph_op *from = &g->ops[op->in[0]];
        if (!from->kind->forward) continue; /* a graph input has no gradient */
        conv_shape s;
        memset(&s, 0, sizeof s); /* also the padding: shapes are compared with memcmp */
        s.batch = batch;
        s.height = from->shape[0];
        s.width = from->shape[1];
        s.in = from->shape[2];
        s.out = op->shape[2];
        s.kernel = 3;
        s.stride = op->set.stride;
        s.x = s.y = type;
        int64_t k = 0;
        while (k < known && memcmp(&shapes[k], &s, sizeof s) != 0) k++;
        if (k == known) {
            TRY(time_conv(&s, engine, &took[known]));
            shapes[known++] = s;
        }
        sum += took[k];
        flops += 3.0 * 2.0 * 9.0 * (double)(batch * op->shape[0] * op->shape[1]) *
                 (double)(s.in * s.out);
    }
    *flops_per_s = sum > 0 ? flops / sum : 0;
done:
    free(shapes);
    free(took);
    return st;
}
