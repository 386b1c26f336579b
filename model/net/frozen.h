/* Forward passes of a network that is not trained any more: convolutions with bias and ReLU, and
 * pools, on f32 activations [batch, height, width, channels].
 *
 * Graphs and plans (model/nn/) are for networks that are trained: their convolutions are square and
 * padded. A frozen network has rectangular kernels, with or without padding, and several layers
 * write channels of the same value, so that concatenation copies nothing.
 *
 * Values live in slots. A layer reads all channels of a slot and writes some or all channels of
 * another one; it overwrites what the slot held before.
 */
#ifndef CTAUG_MODEL_NET_FROZEN_H
#define CTAUG_MODEL_NET_FROZEN_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { FROZEN_SLOTS = 4 };

typedef struct frozen frozen;

/* One sample of what a slot holds. */
typedef struct frozen_value {
    int slot;
    int64_t height, width, channels;
} frozen_value;

/* Channels [first, first + ...) of a value of `channels` channels in `slot`. channels = 0: the
 * layer's output is the whole value. */
typedef struct frozen_place {
    int slot;
    int64_t first, channels;
} frozen_place;

/* out: channels; padded: by (kernel - 1) / 2 zeros on each side, so that stride 1 keeps the size.
 */
typedef struct frozen_conv {
    int64_t out, kernel_height, kernel_width, stride;
    bool padded;
} frozen_conv;

/* Windows of 3x3. POOL_MEAN: stride 1, padded; the mean over the pixels that exist. POOL_MAX:
 * stride 1, padded; POOL_MAX_HALF: stride 2, not padded. */
typedef enum frozen_pool { POOL_MEAN, POOL_MAX, POOL_MAX_HALF } frozen_pool;

/* A network without layers for up to `batch` >= 1 samples and the present number of threads.
 * frozen_destroy() frees *out. Local. */
status frozen_create(int64_t batch, frozen **out);
void frozen_destroy(frozen *f);

/* Declares an input in a slot. Local. */
status frozen_add_input(frozen *f, int slot, int64_t height, int64_t width, int64_t channels,
                        frozen_value *out);

/* Appends max(0, conv(x, weight) + bias). weight [out, x.channels, kernel_height, kernel_width] and
 * bias [out] are copied. *out is the whole value that the slot then holds. Local. */
status frozen_add_conv(frozen *f, frozen_value x, const frozen_conv *conv, const float *weight,
                       const float *bias, frozen_place to, frozen_value *out);

/* Appends a pool. Local. */
status frozen_add_pool(frozen *f, frozen_value x, frozen_pool pool, frozen_place to,
                       frozen_value *out);

/* Allocates the slots, after the last layer. Local. */
status frozen_ready(frozen *f);

/* What a slot holds: [batch, height, width, channels]. Local. */
float *frozen_slot(const frozen *f, int slot);

/* Runs the layers on the first `count` <= batch samples. The bits of a sample depend neither on the
 * other samples nor on the number of threads. Local. */
void frozen_forward(frozen *f, int64_t count);

#endif
