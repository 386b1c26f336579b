/* The latent of an autoencoder, of which the encoder predicts mean m and log-variance l (Kingma &
 * Welling 2014): the sample m + exp(l / 2) e with given noise e (section 2.4), and the divergence
 * of its distribution from the standard normal one (appendix B), weight * mean over a sample of
 * (m^2 + exp(l) - 1 - l) / 2. */
#include "model/nn/op.h"
#include "model/nn/ops/gaussian.h"

#include <math.h>
#include <string.h>

static status sample_forward(op_run *r) {
    const int64_t z = r->out.shape[3], pixels = tensor_count(&r->out) / z;
    const float *moments = r->in[0].at, *noise = r->in[1].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < pixels; p++) {
        const float *m = moments + 2 * p * z, *l = m + z;
        for (int64_t k = 0; k < z; k++)
            y[p * z + k] = m[k] + expf(clamped_log_variance(l[k]).value / 2) * noise[p * z + k];
    }
    return ST_OK;
}

static status sample_backward(op_run *r) {
    const int64_t z = r->out.shape[3], pixels = tensor_count(&r->out) / z;
    const float *moments = r->in[0].at, *noise = r->in[1].at, *dy = r->grad_out;
    float *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t p = 0; p < pixels; p++) {
        const float *l = moments + (2 * p + 1) * z;
        float *dm = dx + 2 * p * z, *dl = dm + z;
        for (int64_t k = 0; k < z; k++) {
            const log_variance v = clamped_log_variance(l[k]);
            dm[k] = dy[p * z + k];
            dl[k] = v.inside ? dy[p * z + k] * noise[p * z + k] * expf(v.value / 2) / 2 : 0;
        }
    }
    return ST_OK;
}

static status kl_forward(op_run *r) {
    const int64_t z = r->in[0].shape[3] / 2, n = tensor_sample(&r->in[0]) / 2;
    const float *moments = r->in[0].at, *weight = r->in[1].at;
    float *y = r->out.at;
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) {
            const float *at = moments + 2 * b * n + 2 * (i / z) * z + i % z;
            const double m = (double)at[0], l = (double)clamped_log_variance(at[z]).value;
            sum += (m * m + exp(l) - 1 - l) / 2;
        }
        y[b] = (float)(sum / (double)n * (double)weight[b]);
    }
    return ST_OK;
}

static status kl_backward(op_run *r) {
    const int64_t z = r->in[0].shape[3] / 2, n = tensor_sample(&r->in[0]) / 2;
    const float *moments = r->in[0].at, *weight = r->in[1].at;
    float *dx = r->grad_in[0];
#pragma omp parallel for schedule(static)
    for (int64_t b = 0; b < r->batch; b++) {
        const float factor = ((const float *)r->grad_out)[b] * weight[b] / (float)n;
        for (int64_t i = 0; i < n; i++) {
            const int64_t at = 2 * b * n + 2 * (i / z) * z + i % z;
            const log_variance v = clamped_log_variance(moments[at + z]);
            dx[at] = factor * moments[at];
            dx[at + z] = v.inside ? factor * expm1f(v.value) / 2 : 0;
        }
    }
    return ST_OK;
}

static const op_kind sample_kind = {.name = "gaussian sample",
                                    .backward_reads = BIT_IN0 | BIT_IN1,
                                    .forward = sample_forward,
                                    .backward = sample_backward};

static const op_kind kl_kind = {.name = "kl loss",
                                .backward_reads = BIT_IN0 | BIT_IN1,
                                .forward = kl_forward,
                                .backward = kl_backward};

node graph_gaussian_sample(graph *g, node moments, node noise) {
    const char *name = sample_kind.name;
    const graph_op *m = graph_value(g, moments, name), *e = graph_value(g, noise, name);
    if (!m || !e) return NODE_NONE;
    const int64_t wanted[3] = {e->shape[0], e->shape[1], 2 * e->shape[2]};
    if (memcmp(m->shape, wanted, sizeof wanted) != 0)
        return graph_fault(g, "%s: the moments must have twice the channels of the noise", name);
    graph_op op = {.kind = &sample_kind,
                   .in = {moments, noise},
                   .inputs = 2,
                   .shape = {e->shape[0], e->shape[1], e->shape[2]}};
    return graph_append(g, &op);
}

node graph_kl_loss(graph *g, node moments, node weight) {
    const char *name = kl_kind.name;
    const graph_op *m = graph_value(g, moments, name), *w = graph_value(g, weight, name);
    if (!m || !w) return NODE_NONE;
    if (m->shape[2] % 2 != 0 || w->shape[0] * w->shape[1] * w->shape[2] != 1)
        return graph_fault(g, "%s: two channels a value and one weight per sample are needed",
                           name);
    graph_op op = {.kind = &kl_kind, .in = {moments, weight}, .inputs = 2, .shape = {1, 1, 1}};
    return graph_append(g, &op);
}
