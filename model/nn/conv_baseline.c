/* Timing the convolutions of a network by themselves. */
#include "model/nn/conv_baseline.h"

#include "io/alloc.h"
#include "model/nn/clock.h"
#include "model/nn/op.h"

#include <string.h>

enum { REPEATS = 3 };

/* map: x, dy, y, dx. */
static status run_products(const kernels *engine, conv *c, void *const map[4], float *w,
                           void *scratch) {
    status st = ST_OK;
    if (engine->conv_products)
        return engine->conv_products(c, map[0], map[1], map[2], map[3], scratch);
    TRY(engine->conv_forward(c, map[0], NULL, map[2], scratch));
    TRY(engine->conv_backward_data(c, map[1], map[3], scratch));
    TRY(engine->conv_backward_weights(c, map[0], map[1], w, NULL, scratch));
done:
    return st;
}

/* Zeros: reading them costs what reading anything costs, once every page is there. */
static status map_open(const conv_shape *s, bool output, void **map) {
    int64_t h = output ? (s->height - 1) / s->stride + 1 : s->height;
    int64_t width = output ? (s->width - 1) / s->stride + 1 : s->width;
    tensor t = {.type = output ? s->y : s->x,
                .shape = {s->batch, h, width, output ? s->out : s->in}};
    status st = pages_alloc(map, tensor_bytes(&t), "a benchmark");
    if (st == ST_OK) memset(*map, 0, (size_t)tensor_bytes(&t));
    return st;
}

/* The best of a few runs, after one that warms caches. */
static status time_conv(const conv_shape *s, const kernels *engine, double *best) {
    status st = ST_OK;
    conv *c = NULL;
    void *map[4] = {NULL, NULL, NULL, NULL}, *scratch = NULL, *packed = NULL; /* x, dy, y, dx */
    float *w = NULL;
    for (int i = 0; i < 4; i++) TRY(map_open(s, i == 1 || i == 2, &map[i]));
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
        double began = seconds();
        TRY(run_products(engine, c, map, w, scratch));
        double took = seconds() - began;
        if (i == 1 || (i > 1 && took < *best)) *best = took;
    }
done:
    if (c) engine->conv_close(c);
    for (int i = 0; i < 4; i++) free(map[i]);
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
        if (!from->kind->forward) continue; /* an input wants no gradient: no step makes it */
        conv_shape s;
        memset(&s, 0, sizeof s); /* padding too: shapes are compared as bytes */
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
