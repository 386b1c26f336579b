/* Cross-attention of the reference engine: plain loops with f64 sums. */
#include "io/alloc.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/attention.h"

#include <math.h>

/* One query of one head: where its row begins, and its sample. */
typedef struct query {
    int64_t b, h, row; /* elements of q before it */
} query;

static query query_of(const cross_shape *s, int64_t r) {
    const int64_t b = r / (s->heads * s->queries), h = r / s->queries % s->heads;
    return (query){b, h,
                   (b * s->queries + r % s->queries) * s->channels + h * (s->channels / s->heads)};
}

/* Element of kv where key j of the query's head begins; with part 1 its value. */
static int64_t key_row(const cross_shape *s, const query *at, int64_t j, int part) {
    return ((at->b * s->keys + j) * 2 + part) * s->channels + at->h * (s->channels / s->heads);
}

static double score(const cross_shape *s, const query *at, const void *q, const void *kv,
                    int64_t j) {
    const int64_t d = s->channels / s->heads, k = key_row(s, at, j, 0);
    double sum = 0;
    for (int64_t e = 0; e < d; e++)
        sum += (double)activation_read(s->type, q, at->row + e) *
               (double)activation_read(s->kv_type, kv, k + e);
    return sum / sqrt((double)d);
}

int64_t cross_ref_scratch(const cross_shape *s) {
    (void)s;
    return 0;
}

/* p [keys]: the probabilities of a query's keys, 0 for those that do not exist. Returns the
 * logarithm of their denominator. */
static double softmax(const cross_shape *s, const query *at, const void *q, const void *kv,
                      const float *mask, double *p) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s->keys; j++) {
        p[j] = mask[j] != 0 ? score(s, at, q, kv, j) : -INFINITY;
        max = fmax(max, p[j]);
    }
    for (int64_t j = 0; j < s->keys; j++) sum += p[j] = mask[j] != 0 ? exp(p[j] - max) : 0;
    for (int64_t j = 0; j < s->keys && sum > 0; j++) p[j] /= sum;
    return sum > 0 ? max + log(sum) : 0;
}

status cross_ref_forward(const cross_shape *s, const void *q, const void *kv, const float *mask,
                         void *y, float *logsum, void *scratch) {
    status st;
    (void)scratch;
    double *p = NULL;
    TRY(array_alloc(&p, s->keys, sizeof *p, "attention scores"));
    for (int64_t r = 0; r < s->batch * s->heads * s->queries; r++) {
        const query at = query_of(s, r);
        logsum[r] = (float)softmax(s, &at, q, kv, mask + at.b * s->keys, p);
        for (int64_t e = 0; e < s->channels / s->heads; e++) {
            double out = 0;
            for (int64_t j = 0; j < s->keys; j++)
                if (p[j] > 0)
                    out +=
                        p[j] * (double)activation_read(s->kv_type, kv, key_row(s, &at, j, 1) + e);
            activation_write(s->type, y, at.row + e, (float)out);
        }
    }
done:
    free(p);
    return st;
}

/* The gradients of attention_ref.c, from one query. sum_q: of dq, sum_kv: of dkv. */
static void add_query(const cross_shape *s, const query *at, const void *q, const void *kv,
                      const float *mask, const void *y, double logsum, const void *dy,
                      double *sum_q, double *sum_kv) {
    const int64_t d = s->channels / s->heads;
    double inner = 0;
    for (int64_t e = at->row; e < at->row + d; e++)
        inner += (double)activation_read(s->type, dy, e) * (double)activation_read(s->type, y, e);
    for (int64_t j = 0; j < s->keys; j++) {
        const int64_t k = key_row(s, at, j, 0), v = key_row(s, at, j, 1);
        if (mask[at->b * s->keys + j] == 0) continue;
        double p = exp(score(s, at, q, kv, j) - logsum), dp = 0;
        for (int64_t e = 0; e < d; e++)
            dp += (double)activation_read(s->type, dy, at->row + e) *
                  (double)activation_read(s->kv_type, kv, v + e);
        const double ds = p * (dp - inner) / sqrt((double)d);
        for (int64_t e = 0; e < d; e++) {
            sum_q[at->row + e] += ds * (double)activation_read(s->kv_type, kv, k + e);
            sum_kv[k + e] += ds * (double)activation_read(s->type, q, at->row + e);
            sum_kv[v + e] += p * (double)activation_read(s->type, dy, at->row + e);
        }
    }
}

status cross_ref_backward(const cross_shape *s, const void *q, const void *kv, const float *mask,
                          const void *y, const float *logsum, const void *dy, void *dq, void *dkv,
                          void *scratch) {
    status st;
    (void)scratch;
    const int64_t of_q = s->batch * s->queries * s->channels;
    const int64_t of_kv = 2 * s->batch * s->keys * s->channels;
    double *sum_q = NULL, *sum_kv = NULL;
    TRY(array_alloc(&sum_q, of_q, sizeof *sum_q, "attention gradients"));
    TRY(array_alloc(&sum_kv, of_kv, sizeof *sum_kv, "attention gradients"));
    for (int64_t r = 0; r < s->batch * s->heads * s->queries; r++) {
        const query at = query_of(s, r);
        add_query(s, &at, q, kv, mask, y, (double)logsum[r], dy, sum_q, sum_kv);
    }
    for (int64_t i = 0; dq && i < of_q; i++) activation_write(s->type, dq, i, (float)sum_q[i]);
    for (int64_t i = 0; dkv && i < of_kv; i++)
        activation_write(s->kv_type, dkv, i, (float)sum_kv[i]);
done:
    free(sum_q);
    free(sum_kv);
    return st;
}
