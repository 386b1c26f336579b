/* Layer normalisation (Ba et al. 2016) of each pixel over its channels: y = (x - mean) * rstd *
 * gain + bias. Group norm with one group, in contrast, normalises over the pixels of a sample, too.
 */
#include "model/nn/op.h"

#include <math.h>

/* Channels whose parameter gradients a thread sums up at a time. */
enum { COLUMNS = 32 };
static const double EPSILON = 1e-5;

/* saved: mean and rstd (reciprocal standard deviation) of each pixel. */
static status layer_norm_open(op_run *r) {
    r->saved_bytes = 2 * r->batch * r->out.shape[1] * r->out.shape[2] * (int64_t)sizeof(float);
    return ST_OK;
}

static status layer_norm_forward(op_run *r) {
    const int64_t c = r->out.shape[3], n = r->batch * r->out.shape[1] * r->out.shape[2];
    const float *gain = r->param[0], *bias = r->param[1];
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < n; p++) {
        const float *x = (const float *)r->in[0].at + p * c;
        float *y = (float *)r->out.at + p * c, *saved = (float *)r->saved + 2 * p;
        double sum = 0, square = 0;
        for (int64_t k = 0; k < c; k++) sum += (double)x[k];
        const double mean = sum / (double)c;
        for (int64_t k = 0; k < c; k++) square += ((double)x[k] - mean) * ((double)x[k] - mean);
        saved[0] = (float)mean;
        saved[1] = (float)(1 / sqrt(square / (double)c + EPSILON));
        for (int64_t k = 0; k < c; k++) y[k] = (x[k] - saved[0]) * saved[1] * gain[k] + bias[k];
    }
    return ST_OK;
}

/* With u = (x - mean) * rstd and g = dy * gain: dx = rstd * (g - mean of g - u * mean of g u). */
static void send_gradient(op_run *r) {
    const int64_t c = r->out.shape[3], n = r->batch * r->out.shape[1] * r->out.shape[2];
    const float *gain = r->param[0];
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < n; p++) {
        const float *x = (const float *)r->in[0].at + p * c;
        const float *dy = (const float *)r->grad_out + p * c;
        const float mean = ((const float *)r->saved)[2 * p];
        const float rstd = ((const float *)r->saved)[2 * p + 1];
        float *dx = (float *)r->grad_in[0] + p * c;
        double sum = 0, inner = 0;
        for (int64_t k = 0; k < c; k++) {
            const double g = (double)(dy[k] * gain[k]);
            sum += g;
            inner += g * (double)((x[k] - mean) * rstd);
        }
        const float of_g = (float)(sum / (double)c), of_gu = (float)(inner / (double)c);
        for (int64_t k = 0; k < c; k++)
            dx[k] = rstd * (dy[k] * gain[k] - of_g - (x[k] - mean) * rstd * of_gu);
    }
}

static status layer_norm_backward(op_run *r) {
    const int64_t c = r->out.shape[3], n = r->batch * r->out.shape[1] * r->out.shape[2];
    const float *x = r->in[0].at, *dy = r->grad_out, *saved = r->saved;
    if (r->grad_in[0]) send_gradient(r);
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < c; first += COLUMNS) {
        const int64_t columns = first + COLUMNS < c ? COLUMNS : c - first;
        double gain[COLUMNS] = {0}, bias[COLUMNS] = {0};
        for (int64_t p = 0; p < n; p++)
            for (int64_t k = 0; k < columns; k++) {
                const int64_t at = p * c + first + k;
                gain[k] += (double)(dy[at] * (x[at] - saved[2 * p]) * saved[2 * p + 1]);
                bias[k] += (double)dy[at];
            }
        for (int64_t k = 0; k < columns; k++) {
            r->grad_param[0][first + k] += (float)gain[k];
            r->grad_param[1][first + k] += (float)bias[k];
        }
    }
    return ST_OK;
}

static const op_kind layer_norm_kind = {.name = "layer norm",
                                        .backward_reads = BIT_IN0,
                                        .open = layer_norm_open,
                                        .forward = layer_norm_forward,
                                        .backward = layer_norm_backward};

node graph_layer_norm(graph *g, const char *name, node x) {
    const graph_op *from = graph_value(g, x, name);
    if (!from) return NODE_NONE;
    if (g->frozen) return graph_fault(g, "%s: only convolutions can be frozen", name);
    const int64_t c = from->shape[2];
    graph_op op = {.kind = &layer_norm_kind,
                   .in = {x},
                   .inputs = 1,
                   .shape = {from->shape[0], from->shape[1], c}};
    graph_name(g, &op, name);
    graph_param(g, &op, "weight", 1, (int64_t[]){c}, PARAM_ONE, c, false);
    graph_param(g, &op, "bias", 1, (int64_t[]){c}, PARAM_ZERO, c, false);
    return graph_append(g, &op);
}
