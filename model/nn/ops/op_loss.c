/* Regression losses: weight * mean over a sample of the penalty (model/nn/ops/penalty.h) of
 * predicted - target. A target with one channel more has there the weight of each pixel. */
#include "model/nn/op.h"
#include "model/nn/ops/penalty.h"

static const char *const loss_names[] = {
    [LOSS_L1] = "l1", [LOSS_L2] = "l2", [LOSS_HUBER] = "huber"};

const named_table loss_kinds = NAMED_TABLE("loss", loss_names);

/* The element of the target for value i of a prediction with c channels, and the weight of its
 * pixel. */
static float target_of(const float *target, int64_t i, int64_t c, int64_t channels, float *weight) {
    const float *pixel = target + i / c * channels;
    *weight = channels > c ? pixel[c] : 1;
    return pixel[i % c];
}

static status loss_forward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const int64_t c = r->in[0].shape[3], channels = r->in[1].shape[3];
    const float *predicted = r->in[0].at, *target = r->in[1].at, *weight = r->in[2].at;
    float *y = r->out.at;
    loss_kind kind = r->op->set.loss;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        double sum = 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            float of_pixel;
            const float wanted = target_of(target, i, c, channels, &of_pixel);
            sum += (double)of_pixel * penalty(kind, (double)predicted[i] - (double)wanted);
        }
        y[b] = (float)(sum / (double)n * (double)weight[b]);
    }
    return ST_OK;
}

static status loss_backward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const int64_t c = r->in[0].shape[3], channels = r->in[1].shape[3];
    const float *predicted = r->in[0].at, *target = r->in[1].at, *weight = r->in[2].at;
    float *dx = r->grad_in[0];
    loss_kind kind = r->op->set.loss;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        float factor = ((const float *)r->grad_out)[b] * weight[b] / (float)n;
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            float of_pixel;
            const float wanted = target_of(target, i, c, channels, &of_pixel);
            dx[i] = factor * of_pixel * penalty_slope(kind, predicted[i] - wanted);
        }
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
    const int64_t more = t->shape[2] - p->shape[2];
    if (p->shape[0] != t->shape[0] || p->shape[1] != t->shape[1] || more < 0 || more > 1)
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
