/* Self-attention without the score matrix: distributes the heads of a batch over the threads. */
#include "model/nn/kernels/attention_head.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/variants.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>

void head_fault_keep(head_fault *f, status st) {
    if (st == ST_OK) return;
#pragma omp critical(attention_fault)
    if (f->code == ST_OK) {
        f->code = st;
        snprintf(f->message, sizeof f->message, "%s", status_message());
    }
}

status head_fault_status(const head_fault *f) {
    return f->code == ST_OK ? ST_OK : status_fail(f->code, "attention: %s", f->message);
}

static const head_kernels *head_kernels_here(void) { return kernel_best(KERNEL_ATTENTION); }

/* Scratch of one thread in bytes, a multiple of a cache line. */
static int64_t thread_scratch(const attention_shape *s) {
    int64_t bytes = head_kernels_here()->scratch(s->tokens, s->channels / s->heads, s->type);
    return round_up_to_cache_line(bytes);
}

int64_t attention_fast_scratch(const attention_shape *s) {
    return omp_get_max_threads() * thread_scratch(s);
}

static head head_of(product multiply, const attention_shape *s, void *scratch) {
    int64_t width = s->channels / s->heads;
    return (head){.multiply = multiply,
                  .type = s->type,
                  .tiles = s->type == TYPE_BF16 && head_kernels_here()->tiles,
                  .tokens = s->tokens,
                  .width = width,
                  .channels = s->channels,
                  .keys = s->tokens,
                  .scale = (float)(1 / sqrt((double)width)),
                  .scratch = (char *)scratch + omp_get_thread_num() * thread_scratch(s)};
}

status attention_fast_forward(product multiply, const attention_shape *s, const void *qkv, void *y,
                              float *logsum, void *scratch) {
    head_fault f = {.code = ST_OK};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t h = 0; h < s->heads; h++) {
            head a = head_of(multiply, s, scratch);
            int64_t at = b * s->tokens * s->channels;
            head_fault_keep(&f, head_kernels_here()->forward(
                                    &a, activation_at(s->type, qkv, 3 * at + h * a.width),
                                    activation_at(s->type, y, at + h * a.width),
                                    logsum + (b * s->heads + h) * s->tokens));
        }
    }
    return head_fault_status(&f);
}

status attention_fast_backward(product multiply, const attention_shape *s, const void *qkv,
                               const void *y, const float *logsum, const void *dy, void *dqkv,
                               void *scratch) {
    head_fault f = {.code = ST_OK};
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++) {
        for (int64_t h = 0; h < s->heads; h++) {
            head a = head_of(multiply, s, scratch);
            int64_t at = b * s->tokens * s->channels, y_at = at + h * a.width;
            int64_t qkv_at = 3 * at + h * a.width;
            head_fault_keep(
                &f, head_kernels_here()->backward(
                        &a, activation_at(s->type, qkv, qkv_at), activation_at(s->type, y, y_at),
                        logsum + (b * s->heads + h) * s->tokens, activation_at(s->type, dy, y_at),
                        activation_at(s->type, dqkv, qkv_at)));
        }
    }
    return head_fault_status(&f);
}
