/* The reference engine: every kernel as its formula reads, in plain loops with f64 sums. It is the
 * measure for the fast engines and wants to be obviously right, not quick. Backward functions here
 * are themselves checked against finite differences of the forward ones.
 */
#include "io/span.h"
#include "model/nn/kernels_fast.h"

#include <math.h>

struct conv {
    conv_shape shape;
    float *weight; /* [out, in, kernel, kernel] */
};

static void ref_conv_close(conv *c) {
    if (c) free(c->weight);
    free(c);
}

static int64_t weight_count(const conv_shape *s) { return s->out * s->in * s->kernel * s->kernel; }

static status ref_conv_open(const conv_shape *shape, bool training, conv **out) {
    status st;
    conv *c = NULL;
    (void)training;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a convolution"));
    c->shape = *shape;
    TRY(array_alloc(&c->weight, weight_count(shape), sizeof(float), "convolution weights"));
    *out = c;
    c = NULL;
done:
    ref_conv_close(c);
    return st;
}

static int64_t ref_conv_scratch(const conv *c) {
    (void)c;
    return 0;
}

static status ref_conv_pack(conv *c, const float *weight, void *scratch) {
    (void)scratch;
    memcpy(c->weight, weight, (size_t)weight_count(&c->shape) * sizeof(float));
    return ST_OK;
}

/* Visits every product of a convolution: y[yi, o] = sum of x[xi, i] w[wi] over taps inside the
 * picture. Indices are of whole pixels; wi is the index of w[o=0, i=0, row, column]. */
typedef void (*tap)(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context);

static void for_each_tap(const conv_shape *s, tap visit, void *context) {
    int64_t yh = (s->height - 1) / s->stride + 1, yw = (s->width - 1) / s->stride + 1;
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t i = 0; i < yh * yw * s->kernel * s->kernel; i++) {
            int64_t pixel = i / (s->kernel * s->kernel), wi = i % (s->kernel * s->kernel);
            int64_t row = pixel / yw * s->stride + wi / s->kernel - s->kernel / 2;
            int64_t column = pixel % yw * s->stride + wi % s->kernel - s->kernel / 2;
            if (row < 0 || row >= s->height || column < 0 || column >= s->width) continue;
            visit(s, (b * s->height + row) * s->width + column, b * yh * yw + pixel, wi, context);
        }
    }
}

typedef struct conv_sums {
    const float *x, *dy, *weight;
    double *sum;
} conv_sums;

static int64_t weight_at(const conv_shape *s, int64_t o, int64_t i, int64_t wi) {
    return (o * s->in + i) * s->kernel * s->kernel + wi;
}

static void forward_tap(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context) {
    conv_sums *k = context;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            k->sum[yi * s->out + o] +=
                (double)k->x[xi * s->in + i] * k->weight[weight_at(s, o, i, wi)];
}

static void data_tap(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context) {
    conv_sums *k = context;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            k->sum[xi * s->in + i] +=
                (double)k->dy[yi * s->out + o] * k->weight[weight_at(s, o, i, wi)];
}

static void weights_tap(const conv_shape *s, int64_t xi, int64_t yi, int64_t wi, void *context) {
    conv_sums *k = context;
    for (int64_t o = 0; o < s->out; o++)
        for (int64_t i = 0; i < s->in; i++)
            k->sum[weight_at(s, o, i, wi)] += (double)k->dy[yi * s->out + o] * k->x[xi * s->in + i];
}

static int64_t output_pixels(const conv_shape *s) {
    return s->batch * ((s->height - 1) / s->stride + 1) * ((s->width - 1) / s->stride + 1);
}

static status ref_conv_forward(conv *c, const void *px, const float *bias, void *py,
                               void *scratch) {
    const float *x = px;
    float *y = py;
    (void)scratch;
    status st;
    const conv_shape *s = &c->shape;
    conv_sums k = {.x = x, .weight = c->weight};
    int64_t count = output_pixels(s) * s->out;
    TRY(array_alloc(&k.sum, count, sizeof(double), "convolution sums"));
    for_each_tap(s, forward_tap, &k);
    for (int64_t i = 0; i < count; i++) y[i] = (float)(k.sum[i] + (bias ? bias[i % s->out] : 0.0f));
done:
    free(k.sum);
    return st;
}

static status ref_conv_backward_data(conv *c, const void *pdy, void *pdx, void *scratch) {
    const float *dy = pdy;
    float *dx = pdx;
    (void)scratch;
    status st;
    const conv_shape *s = &c->shape;
    conv_sums k = {.dy = dy, .weight = c->weight};
    int64_t count = s->batch * s->height * s->width * s->in;
    TRY(array_alloc(&k.sum, count, sizeof(double), "convolution sums"));
    for_each_tap(s, data_tap, &k);
    for (int64_t i = 0; i < count; i++) dx[i] = (float)k.sum[i];
done:
    free(k.sum);
    return st;
}

static status ref_conv_backward_weights(conv *c, const void *px, const void *pdy, float *dw,
                                        float *db, void *scratch) {
    const float *x = px, *dy = pdy;
    (void)scratch;
    status st;
    const conv_shape *s = &c->shape;
    conv_sums k = {.x = x, .dy = dy};
    TRY(array_alloc(&k.sum, weight_count(s), sizeof(double), "convolution sums"));
    for_each_tap(s, weights_tap, &k);
    for (int64_t i = 0; i < weight_count(s); i++) dw[i] += (float)k.sum[i];
    for (int64_t o = 0; db && o < s->out; o++) {
        double sum = 0;
        for (int64_t p = 0; p < output_pixels(s); p++) sum += dy[p * s->out + o];
        db[o] += (float)sum;
    }
done:
    free(k.sum);
    return st;
}

static status ref_matmul(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
                         const float *a, const float *b, float beta, float *c) {
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++)
                sum += (double)(transpose_a ? a[l * m + i] : a[i * k + l]) *
                       (transpose_b ? b[j * k + l] : b[l * n + j]);
            /* beta 0 means overwrite, whatever was there (the BLAS rule). */
            c[i * n + j] = (float)(sum + (beta != 0 ? (double)beta * c[i * n + j] : 0));
        }
    }
    return ST_OK;
}

static double sigmoid(double u) { return 1 / (1 + exp(-u)); }
static double silu(double u) { return u * sigmoid(u); }
static double silu_slope(double u) { return sigmoid(u) * (1 + u * (1 - sigmoid(u))); }

/* What multiplies gain * xhat + bias, and what is added to it, for sample b and channel c. */
static double scale_of(const norm_shape *s, const float *scale_shift, int64_t b, int64_t c) {
    return scale_shift ? 1.0 + scale_shift[b * 2 * s->channels + c] : 1;
}
static double shift_of(const norm_shape *s, const float *scale_shift, int64_t b, int64_t c) {
    return scale_shift ? scale_shift[b * 2 * s->channels + s->channels + c] : 0;
}

static int64_t ref_norm_scratch(const norm_shape *s) {
    (void)s;
    return 0;
}

static status ref_norm_forward(const norm_shape *s, const void *px, const float *gain,
                               const float *bias, const float *scale_shift, float *mean,
                               float *rstd, void *py, void *scratch) {
    const float *x = px;
    float *y = py;
    (void)scratch;
    int64_t width = s->channels / s->groups, sample = s->pixels * s->channels;
    for (int64_t i = 0; i < s->batch * s->groups; i++) {
        int64_t b = i / s->groups, first = i % s->groups * width;
        double sum = 0, squares = 0, n = (double)(s->pixels * width);
        for (int64_t p = 0; p < s->pixels; p++)
            for (int64_t c = first; c < first + width; c++)
                sum += x[b * sample + p * s->channels + c];
        for (int64_t p = 0; p < s->pixels; p++) {
            for (int64_t c = first; c < first + width; c++) {
                double d = x[b * sample + p * s->channels + c] - sum / n;
                squares += d * d;
            }
        }
        mean[i] = (float)(sum / n);
        rstd[i] = (float)(1 / sqrt(squares / n + s->epsilon));
    }
    for (int64_t i = 0; i < s->batch * sample; i++) {
        int64_t b = i / sample, c = i % s->channels, g = b * s->groups + c / width;
        double u = ((double)x[i] - mean[g]) * rstd[g] * gain[c] + bias[c];
        u = u * scale_of(s, scale_shift, b, c) + shift_of(s, scale_shift, b, c);
        y[i] = (float)(s->silu ? silu(u) : u);
    }
    return ST_OK;
}

/* With v = gain * xhat + bias, u = v * scale + shift and du = dy * silu'(u): the mean and the
 * spread of a group both depend on every x of it, hence
 * dx = rstd (dxhat - mean(dxhat) - xhat mean(dxhat xhat)), dxhat = du scale gain
 * (Ioffe & Szegedy 2015, section 3, with groups in place of batches). */
static status ref_norm_backward(const norm_shape *s, const void *px, const float *gain,
                                const float *bias, const float *scale_shift, const float *mean,
                                const float *rstd, const void *pdy, bool add, void *pdx,
                                float *dgain, float *dbias, float *dscale_shift, void *scratch) {
    status st;
    const float *x = px, *dy = pdy;
    float *dx = pdx;
    (void)scratch, (void)add;
    int64_t width = s->channels / s->groups, sample = s->pixels * s->channels;
    double *du_sum = NULL, *du_xhat_sum; /* [batch, channels] each */
    TRY(array_alloc(&du_sum, 2 * s->batch * s->channels, sizeof(double), "norm sums"));
    du_xhat_sum = du_sum + s->batch * s->channels;
    for (int64_t i = 0; i < s->batch * sample; i++) {
        int64_t b = i / sample, c = i % s->channels, g = b * s->groups + c / width;
        double xhat = ((double)x[i] - mean[g]) * rstd[g];
        double u = (xhat * gain[c] + bias[c]) * scale_of(s, scale_shift, b, c) +
                   shift_of(s, scale_shift, b, c);
        double du = dy[i] * (s->silu ? silu_slope(u) : 1);
        du_sum[b * s->channels + c] += du;
        du_xhat_sum[b * s->channels + c] += du * xhat;
    }
    for (int64_t i = 0; i < s->batch * sample; i++) {
        int64_t b = i / sample, c = i % s->channels, g = b * s->groups + c / width;
        double xhat = ((double)x[i] - mean[g]) * rstd[g];
        double u = (xhat * gain[c] + bias[c]) * scale_of(s, scale_shift, b, c) +
                   shift_of(s, scale_shift, b, c);
        double du = dy[i] * (s->silu ? silu_slope(u) : 1), mean_d = 0, mean_dx = 0;
        for (int64_t j = c / width * width; j < (c / width + 1) * width; j++) {
            double slope = gain[j] * scale_of(s, scale_shift, b, j);
            mean_d += slope * du_sum[b * s->channels + j] / (double)(s->pixels * width);
            mean_dx += slope * du_xhat_sum[b * s->channels + j] / (double)(s->pixels * width);
        }
        double dxhat = du * scale_of(s, scale_shift, b, c) * gain[c];
        dx[i] = (float)(rstd[g] * (dxhat - mean_d - xhat * mean_dx));
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

/* Row t of q (part 0), k (1) or v (2) of one sample and head: channels / heads numbers. */
static int64_t row_at(const attention_shape *s, int64_t b, int64_t t, int part, int64_t h) {
    return ((b * s->tokens + t) * 3 + part) * s->channels + h * (s->channels / s->heads);
}

static double score(const attention_shape *s, const float *qkv, int64_t b, int64_t h, int64_t i,
                    int64_t j) {
    int64_t d = s->channels / s->heads, q = row_at(s, b, i, 0, h), k = row_at(s, b, j, 1, h);
    double sum = 0;
    for (int64_t e = 0; e < d; e++) sum += (double)qkv[q + e] * qkv[k + e];
    return sum / sqrt((double)d);
}

static int64_t ref_attention_scratch(const attention_shape *s) {
    (void)s;
    return 0;
}

static status ref_attention_forward(const attention_shape *s, const void *pqkv, void *py,
                                    float *logsum, void *scratch) {
    status st;
    const float *qkv = pqkv;
    float *y = py;
    (void)scratch;
    int64_t d = s->channels / s->heads;
    double *p = NULL; /* [tokens]: one row of probabilities */
    TRY(array_alloc(&p, s->tokens, sizeof *p, "attention scores"));
    for (int64_t r = 0; r < s->batch * s->heads * s->tokens; r++) {
        int64_t b = r / (s->heads * s->tokens), h = r / s->tokens % s->heads, i = r % s->tokens;
        float *row = y + (b * s->tokens + i) * s->channels + h * d;
        double most = -INFINITY, sum = 0;
        for (int64_t j = 0; j < s->tokens; j++) {
            p[j] = score(s, qkv, b, h, i, j);
            most = fmax(most, p[j]);
        }
        for (int64_t j = 0; j < s->tokens; j++) sum += exp(p[j] - most);
        logsum[r] = (float)(most + log(sum));
        for (int64_t e = 0; e < d; e++) {
            double out = 0;
            for (int64_t j = 0; j < s->tokens; j++)
                out += exp(p[j] - most) / sum * qkv[row_at(s, b, j, 2, h) + e];
            row[e] = (float)out;
        }
    }
done:
    free(p);
    return st;
}

/* dP = dy v^T, dS = P (dP - sum_j P dP), and sum_j P dP = dy . y; then dq = dS k, dk = dS^T q and
 * dv = P^T dy (Dao et al. 2022, appendix B.2). */
static status ref_attention_backward(const attention_shape *s, const void *pqkv, const void *py,
                                     const float *logsum, const void *pdy, void *pdqkv,
                                     void *scratch) {
    status st;
    const float *qkv = pqkv, *y = py, *dy = pdy;
    float *dqkv = pdqkv;
    (void)scratch;
    int64_t d = s->channels / s->heads, count = s->batch * s->tokens * 3 * s->channels;
    double *sum = NULL; /* of dqkv */
    TRY(array_alloc(&sum, count, sizeof *sum, "attention gradients"));
    for (int64_t r = 0; r < s->batch * s->heads * s->tokens; r++) {
        int64_t b = r / (s->heads * s->tokens), h = r / s->tokens % s->heads, i = r % s->tokens;
        int64_t at = (b * s->tokens + i) * s->channels + h * d, q = row_at(s, b, i, 0, h);
        double inner = 0;
        for (int64_t e = 0; e < d; e++) inner += (double)dy[at + e] * y[at + e];
        for (int64_t j = 0; j < s->tokens; j++) {
            int64_t k = row_at(s, b, j, 1, h), v = row_at(s, b, j, 2, h);
            double p = exp(score(s, qkv, b, h, i, j) - logsum[r]), dp = 0;
            for (int64_t e = 0; e < d; e++) dp += (double)dy[at + e] * qkv[v + e];
            double ds = p * (dp - inner) / sqrt((double)d);
            for (int64_t e = 0; e < d; e++) {
                sum[q + e] += ds * qkv[k + e];
                sum[k + e] += ds * qkv[q + e];
                sum[v + e] += p * dy[at + e];
            }
        }
    }
    for (int64_t i = 0; i < count; i++) dqkv[i] = (float)sum[i];
done:
    free(sum);
    return st;
}

static void ref_silu_forward(const float *x, float *y, int64_t n) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)silu(x[i]);
}

static void ref_silu_backward(const float *x, const float *dy, float *dx, int64_t n) {
    for (int64_t i = 0; i < n; i++) dx[i] = (float)(dy[i] * silu_slope(x[i]));
}

const kernels kernels_reference = {
    .name = "reference",
    .conv_open = ref_conv_open,
    .conv_close = ref_conv_close,
    .conv_scratch = ref_conv_scratch,
    .conv_pack = ref_conv_pack,
    .conv_forward = ref_conv_forward,
    .conv_backward_data = ref_conv_backward_data,
    .conv_backward_weights = ref_conv_backward_weights,
    .matmul = ref_matmul,
    .norm_scratch = ref_norm_scratch,
    .norm_forward = ref_norm_forward,
    .norm_backward = ref_norm_backward,
    .attention_scratch = ref_attention_scratch,
    .attention_forward = ref_attention_forward,
    .attention_backward = ref_attention_backward,
    .silu_forward = ref_silu_forward,
    .silu_backward = ref_silu_backward,
};
