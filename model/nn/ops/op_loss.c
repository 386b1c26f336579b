/* Regression losses: weight * mean over a sample of the penalty (model/nn/ops/penalty.h) of
 * predicted - target. */
#include "model/nn/op.h"
#include "model/nn/ops/penalty.h"

#include <string.h>

static const char *const loss_names[] = {
    [LOSS_L1] = "l1", [LOSS_L2] = "l2", [LOSS_HUBER] = "huber"};

const named_table loss_kinds = NAMED_TABLE("loss", loss_names);

static status loss_forward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const float *predicted = r->in[0].at, *target = r->in[1].at, *weight = r->in[2].at;
    float *y = r->out.at;
    loss_kind kind = r->op->set.loss;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        double sum = 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++)
            sum += penalty(kind, (double)predicted[i] - (double)target[i]);
        y[b] = (float)(sum / (double)n * (double)weight[b]);
    }
    return ST_OK;
}

static status loss_backward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const float *predicted = r->in[0].at, *target = r->in[1].at, *weight = r->in[2].at;
    float *dx = r->grad_in[0];
    loss_kind kind = r->op->set.loss;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        float factor = ((const float *)r->grad_out)[b] * weight[b] / (float)n;
        for (int64_t i = b * n; i < (b + 1) * n; i++)
            dx[i] = factor * penalty_slope(kind, predicted[i] - target[i]);
    }
    return ST_OK;
}

static const op_kind loss_kind_op = {.name = "regression loss",
                                     .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2,
                                     .forward = loss_forward,
                                     .backward = loss_backward};

node graph_regression_loss(graph *g, node predicted, node target, node weight, loss_kind kind) {
    const graph_op *p = graph_value(g, predicted, "loss"), *t = graph_value(g, target, "loss");
    const graph_op *w = graph_value(g, weight, "loss");
    if (!p || !t || !w) return NODE_NONE;
    if (memcmp(p->shape, t->shape, sizeof p->shape) != 0)
        return graph_fault(g, "loss: the prediction and its target differ in shape");
    if (w->shape[0] * w->shape[1] * w->shape[2] != 1)
        return graph_fault(g, "loss: the weight must be one value per sample");
    graph_op op = {.kind = &loss_kind_op,
                   .in = {predicted, target, weight},
                   .inputs = 3,
                   .shape = {1, 1, 1},
                   .set = {.loss = kind}};
    return graph_append(g, &op);
}
