/* Classification loss of a sample: weight * cross-entropy of the softmax of its logits, that is,
 * weight * (log of the sum over k of exp(logit k) - logit of the true class). */
#include "model/nn/op.h"

#include <inttypes.h>
#include <math.h>

/* saved: the class probabilities. */
static status class_loss_open(op_run *r) {
    r->saved_bytes = tensor_count(&r->in[0]) * (int64_t)sizeof(float);
    return ST_OK;
}

static status class_loss_forward(op_run *r) {
    const int64_t classes = tensor_sample(&r->in[0]);
    const float *logits = r->in[0].at, *truth = r->in[1].at, *weight = r->in[2].at;
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++)
        if (!(truth[b] >= 0 && truth[b] < (float)classes))
            return status_fail(ST_INPUT, "class %g of a sample, but there are only %" PRId64,
                               (double)truth[b], classes);
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *x = logits + b * classes;
        float *p = (float *)r->saved + b * classes, max = x[0];
        double sum = 0;
        for (int64_t k = 1; k < classes; k++) max = fmaxf(max, x[k]);
        for (int64_t k = 0; k < classes; k++) sum += (double)(p[k] = expf(x[k] - max));
        for (int64_t k = 0; k < classes; k++) p[k] = (float)((double)p[k] / sum);
        y[b] = (float)((double)weight[b] * (log(sum) + (double)max - (double)x[(int64_t)truth[b]]));
    }
    return ST_OK;
}

static status class_loss_backward(op_run *r) {
    const int64_t classes = tensor_sample(&r->in[0]);
    const float *truth = r->in[1].at, *weight = r->in[2].at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float *p = (const float *)r->saved + b * classes;
        const float factor = ((const float *)r->grad_out)[b] * weight[b];
        float *dx = (float *)r->grad_in[0] + b * classes;
        for (int64_t k = 0; k < classes; k++) dx[k] = factor * p[k];
        dx[(int64_t)truth[b]] -= factor;
    }
    return ST_OK;
}

static const op_kind class_loss_kind = {.name = "classification loss",
                                        .backward_reads = BIT_IN1 | BIT_IN2,
                                        .open = class_loss_open,
                                        .forward = class_loss_forward,
                                        .backward = class_loss_backward};

node graph_class_loss(graph *g, node logits, node truth, node weight) {
    const graph_op *l = graph_value(g, logits, "loss"), *t = graph_value(g, truth, "loss");
    const graph_op *w = graph_value(g, weight, "loss");
    if (!l || !t || !w) return NODE_NONE;
    if (l->shape[0] * l->shape[1] != 1)
        return graph_fault(g, "loss: the logits must be one vector per sample");
    if (l->shape[2] > CLASS_LOSS_MAX)
        return graph_fault(g, "loss: more than %d classes", CLASS_LOSS_MAX);
    if (t->shape[0] * t->shape[1] * t->shape[2] != 1 ||
        w->shape[0] * w->shape[1] * w->shape[2] != 1)
        return graph_fault(g, "loss: class and weight must be one value per sample each");
    graph_op op = {
        .kind = &class_loss_kind, .in = {logits, truth, weight}, .inputs = 3, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
