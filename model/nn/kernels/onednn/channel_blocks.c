/* Copies between channels-last and blocks of channels, in tiles of pixels that fit the cache, so
 * that the channels-last side is read or written once and in order. */
#include "model/nn/kernels/onednn/channel_blocks.h"

#include "model/nn/int_math.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/cloned.h"

enum { TILE = 4096 }; /* elements */

#define INLINE static inline __attribute__((always_inline))

/* Pixels [first, first + count) of sample b. */
typedef struct tile {
    int64_t b, first, count;
} tile;

/* Calls `body`, an inline function, with type and width as constants, so that it is compiled once
 * for each type and each width that oneDNN uses. */
#define OF_WIDTH(body, type, s, ...)                                                               \
    ((s)->width == 8    ? body(type, 8, s, __VA_ARGS__)                                            \
     : (s)->width == 16 ? body(type, 16, s, __VA_ARGS__)                                           \
                        : body(type, (s)->width, s, __VA_ARGS__))
#define OF_TYPE(body, s, ...)                                                                      \
    ((s)->type == TYPE_BF16 ? OF_WIDTH(body, TYPE_BF16, s, __VA_ARGS__)                            \
                            : OF_WIDTH(body, TYPE_F32, s, __VA_ARGS__))

/* Index of the tile's first element of channel c in the channels-last array. */
static int64_t nhwc_index(const block_shape *s, tile t, int64_t c) {
    return (t.b * s->pixels + t.first) * s->channels + c;
}

/* Likewise in the blocks; c is a multiple of width. */
static int64_t block_index(const block_shape *s, tile t, int64_t width, int64_t c) {
    return t.b * s->pixels * s->channels + c * s->pixels + t.first * width;
}

INLINE void gather_of(tensor_type type, int64_t width, const block_shape *s, bool rounded, tile t,
                      const void *restrict x, float *restrict blocks) {
    for (int64_t c = 0; c < s->channels; c += width) {
        float *to = blocks + block_index(s, t, width, c);
        int64_t from = nhwc_index(s, t, c);
        for (int64_t p = 0; p < t.count; p++)
            for (int64_t i = 0; i < width; i++) {
                float value = activation_read(type, x, from + p * s->channels + i);
                to[p * width + i] = rounded ? bf16_to_f32(bf16_from_f32(value)) : value;
            }
    }
}

CLONED(void, gather_tile,
       (const block_shape *s, bool rounded, tile t, const void *x, float *blocks),
       (s, rounded, t, x, blocks)) {
    OF_TYPE(gather_of, s, rounded, t, x, blocks);
}

INLINE void scatter_of(tensor_type type, int64_t width, const block_shape *s, tile t,
                       const float *restrict blocks, void *restrict x) {
    for (int64_t c = 0; c < s->channels; c += width) {
        const float *from = blocks + block_index(s, t, width, c);
        int64_t to = nhwc_index(s, t, c);
        for (int64_t p = 0; p < t.count; p++)
            for (int64_t i = 0; i < width; i++)
                activation_write(type, x, to + p * s->channels + i, from[p * width + i]);
    }
}

CLONED(void, scatter_tile, (const block_shape *s, tile t, const float *blocks, void *x),
       (s, t, blocks, x)) {
    OF_TYPE(scatter_of, s, t, blocks, x);
}

static int64_t tile_pixels(const block_shape *s) {
    return s->channels < TILE ? TILE / s->channels : 1;
}

static tile tile_at(const block_shape *s, int64_t b, int64_t first) {
    return (tile){b, first, min_i64(tile_pixels(s), s->pixels - first)};
}

void blocks_gather(const block_shape *s, bool rounded, const void *x, float *blocks) {
    const int64_t step = tile_pixels(s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t p = 0; p < s->pixels; p += step)
            gather_tile(s, rounded, tile_at(s, b, p), x, blocks);
}

void blocks_scatter(const block_shape *s, const float *blocks, void *x) {
    const int64_t step = tile_pixels(s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t p = 0; p < s->pixels; p += step) scatter_tile(s, tile_at(s, b, p), blocks, x);
}
