/* Conversion of weights by gathers: the destination is written, or added to, in order and in whole
 * vectors; the source is read with a stride or through a table of indices. The offset of an element
 * in a blocked layout is a sum of one term per index, which keeps the tables short.
 */
#include "model/nn/kernels/onednn/weight_layout.h"

#include "model/nn/kernels/bf16.h"
#include "model/nn/kernels/cloned.h"

enum { TAPS_MAX = 9, CHUNK = 16 };

/* Whether the layout is blocked without padding and has at most TAPS_MAX taps. */
static bool is_unpadded(const dnnl_memory_desc_t *d) {
    if (d->ndims != 4 || d->format_kind != dnnl_blocked || d->dims[2] * d->dims[3] > TAPS_MAX)
        return false;
    for (int i = 0; i < 4; i++)
        if (d->padded_dims[i] != d->dims[i] || d->padded_offsets[i] != 0) return false;
    return d->offset0 == 0;
}

bool weight_layout_can_write(const dnnl_memory_desc_t *d) {
    const dnnl_blocking_desc_t *b = &d->format_desc.blocking;
    if (!is_unpadded(d)) return false;
    if (d->data_type == dnnl_f32) return b->inner_nblks == 1 && b->inner_idxs[0] == 0;
    return d->data_type == dnnl_bf16 && b->inner_nblks == 2 && b->inner_idxs[0] == 0 &&
           b->inner_idxs[1] == 1 && b->inner_blks[1] == 2;
}

CLONED(void, gather_f32, (const float *from, int64_t step, float *restrict to, int64_t n),
       (from, step, to, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] = from[i * step];
}

void weight_layout_write(const dnnl_memory_desc_t *d, const float *weight, int64_t step_a,
                         int64_t step_b, bool flipped, void *to) {
    const dnnl_blocking_desc_t *k = &d->format_desc.blocking;
    int64_t width = k->inner_blks[0], pair = d->data_type == dnnl_bf16 ? 2 : 1;
    int64_t blocks = d->dims[0] / width, taps = d->dims[2] * d->dims[3];
#pragma omp parallel for collapse(2) schedule(static) if (blocks * d->dims[1] > 64)
    for (int64_t block = 0; block < blocks; block++) {
        for (int64_t b = 0; b < d->dims[1] / pair; b++) {
            for (int64_t t = 0; t < taps; t++) {
                const float *from = weight + block * width * step_a + b * pair * step_b +
                                    (flipped ? taps - 1 - t : t);
                int64_t at = block * k->strides[0] + b * k->strides[1] +
                             t / d->dims[3] * k->strides[2] + t % d->dims[3] * k->strides[3];
                if (pair == 2)
                    bf16_pack_pairs(from, step_a, step_b, (uint32_t *)((bf16 *)to + at), width);
                else
                    gather_f32(from, step_a, (float *)to + at, width);
            }
        }
    }
}

bool weight_layout_can_read(const dnnl_memory_desc_t *d) {
    return is_unpadded(d) && d->data_type == dnnl_f32;
}

/* The term of index i of one dimension in the offset of an element. */
static int64_t offset_term(const dnnl_memory_desc_t *d, int dimension, int64_t i) {
    const dnnl_blocking_desc_t *k = &d->format_desc.blocking;
    int64_t at = 0, step = 1;
    for (int b = k->inner_nblks - 1; b >= 0; b--) {
        if (k->inner_idxs[b] == dimension) {
            at += i % k->inner_blks[b] * step;
            i /= k->inner_blks[b];
        }
        step *= k->inner_blks[b];
    }
    return at + i * k->strides[dimension];
}

CLONED(void, add_gathered,
       (const float *from, const int32_t *restrict index, float *restrict to, int64_t n),
       (from, index, to, n)) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) to[i] += from[index[i]];
}

/* Works in tiles of CHUNK x CHUNK x taps, so that the lines of the source stay in the cache. */
void weight_layout_add(const dnnl_memory_desc_t *d, const float *from, float *plain) {
    int64_t rows = d->dims[0], columns = d->dims[1], taps = d->dims[2] * d->dims[3];
#pragma omp parallel for collapse(2) schedule(static) if (rows * columns > 4096)
    for (int64_t a = 0; a < rows; a += CHUNK) {
        for (int64_t b = 0; b < columns; b += CHUNK) {
            int32_t index[CHUNK * TAPS_MAX];
            int64_t count = columns - b < CHUNK ? columns - b : CHUNK;
            for (int64_t i = 0; i < count; i++)
                for (int64_t t = 0; t < taps; t++)
                    index[i * taps + t] =
                        (int32_t)(offset_term(d, 1, b + i) - offset_term(d, 1, b) +
                                  offset_term(d, 2, t / d->dims[3]) +
                                  offset_term(d, 3, t % d->dims[3]));
            for (int64_t r = a; r < a + CHUNK && r < rows; r++)
                add_gathered(from + offset_term(d, 0, r) + offset_term(d, 1, b), index,
                             plain + (r * columns + b) * taps, count * taps);
        }
    }
}
