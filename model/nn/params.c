/* Creation and initial values of parameters. */
#include "model/nn/op.h"

#include "io/alloc.h"
#include "model/rng.h"

#include <math.h>
#include <string.h>

status params_create(const graph *g, params **out) {
    status st = ST_OK;
    params *p = NULL;
    *out = NULL;
    TRY(graph_check(g));
    TRY(array_alloc(&p, 1, sizeof *p, "parameters"));
    p->count = g->param_count;
    p->total = g->total;
    TRY(array_alloc(&p->list, p->count, sizeof *p->list, "the list of parameters"));
    TRY(pages_zeroed(&p->value, p->total * (int64_t)sizeof(float), "parameter values"));
    TRY(pages_zeroed(&p->grad, p->total * (int64_t)sizeof(float), "parameter gradients"));
    TRY(pages_zeroed(&p->decay, p->total, "weight decay flags"));
    if (p->count > 0) memcpy(p->list, g->params, (size_t)p->count * sizeof *p->list);
    for (int64_t i = 0; i < p->count; i++)
        memset(p->decay + p->list[i].offset, p->list[i].decay, (size_t)p->list[i].count);
    *out = p;
    p = NULL;
done:
    params_destroy(p);
    return st;
}

void params_destroy(params *p) {
    if (!p) return;
    free(p->list);
    free(p->value);
    free(p->grad);
    free(p->decay);
    free(p);
}

/* A unit vector of uniformly distributed direction. */
static void fill_direction(rng_stream *r, float *value, int64_t n) {
    double square = 0;
    rng_fill_normal(r, value, n);
    for (int64_t k = 0; k < n; k++) square += (double)value[k] * (double)value[k];
    for (int64_t k = 0; k < n; k++) value[k] = (float)((double)value[k] / sqrt(square));
}

void params_init(params *p, uint64_t seed) {
    for (int64_t i = 0; i < p->count; i++) {
        const param *q = &p->list[i];
        float *value = p->value + q->offset;
        double bound = q->init == PARAM_UNIFORM ? 1.0 / sqrt((double)q->fan_in) : 0.0;
        float constant = q->init == PARAM_ONE ? 1.0f : 0.0f;
        rng_stream r = rng_open(seed, RNG_INIT, (uint64_t)i, 0);
        for (int64_t k = 0; k < q->count; k++)
            value[k] = q->init == PARAM_UNIFORM ? (float)rng_between(&r, -bound, bound) : constant;
        if (q->init == PARAM_DIRECTION) fill_direction(&r, value, q->count);
    }
}
