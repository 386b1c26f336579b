/* Tree sums, computed in blocks of BLOCK floats so that partial sums stay in the cache. */
#include "model/sum.h"
#include "io/alloc.h"
#include "model/nn/kernels/cloned.h"

#include <string.h>

enum { BLOCK = 1024, LEVELS = 48 };

struct sum_stack {
    int64_t n;
    int64_t pushed; /* bit k: level k holds the sum of 2^k arrays */
    int levels;
    float *level[LEVELS];
};

CLONED(void, add, (float *restrict to, const float *restrict from, int64_t n), (to, from, n)) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

CLONED(void, add_pair, (float *restrict to, const float *a, const float *b, int64_t n),
       (to, a, b, n)) {
    for (int64_t i = 0; i < n; i++) to[i] = a[i] + b[i];
}

/* Size of the left subtree: the largest power of two below count >= 2. */
static int64_t lower_half(int64_t count) {
    int64_t half = 1;
    while (2 * half < count) half *= 2;
    return half;
}

/* The tree sum of floats [at, at + n), n <= BLOCK. */
static void sum_block(const float *const *x, int count, int64_t at, int64_t n, float *out) {
    float other[BLOCK];
    if (count == 1) {
        memcpy(out, x[0] + at, (size_t)n * sizeof *out);
    } else if (count == 2) {
        add_pair(out, x[0] + at, x[1] + at, n);
    } else {
        int half = (int)lower_half(count);
        sum_block(x, half, at, n, out);
        sum_block(x + half, count - half, at, n, other);
        add(out, other, n);
    }
}

void tree_sum(const float *const *x, int count, int64_t n, float *out) {
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < n; at += BLOCK) {
        float sum[BLOCK];
        int64_t m = n - at < BLOCK ? n - at : BLOCK;
        sum_block(x, count, at, m, sum);
        memcpy(out + at, sum, (size_t)m * sizeof *sum);
    }
}

double tree_sum_f64(const double *x, int64_t count) {
    if (count < 2) return count == 1 ? x[0] : 0;
    int64_t half = lower_half(count);
    return tree_sum_f64(x, half) + tree_sum_f64(x + half, count - half);
}

status sum_stack_create(int64_t n, int64_t max_arrays, sum_stack **out) {
    status st = ST_OK;
    sum_stack *s = NULL;
    *out = NULL;
    TRY(array_alloc(&s, 1, sizeof *s, "partial sums"));
    s->n = n;
    for (int64_t m = max_arrays; m > 1; m /= 2)
        TRY(pages_alloc(&s->level[s->levels++], n * (int64_t)sizeof(float),
                        "partial sums of gradients"));
    *out = s;
    s = NULL;
done:
    sum_stack_destroy(s);
    return st;
}

void sum_stack_destroy(sum_stack *s) {
    if (!s) return;
    for (int k = 0; k < s->levels; k++) free(s->level[k]);
    free(s);
}

void sum_stack_clear(sum_stack *s) { s->pushed = 0; }

void sum_stack_push(sum_stack *s, float *x) {
    int free_level = __builtin_ctzll(~(unsigned long long)s->pushed);
#pragma omp parallel for schedule(static)
    for (int64_t at = 0; at < s->n; at += BLOCK) {
        int64_t m = s->n - at < BLOCK ? s->n - at : BLOCK;
        for (int k = 0; k < free_level; k++) add(x + at, s->level[k] + at, m);
        memcpy(s->level[free_level] + at, x + at, (size_t)m * sizeof *x);
        memset(x + at, 0, (size_t)m * sizeof *x);
    }
    s->pushed++;
}

void sum_stack_add_to(const sum_stack *s, float *x, int64_t at, int64_t n) {
#pragma omp parallel for schedule(static)
    for (int64_t i = at; i < at + n; i += BLOCK) {
        int64_t m = at + n - i < BLOCK ? at + n - i : BLOCK;
        for (int k = 0; k < s->levels; k++)
            if (s->pushed >> k & 1) add(x + i, s->level[k] + i, m);
    }
}
