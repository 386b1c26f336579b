/* Channels-last to blocks of channels and back, in tiles of pixels that fit the cache, so that the
 * map is read or written in order. */
#include "model/nn/kernels/onednn/channel_blocks.h"

#include "model/nn/kernels/activations.h"
#include "model/nn/kernels/cloned.h"

enum { TILE = 4096 }; /* numbers */

#define INLINE static inline __attribute__((always_inline))

/* Pixels [first, first + count) of sample b. */
typedef struct tile {
    int64_t b, first, count;
} tile;

/* Compiles `body` for each type, and for the widths that oneDNN has. */
#define OF_WIDTH(body, type, s, ...)                                                               \
    ((s)->width == 8    ? body(type, 8, s, __VA_ARGS__)                                            \
     : (s)->width == 16 ? body(type, 16, s, __VA_ARGS__)                                           \
                        : body(type, (s)->width, s, __VA_ARGS__))
#define OF_KIND(body, s, ...)                                                                      \
    ((s)->type == TYPE_BF16 ? OF_WIDTH(body, TYPE_BF16, s, __VA_ARGS__)                            \
                            : OF_WIDTH(body, TYPE_F32, s, __VA_ARGS__))

/* Where a tile begins in the map, and its block of the channels from c on. */
static int64_t map_place(const block_shape *s, tile t, int64_t c) {
    return (t.b * s->pixels + t.first) * s->channels + c;
}
static int64_t block_place(const block_shape *s, tile t, int64_t width, int64_t c) {
    return t.b * s->pixels * s->channels + c * s->pixels + t.first * width;
}

INLINE void gather_of(tensor_type type, int64_t width, const block_shape *s, bool rounded, tile t,
                      const void *restrict map, float *restrict blocks) {
    for (int64_t c = 0; c < s->channels; c += width) {
        float *to = blocks + block_place(s, t, width, c);
        int64_t from = map_place(s, t, c);
        for (int64_t p = 0; p < t.count; p++)
            for (int64_t i = 0; i < width; i++) {
                float x = activation_read(type, map, from + p * s->channels + i);
                to[p * width + i] = rounded ? bf16_to_f32(bf16_from_f32(x)) : x;
            }
    }
}

CLONED(void, gather_tile,
       (const block_shape *s, bool rounded, tile t, const void *map, float *blocks),
       (s, rounded, t, map, blocks)) {
    OF_KIND(gather_of, s, rounded, t, map, blocks);
}

INLINE void scatter_of(tensor_type type, int64_t width, const block_shape *s, tile t,
                       const float *restrict blocks, void *restrict map) {
    for (int64_t c = 0; c < s->channels; c += width) {
        const float *from = blocks + block_place(s, t, width, c);
        int64_t to = map_place(s, t, c);
        for (int64_t p = 0; p < t.count; p++)
            for (int64_t i = 0; i < width; i++)
                activation_write(type, map, to + p * s->channels + i, from[p * width + i]);
    }
}

CLONED(void, scatter_tile, (const block_shape *s, tile t, const float *blocks, void *map),
       (s, t, blocks, map)) {
    OF_KIND(scatter_of, s, t, blocks, map);
}

static int64_t tile_pixels(const block_shape *s) {
    return s->channels < TILE ? TILE / s->channels : 1;
}

static tile tile_at(const block_shape *s, int64_t b, int64_t first) {
    int64_t most = tile_pixels(s);
    return (tile){b, first, s->pixels - first < most ? s->pixels - first : most};
}

void blocks_gather(const block_shape *s, bool rounded, const void *map, float *blocks) {
    const int64_t step = tile_pixels(s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t p = 0; p < s->pixels; p += step)
            gather_tile(s, rounded, tile_at(s, b, p), map, blocks);
}

void blocks_scatter(const block_shape *s, const float *blocks, void *map) {
    const int64_t step = tile_pixels(s);
#pragma omp parallel for collapse(2) schedule(static)
    for (int64_t b = 0; b < s->batch; b++)
        for (int64_t p = 0; p < s->pixels; p += step)
            scatter_tile(s, tile_at(s, b, p), blocks, map);
}
