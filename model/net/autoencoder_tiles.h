/* The decoder of the autoencoder in tiles, so that the memory of activations does not grow with the
 * pixels of an image. The numbers are those of the whole to the rounding of f32.
 *
 * The low levels, up to the first that is larger than a tile, are decoded whole. A further level is
 * decoded in tiles that overlap by more pixels than its convolutions reach. Its group norms need
 * mean and variance over the whole level: they are measured one after the other, each by a pass
 * over all tiles with the norms before it given, and a last pass writes the level. What is kept
 * between levels is the end of a level, and at last the image. The passes cost about three times
 * the operations of the tiled levels.
 */
#ifndef CTAUG_MODEL_NET_AUTOENCODER_TILES_H
#define CTAUG_MODEL_NET_AUTOENCODER_TILES_H

#include "model/net/autoencoder.h"
#include "model/nn/plan.h"

typedef struct tiled_decoder tiled_decoder;

/* tile: pixels of a tile along each axis without its border, a multiple of 8 that is not less than
 * the border (autoencoder_tiles_border()). decoder: the parameters of
 * autoencoder_describe_decoder(), which must outlive *out; they are read in each run. The caller
 * calls tiled_decoder_close(). All are Local. */
status tiled_decoder_open(const autoencoder_config *c, int64_t tile, const params *decoder,
                          const kernels *engine, tensor_type compute, tiled_decoder **out);
void tiled_decoder_close(tiled_decoder *t);

/* Pixels by which a tile is larger than what is taken from it, on each side. */
int64_t autoencoder_tiles_border(const autoencoder_config *c);

/* latent [size / factor, size / factor, z], image [size, size]. */
status tiled_decoder_run(tiled_decoder *t, const float *latent, float *image);

/* Bytes of the last run: the largest arena of a plan for tiles (0: there was no tile), and the most
 * that was kept between levels, with the image. */
typedef struct tiled_memory {
    int64_t arena, kept;
} tiled_memory;
tiled_memory tiled_decoder_memory(const tiled_decoder *t);

#endif
