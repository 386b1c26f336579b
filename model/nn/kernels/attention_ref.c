/* Attention of the reference engine: plain loops with f64 sums. */
#include "io/alloc.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/attention.h"

#include <math.h>

/* Index of row t of q (part 0), k (1) or v (2) of one sample and head. A row has channels / heads
 * elements. */
static int64_t row_at(const attention_shape *s, int64_t b, int64_t t, int part, int64_t h) {
    return ((b * s->tokens + t) * 3 + part) * s->channels + h * (s->channels / s->heads);
}

static double score(const attention_shape *s, const void *qkv, int64_t b, int64_t h, int64_t i,
                    int64_t j) {
    int64_t d = s->channels / s->heads, q = row_at(s, b, i, 0, h), k = row_at(s, b, j, 1, h);
    double sum = 0;
    for (int64_t e = 0; e < d; e++)
        sum += (double)activation_read(s->type, qkv, q + e) * activation_read(s->type, qkv, k + e);
    return sum / sqrt((double)d);
}

int64_t attention_ref_scratch(const attention_shape *s) {
    (void)s;
    return 0;
}

status attention_ref_forward(const attention_shape *s, const void *qkv, void *y, float *logsum,
                             void *scratch) {
    status st;
    (void)scratch;
    int64_t d = s->channels / s->heads;
    double *p = NULL; /* [tokens]: one row of probabilities */
    TRY(array_alloc(&p, s->tokens, sizeof *p, "attention scores"));
    for (int64_t r = 0; r < s->batch * s->heads * s->tokens; r++) {
        int64_t b = r / (s->heads * s->tokens), h = r / s->tokens % s->heads, i = r % s->tokens;
        int64_t row = (b * s->tokens + i) * s->channels + h * d;
        double max = -INFINITY, sum = 0;
        for (int64_t j = 0; j < s->tokens; j++) {
            p[j] = score(s, qkv, b, h, i, j);
            max = fmax(max, p[j]);
        }
        for (int64_t j = 0; j < s->tokens; j++) sum += exp(p[j] - max);
        logsum[r] = (float)(max + log(sum));
        for (int64_t e = 0; e < d; e++) {
            double out = 0;
            for (int64_t j = 0; j < s->tokens; j++)
                out += exp(p[j] - max) / sum *
                       activation_read(s->type, qkv, row_at(s, b, j, 2, h) + e);
            activation_write(s->type, y, row + e, (float)out);
        }
    }
done:
    free(p);
    return st;
}

/* dP = dy v^T, dS = P (dP - sum_j P dP), and sum_j P dP = dy . y; then dq = dS k, dk = dS^T q and
 * dv = P^T dy (Dao et al. 2022, appendix B.2). */
status attention_ref_backward(const attention_shape *s, const void *qkv, const void *y,
                              const float *logsum, const void *dy, void *dqkv, void *scratch) {
    status st;
    (void)scratch;
    int64_t d = s->channels / s->heads, count = s->batch * s->tokens * 3 * s->channels;
    double *sum = NULL; /* of dqkv */
    TRY(array_alloc(&sum, count, sizeof *sum, "attention gradients"));
    for (int64_t r = 0; r < s->batch * s->heads * s->tokens; r++) {
        int64_t b = r / (s->heads * s->tokens), h = r / s->tokens % s->heads, i = r % s->tokens;
        int64_t at = (b * s->tokens + i) * s->channels + h * d, q = row_at(s, b, i, 0, h);
        double inner = 0;
        for (int64_t e = 0; e < d; e++)
            inner +=
                (double)activation_read(s->type, dy, at + e) * activation_read(s->type, y, at + e);
        for (int64_t j = 0; j < s->tokens; j++) {
            int64_t k = row_at(s, b, j, 1, h), v = row_at(s, b, j, 2, h);
            double p = exp(score(s, qkv, b, h, i, j) - logsum[r]), dp = 0;
            for (int64_t e = 0; e < d; e++)
                dp += (double)activation_read(s->type, dy, at + e) *
                      activation_read(s->type, qkv, v + e);
            double ds = p * (dp - inner) / sqrt((double)d);
            for (int64_t e = 0; e < d; e++) {
                sum[q + e] += ds * activation_read(s->type, qkv, k + e);
                sum[k + e] += ds * activation_read(s->type, qkv, q + e);
                sum[v + e] += p * activation_read(s->type, dy, at + e);
            }
        }
    }
    for (int64_t i = 0; i < count; i++) activation_write(s->type, dqkv, i, (float)sum[i]);
done:
    free(sum);
    return st;
}
