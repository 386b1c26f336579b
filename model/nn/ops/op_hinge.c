/* Losses of an adversarial pair on the scores of a discriminator: weight * mean over a sample of
 * max(0, 1 - sign * score) for the discriminator, and of -score for the generator (Lim & Ye 2017;
 * Miyato et al. 2018, equations 16 and 17). */
#include "model/nn/op.h"

static status hinge_forward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const float *score = r->in[0].at, *sign = r->in[1].at, *weight = r->in[2].at;
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++) {
        double sum = 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            double margin = 1 - (double)sign[b] * (double)score[i];
            sum += margin > 0 ? margin : 0;
        }
        y[b] = (float)(sum / (double)n * (double)weight[b]);
    }
    return ST_OK;
}

static status hinge_backward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const float *score = r->in[0].at, *sign = r->in[1].at, *weight = r->in[2].at;
    float *dx = r->grad_in[0];
    for (int64_t b = 0; b < r->batch; b++) {
        float slope = -sign[b] * ((const float *)r->grad_out)[b] * weight[b] / (float)n;
        for (int64_t i = b * n; i < (b + 1) * n; i++)
            dx[i] = 1 - (double)sign[b] * (double)score[i] > 0 ? slope : 0;
    }
    return ST_OK;
}

static status score_forward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const float *score = r->in[0].at, *weight = r->in[1].at;
    float *y = r->out.at;
    for (int64_t b = 0; b < r->batch; b++) {
        double sum = 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) sum += (double)score[i];
        y[b] = (float)(-sum / (double)n * (double)weight[b]);
    }
    return ST_OK;
}

static status score_backward(op_run *r) {
    int64_t n = tensor_sample(&r->in[0]);
    const float *weight = r->in[1].at;
    float *dx = r->grad_in[0];
    for (int64_t b = 0; b < r->batch; b++) {
        float slope = -((const float *)r->grad_out)[b] * weight[b] / (float)n;
        for (int64_t i = b * n; i < (b + 1) * n; i++) dx[i] = slope;
    }
    return ST_OK;
}

static const op_kind hinge_kind = {.name = "hinge loss",
                                   .backward_reads = BIT_IN0 | BIT_IN1 | BIT_IN2,
                                   .forward = hinge_forward,
                                   .backward = hinge_backward};

static const op_kind score_kind = {.name = "score loss",
                                   .backward_reads = BIT_IN1,
                                   .forward = score_forward,
                                   .backward = score_backward};

/* Whether x is one value per sample. */
static bool is_single(graph *g, node x, const char *reader) {
    const graph_op *from = graph_value(g, x, reader);
    if (from && from->shape[0] * from->shape[1] * from->shape[2] == 1) return true;
    graph_fault(g, "%s: sign and weight must be one value per sample", reader);
    return false;
}

node graph_hinge_loss(graph *g, node score, node sign, node weight) {
    if (!graph_value(g, score, hinge_kind.name) || !is_single(g, sign, hinge_kind.name) ||
        !is_single(g, weight, hinge_kind.name))
        return NODE_NONE;
    graph_op op = {
        .kind = &hinge_kind, .in = {score, sign, weight}, .inputs = 3, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}

node graph_score_loss(graph *g, node score, node weight) {
    if (!graph_value(g, score, score_kind.name) || !is_single(g, weight, score_kind.name))
        return NODE_NONE;
    graph_op op = {.kind = &score_kind, .in = {score, weight}, .inputs = 2, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
