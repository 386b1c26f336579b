/* Cross-attention of the fast engines: the heads of a batch over the threads, each by the tiles of
 * attention_plain.c. Only the keys that exist are gathered, so that pads cost nothing. */
#include "model/nn/kernels/attention_head.h"

#include "model/nn/int_math.h"
#include "model/nn/kernels/activations.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* One head of one sample: where its rows begin. */
typedef struct place {
    const cross_shape *s;
    const float *mask;     /* [keys] of the sample */
    int64_t q, kv, logsum; /* elements before it */
} place;

static int64_t thread_scratch(const cross_shape *s) {
    return round_up_to_cache_line(
        attention_parts_bytes(s->queries, s->keys, s->channels / s->heads));
}

int64_t cross_fast_scratch(const cross_shape *s) {
    return omp_get_max_threads() * thread_scratch(s);
}

static place place_of(const cross_shape *s, const float *mask, int64_t b, int64_t h) {
    const int64_t at = h * (s->channels / s->heads);
    return (place){.s = s,
                   .mask = mask + b * s->keys,
                   .q = b * s->queries * s->channels + at,
                   .kv = 2 * b * s->keys * s->channels + at,
                   .logsum = (b * s->heads + h) * s->queries};
}

static head head_of(product multiply, const place *p, void *scratch) {
    const cross_shape *s = p->s;
    head a = {.multiply = multiply,
              .type = s->type,
              .tokens = s->queries,
              .width = s->channels / s->heads,
              .channels = s->channels,
              .scratch = (char *)scratch + omp_get_thread_num() * thread_scratch(s)};
    a.scale = (float)(1 / sqrt((double)a.width));
    for (int64_t j = 0; j < s->keys; j++) a.keys += p->mask[j] != 0;
    return a;
}

/* Row of key j, or with `value` of its value. */
static int64_t row_of(const place *p, int64_t j, bool value) {
    return p->kv + (2 * j + value) * p->s->channels;
}

static void gather_head(const head *a, const place *p, const void *q, const void *kv) {
    const tensor_type type = p->s->kv_type;
    int64_t at = 0;
    attention_gather(a->type, activation_at(a->type, q, p->q), a->tokens, a->width, a->channels,
                     attention_part(a, PART_Q));
    for (int64_t j = 0; j < p->s->keys; j++) {
        if (p->mask[j] == 0) continue;
        attention_gather(type, activation_at(type, kv, row_of(p, j, false)), 1, a->width, 0,
                         attention_part(a, PART_K) + at);
        attention_gather(type, activation_at(type, kv, row_of(p, j, true)), 1, a->width, 0,
                         attention_part(a, PART_V) + at);
        at += a->width;
    }
}

/* Writes a matrix of the queries to its rows. */
static void scatter_queries(const head *a, const place *p, attention_parts part, void *x) {
    attention_scatter(a->type, attention_part(a, part), a->tokens, a->width, a->channels,
                      activation_at(a->type, x, p->q));
}

/* Keys that do not exist have no gradient. */
static void scatter_keys(const head *a, const place *p, void *dkv) {
    const tensor_type type = p->s->kv_type;
    const size_t bytes = (size_t)(a->width * tensor_element_bytes(type));
    int64_t at = 0;
    for (int64_t j = 0; j < p->s->keys; j++) {
        void *dk = activation_at(type, dkv, row_of(p, j, false));
        void *dv = activation_at(type, dkv, row_of(p, j, true));
        if (p->mask[j] == 0) {
            memset(dk, 0, bytes);
            memset(dv, 0, bytes);
            continue;
        }
        attention_scatter(type, attention_part(a, PART_DK) + at, 1, a->width, 0, dk);
        attention_scatter(type, attention_part(a, PART_DV) + at, 1, a->width, 0, dv);
        at += a->width;
    }
}

/* A result for the queries of a head without keys. */
static void clear(const head *a, attention_parts part) {
    memset(attention_part(a, part), 0, (size_t)(a->tokens * a->width) * sizeof(float));
}

static status forward(const head *a, const place *p, const void *q, const void *kv, void *y,
                      float *logsum) {
    status st = ST_OK;
    if (a->keys == 0) {
        clear(a, PART_Y);
        memset(logsum, 0, (size_t)a->tokens * sizeof *logsum);
    } else {
        gather_head(a, p, q, kv);
        st = attention_tiles_forward(a, logsum);
    }
    if (st == ST_OK) scatter_queries(a, p, PART_Y, y);
    return st;
}

static status backward(const head *a, const place *p, const void *y, const void *dy,
                       const float *logsum) {
    if (a->keys == 0) {
        clear(a, PART_DQ);
        return ST_OK;
    }
    attention_gather(a->type, activation_at(a->type, y, p->q), a->tokens, a->width, a->channels,
                     attention_part(a, PART_Y));
    attention_gather(a->type, activation_at(a->type, dy, p->q), a->tokens, a->width, a->channels,
                     attention_part(a, PART_DY));
    return attention_tiles_backward(a, logsum);
}

status cross_fast_forward(product multiply, const cross_shape *s, const void *q, const void *kv,
                          const float *mask, void *y, float *logsum, void *scratch) {
    head_fault f = {.code = ST_OK};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t h = 0; h < s->heads; h++) {
            const place p = place_of(s, mask, b, h);
            const head a = head_of(multiply, &p, scratch);
            head_fault_keep(&f, forward(&a, &p, q, kv, y, logsum + p.logsum));
        }
    }
    return head_fault_status(&f);
}

status cross_fast_backward(product multiply, const cross_shape *s, const void *q, const void *kv,
                           const float *mask, const void *y, const float *logsum, const void *dy,
                           void *dq, void *dkv, void *scratch) {
    head_fault f = {.code = ST_OK};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t h = 0; h < s->heads; h++) {
            const place p = place_of(s, mask, b, h);
            const head a = head_of(multiply, &p, scratch);
            gather_head(&a, &p, q, kv);
            head_fault_keep(&f, backward(&a, &p, y, dy, logsum + p.logsum));
            if (dq) scatter_queries(&a, &p, PART_DQ, dq);
            if (dkv) scatter_keys(&a, &p, dkv);
        }
    }
    return head_fault_status(&f);
}
