/* The feature network of the published FID: Inception v3 (Szegedy et al. 2016, "Rethinking the
 * Inception architecture for computer vision"), with the weights that Heusel et al. 2017 use.
 *
 * These are TensorFlow's of 2015, whose network differs from the later ones in three places: the
 * mean pools divide by the pixels that exist, the last block has a max pool, and the head is for
 * 1,008 classes. Features are the means over the 8x8 pixels of the last block ("pool3"), 2,048
 * values >= 0. Names and shapes of the parameters are those of pytorch-fid (Seitzer 2020).
 */
#ifndef CTAUG_MODEL_NET_INCEPTION_V3_H
#define CTAUG_MODEL_NET_INCEPTION_V3_H

#include "io/status.h"

#include <stdint.h>

enum { INCEPTION_V3_FEATURES = 2048, INCEPTION_V3_SIZE_MAX = 8192, INCEPTION_V3_BATCH_MAX = 4096 };

typedef struct inception_v3 inception_v3;

/* Where the parameters come from: read() writes the one with this name and shape, row-major, to
 * values, or fails. */
typedef struct inception_v3_source {
    status (*read)(void *context, const char *name, int rank, const int64_t *shape, float *values);
    void *context;
} inception_v3_source;

/* Opens the network for up to `batch` (1..4096) images at once and for the present number of
 * threads; it takes 11 MB an image beside 88 MB of weights. inception_v3_destroy() frees *out.
 * ST_INPUT naming the parameter if a value is not finite or a variance is negative; ST_USAGE if
 * batch is out of range. Local. */
status inception_v3_create(const inception_v3_source *source, int64_t batch, inception_v3 **out);
void inception_v3_destroy(inception_v3 *n);

/* images [count, size, size], values in [-1, 1]: grey, size in 1..8192. Each is resized to 299x299
 * by bilinear interpolation between pixel centres, without smoothing before it, and is the red,
 * green and blue of the input. features [count, 2048]. The bits of a row depend on its image alone.
 * ST_INPUT if size is out of range, or naming the image if a pixel is not finite. Local. */
status inception_v3_features(inception_v3 *n, const float *images, int64_t count, int64_t size,
                             float *features);

#endif
