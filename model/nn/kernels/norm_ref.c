/* Group normalisation and SiLU of the reference engine: plain loops with f64 sums. */
#include "io/alloc.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/norm.h"

#include <math.h>

static double sigmoid(double u) { return 1 / (1 + exp(-u)); }
static double silu(double u) { return u * sigmoid(u); }
static double silu_slope(double u) { return sigmoid(u) * (1 + u * (1 - sigmoid(u))); }

/* The factor of gain * xhat + bias for sample b and channel c, and the summand after it. */
static double scale_of(const norm_shape *s, const float *scale_shift, int64_t b, int64_t c) {
    return scale_shift ? 1.0 + scale_shift[b * 2 * s->channels + c] : 1;
}
static double shift_of(const norm_shape *s, const float *scale_shift, int64_t b, int64_t c) {
    return scale_shift ? scale_shift[b * 2 * s->channels + s->channels + c] : 0;
}

int64_t norm_ref_scratch(const norm_shape *s) {
    (void)s;
    return 0;
}

status norm_ref_forward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                        const float *scale_shift, float *mean, float *rstd, void *y,
                        void *scratch) {
    (void)scratch;
    int64_t width = s->channels / s->groups, sample = s->pixels * s->channels;
    for (int64_t i = 0; i < s->batch * s->groups && !s->given; i++) {
        int64_t b = i / s->groups, first = i % s->groups * width;
        double sum = 0, squares = 0, n = (double)(s->pixels * width);
        for (int64_t p = 0; p < s->pixels; p++)
            for (int64_t c = first; c < first + width; c++)
                sum += activation_read(s->type, x, b * sample + p * s->channels + c);
        for (int64_t p = 0; p < s->pixels; p++) {
            for (int64_t c = first; c < first + width; c++) {
                double d = activation_read(s->type, x, b * sample + p * s->channels + c) - sum / n;
                squares += d * d;
            }
        }
        mean[i] = (float)(sum / n);
        rstd[i] = (float)(1 / sqrt(squares / n + s->epsilon));
    }
    for (int64_t i = 0; i < s->batch * sample; i++) {
        int64_t b = i / sample, c = i % s->channels, g = b * s->groups + c / width;
        double u = ((double)activation_read(s->type, x, i) - mean[g]) * rstd[g] * gain[c] + bias[c];
        u = u * scale_of(s, scale_shift, b, c) + shift_of(s, scale_shift, b, c);
        activation_write(s->type, y, i, (float)(s->silu ? silu(u) : u));
    }
    return ST_OK;
}

/* With v = gain * xhat + bias, u = v * scale + shift and du = dy * silu'(u). Mean and variance of a
 * group depend on every x of it, hence
 *
 *     dxhat = du scale gain
 *     dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat))
 *
 * (Ioffe & Szegedy 2015, section 3, with groups in place of batches). */
status norm_ref_backward(const norm_shape *s, const void *x, const float *gain, const float *bias,
                         const float *scale_shift, const float *mean, const float *rstd,
                         const void *dy, bool add, void *dx, float *dgain, float *dbias,
                         float *dscale_shift, void *scratch) {
    status st;
    (void)scratch;
    int64_t width = s->channels / s->groups, sample = s->pixels * s->channels;
    double *du_sum = NULL, *du_xhat_sum; /* [batch, channels] each */
    TRY(array_alloc(&du_sum, 2 * s->batch * s->channels, sizeof(double), "norm sums"));
    du_xhat_sum = du_sum + s->batch * s->channels;
    for (int64_t i = 0; i < s->batch * sample; i++) {
        int64_t b = i / sample, c = i % s->channels, g = b * s->groups + c / width;
        double xhat = ((double)activation_read(s->type, x, i) - mean[g]) * rstd[g];
        double u = (xhat * gain[c] + bias[c]) * scale_of(s, scale_shift, b, c) +
                   shift_of(s, scale_shift, b, c);
        double du = activation_read(s->type, dy, i) * (s->silu ? silu_slope(u) : 1);
        du_sum[b * s->channels + c] += du;
        du_xhat_sum[b * s->channels + c] += du * xhat;
    }
    for (int64_t i = 0; i < s->batch * sample; i++) {
        int64_t b = i / sample, c = i % s->channels, g = b * s->groups + c / width;
        double xhat = ((double)activation_read(s->type, x, i) - mean[g]) * rstd[g];
        double u = (xhat * gain[c] + bias[c]) * scale_of(s, scale_shift, b, c) +
                   shift_of(s, scale_shift, b, c);
        double du = activation_read(s->type, dy, i) * (s->silu ? silu_slope(u) : 1), mean_d = 0,
               mean_dx = 0;
        for (int64_t j = c / width * width; j < (c / width + 1) * width; j++) {
            double slope = gain[j] * scale_of(s, scale_shift, b, j);
            mean_d += slope * du_sum[b * s->channels + j] / (double)(s->pixels * width);
            mean_dx += slope * du_xhat_sum[b * s->channels + j] / (double)(s->pixels * width);
        }
        double dxhat = du * scale_of(s, scale_shift, b, c) * gain[c];
        double sent = rstd[g] * (dxhat - mean_d - xhat * mean_dx);
        activation_write(s->type, dx, i,
                         (float)(sent + (add ? activation_read(s->type, dx, i) : 0)));
    }
    for (int64_t c = 0; c < s->channels; c++) {
        double gain_sum = 0, bias_sum = 0;
        for (int64_t b = 0; b < s->batch; b++) {
            double d = du_sum[b * s->channels + c], dxh = du_xhat_sum[b * s->channels + c];
            gain_sum += scale_of(s, scale_shift, b, c) * dxh;
            bias_sum += scale_of(s, scale_shift, b, c) * d;
            if (!dscale_shift) continue;
            dscale_shift[b * 2 * s->channels + c] = (float)(gain[c] * dxh + bias[c] * d);
            dscale_shift[b * 2 * s->channels + s->channels + c] = (float)d;
        }
        dgain[c] += (float)gain_sum;
        dbias[c] += (float)bias_sum;
    }
done:
    free(du_sum);
    return st;
}

void silu_ref_forward(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)silu(x[i]);
}

void silu_ref_backward(const float *x, const float *dy, float *dx, int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = (float)(dy[i] * silu_slope(x[i]));
}
