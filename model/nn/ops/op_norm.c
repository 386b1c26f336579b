/* Group normalisation, optionally followed by scale-shift modulation and SiLU. The chain norm ->
 * modulate -> SiLU precedes every convolution; as separate ops it would cost three passes over
 * memory. */
#include "model/nn/op.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static norm_shape shape_of(const op_run *r) {
    return (norm_shape){.batch = r->batch,
                        .pixels = r->out.shape[1] * r->out.shape[2],
                        .channels = r->out.shape[3],
                        .groups = r->op->set.groups,
                        .epsilon = NORM_EPSILON,
                        .silu = r->op->set.silu,
                        .given = r->op->set.given,
                        .type = r->out.type};
}

/* saved: mean and rstd (reciprocal standard deviation), [batch, groups] each. */
static status norm_open(op_run *r) {
    norm_shape s = shape_of(r);
    r->saved_bytes = 2 * r->batch * r->op->set.groups * (int64_t)sizeof(float);
    r->scratch_bytes = r->engine->norm_scratch(&s);
    return ST_OK;
}

/* The scale and shift; NULL: none. */
static const float *modulation_of(const op_run *r) {
    return r->op->inputs - r->op->set.given > 1 ? r->in[1].at : NULL;
}

/* Sets mean and rstd from means and variances. */
static void take_given(const op_run *r, const norm_shape *s, float *mean, float *rstd) {
    const float *given = r->in[r->op->inputs - 1].at;
    for (int64_t i = 0; i < s->batch * s->groups; i++) {
        const float *of = given + i / s->groups * 2 * s->groups;
        mean[i] = of[i % s->groups];
        rstd[i] = 1 / sqrtf(of[s->groups + i % s->groups] + s->epsilon);
    }
}

static status norm_forward(op_run *r) {
    norm_shape s = shape_of(r);
    float *mean = r->saved, *rstd = mean + s.batch * s.groups;
    if (s.given) take_given(r, &s, mean, rstd);
    return r->engine->norm_forward(&s, r->in[0].at, r->param[0], r->param[1], modulation_of(r),
                                   mean, rstd, r->out.at, r->scratch);
}

static status norm_backward(op_run *r) {
    norm_shape s = shape_of(r);
    const float *mean = r->saved, *rstd = mean + s.batch * s.groups;
    if (s.given)
        return status_fail(ST_INTERNAL, "%s: a norm with given statistics cannot be trained",
                           r->op->name);
    if (!r->grad_in[0])
        return status_fail(ST_INTERNAL, "%s: norm cannot be trained directly on an input",
                           r->op->name);
    return r->engine->norm_backward(&s, r->in[0].at, r->param[0], r->param[1], r->in[1].at, mean,
                                    rstd, r->grad_out, r->grad_adds[0], r->grad_in[0],
                                    r->grad_param[0], r->grad_param[1], r->grad_in[1], r->scratch);
}

static const op_kind norm_kind = {.name = "norm",
                                  .backward_reads = BIT_IN0 | BIT_IN1,
                                  .may_be_bf16 = true,
                                  .same_type = BIT_IN0,
                                  .adds_gradient = BIT_IN0,
                                  .open = norm_open,
                                  .forward = norm_forward,
                                  .backward = norm_backward};

node graph_norm(graph *g, const char *name, node x, int64_t groups, node scale_shift, bool silu) {
    const graph_op *from = graph_value(g, x, name);
    if (!from) return NODE_NONE;
    if (g->frozen) return graph_fault(g, "%s: only convolutions can be frozen", name);
    int64_t c = from->shape[2];
    if (groups < 1 || c % groups != 0)
        return graph_fault(g, "%s: %" PRId64 " channels cannot be divided into %" PRId64 " groups",
                           name, c, groups);
    graph_op op = {.kind = &norm_kind,
                   .in = {x, scale_shift},
                   .inputs = scale_shift == NODE_NONE ? 1 : 2,
                   .shape = {from->shape[0], from->shape[1], c},
                   .set = {.groups = groups, .silu = silu}};
    if (scale_shift != NODE_NONE) {
        const graph_op *modulation = graph_value(g, scale_shift, name);
        if (!modulation) return NODE_NONE;
        if (modulation->shape[0] != 1 || modulation->shape[1] != 1 || modulation->shape[2] != 2 * c)
            return graph_fault(g, "%s: scale and shift must be a vector of %" PRId64, name, 2 * c);
    }
    if (g->given) {
        char given[PARAM_NAME];
        snprintf(given, sizeof given, "%.*s.given", PARAM_NAME - 16, name);
        op.in[op.inputs++] = graph_input(g, given, TYPE_F32, 1, 1, 2 * groups);
        op.set.given = true;
    }
    graph_name(g, &op, name);
    graph_param(g, &op, "weight", 1, (int64_t[]){c}, PARAM_ONE, c, false);
    graph_param(g, &op, "bias", 1, (int64_t[]){c}, PARAM_ZERO, c, false);
    return graph_append(g, &op);
}
