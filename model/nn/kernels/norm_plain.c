/* The loops of group normalisation in plain C that the compiler vectorises, and SiLU alone. */
#include "model/nn/int_math.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/cloned.h"
#include "model/nn/kernels/norm.h"
#include "model/nn/kernels/norm_loops.h"
#include "model/nn/kernels/vector_math.h"

#define INLINE static inline __attribute__((always_inline))

/* Calls `body`, an inline function, with the type as a constant first argument, so that it is
 * compiled once for each type. */
#define OF_TYPE(body, type, ...)                                                                   \
    ((type) == TYPE_BF16 ? body(TYPE_BF16, __VA_ARGS__) : body(TYPE_F32, __VA_ARGS__))

INLINE void deviations_of(tensor_type type, const void *restrict x, int64_t n, int64_t width,
                          const float *restrict pivot, float *restrict sum,
                          float *restrict squares) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) {
            float d = activation_read(type, x, at + i) - pivot[i];
            sum[i] += d;
            squares[i] += d * d;
        }
    }
}

CLONED(void, deviations,
       (tensor_type type, const void *restrict x, int64_t n, int64_t width,
        const float *restrict pivot, float *restrict sum, float *restrict squares),
       (type, x, n, width, pivot, sum, squares)) {
    OF_TYPE(deviations_of, type, x, n, width, pivot, sum, squares);
}

INLINE void apply_of(tensor_type type, bool silu, const void *restrict x, int64_t n, int64_t width,
                     const float *restrict mean, const float *restrict slope,
                     const float *restrict offset, void *restrict y) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) {
            float u = (activation_read(type, x, at + i) - mean[i]) * slope[i] + offset[i];
            activation_write(type, y, at + i, silu ? u * fast_sigmoid(u) : u);
        }
    }
}

CLONED(void, apply, (const norm_rows *r, const void *restrict x, int64_t n, void *restrict y),
       (r, x, n, y)) {
    if (r->silu)
        OF_TYPE(apply_of, r->type, true, x, n, r->width, r->mean, r->slope, r->offset, y);
    else
        OF_TYPE(apply_of, r->type, false, x, n, r->width, r->mean, r->slope, r->offset, y);
}

INLINE float silu_slope(float u) {
    float g = fast_sigmoid(u);
    return g * (1.0f + u * (1.0f - g));
}

INLINE void gradients_of(tensor_type type, bool silu, const void *restrict x,
                         const void *restrict dy, int64_t n, int64_t width,
                         const float *restrict mean, const float *restrict slope,
                         const float *restrict offset, float *restrict sum, float *restrict sum_x,
                         float *restrict kept) {
    for (int64_t at = 0; at < n; at += width) {
        int64_t length = n - at < width ? n - at : width;
        for (int64_t i = 0; i < length; i++) {
            float d = activation_read(type, x, at + i) - mean[i],
                  du = activation_read(type, dy, at + i);
            if (silu) kept[at + i] = du *= silu_slope(d * slope[i] + offset[i]);
            sum[i] += du;
            sum_x[i] += du * d;
        }
    }
}

CLONED(void, gradients,
       (const norm_rows *r, const void *restrict x, const void *restrict dy, int64_t n,
        float *restrict sum, float *restrict sum_x, void *restrict kept),
       (r, x, dy, n, sum, sum_x, kept)) {
    if (r->silu)
        OF_TYPE(gradients_of, r->type, true, x, dy, n, r->width, r->mean, r->slope, r->offset, sum,
                sum_x, kept);
    else
        OF_TYPE(gradients_of, r->type, false, x, dy, n, r->width, r->mean, r->slope, r->offset, sum,
                sum_x, kept);
}

/* The simd directive is correct because dx either is dy or does not overlap it. */
INLINE void finish_of(tensor_type type, bool silu, bool add, const norm_rows *r, const void *x,
                      const void *dy, const float *kept, int64_t n, void *dx) {
    const float *mean = r->mean, *slope = r->slope, *same = r->same, *spread = r->spread;
    for (int64_t at = 0; at < n; at += r->width) {
        int64_t length = n - at < r->width ? n - at : r->width;
#pragma omp simd
        for (int64_t i = 0; i < length; i++) {
            float du = silu ? kept[at + i] : activation_read(type, dy, at + i);
            float d = activation_read(type, x, at + i) - mean[i];
            float sent = slope[i] * du - same[i] - d * spread[i];
            activation_write(type, dx, at + i,
                             add ? activation_read(type, dx, at + i) + sent : sent);
        }
    }
}

CLONED(void, finish,
       (const norm_rows *r, bool add, const void *x, const void *dy, const void *kept, int64_t n,
        void *dx),
       (r, add, x, dy, kept, n, dx)) {
    if (r->silu && add)
        OF_TYPE(finish_of, r->type, true, true, r, x, dy, kept, n, dx);
    else if (r->silu)
        OF_TYPE(finish_of, r->type, true, false, r, x, dy, kept, n, dx);
    else if (add)
        OF_TYPE(finish_of, r->type, false, true, r, x, dy, kept, n, dx);
    else
        OF_TYPE(finish_of, r->type, false, false, r, x, dy, kept, n, dx);
}

const norm_loops norm_loops_plain = {
    deviations, apply, {sizeof(float), sizeof(float)}, gradients, finish};

/* ---- SiLU alone ---- */

/* Elements of a chunk; at most SERIAL elements are processed by one thread. */
enum { CHUNK = 8192, SERIAL = 65536 };

CLONED(void, silu_block, (const float *x, float *y, int64_t n), (x, y, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * fast_sigmoid(x[i]);
}

CLONED(void, silu_block_backward, (const float *x, const float *dy, float *dx, int64_t n),
       (x, dy, dx, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * silu_slope(x[i]);
}

void silu_fast_forward(const float *x, float *y, int64_t n) {
#pragma omp parallel for schedule(static) if (n > SERIAL)
    for (int64_t i = 0; i < n; i += CHUNK) silu_block(x + i, y + i, min_i64(CHUNK, n - i));
}

void silu_fast_backward(const float *x, const float *dy, float *dx, int64_t n) {
#pragma omp parallel for schedule(static) if (n > SERIAL)
    for (int64_t i = 0; i < n; i += CHUNK)
        silu_block_backward(x + i, dy + i, dx + i, min_i64(CHUNK, n - i));
}
