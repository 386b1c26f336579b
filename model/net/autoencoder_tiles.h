/* The decoder of the autoencoder in tiles, so that large images need less memory. In f32 the
 * numbers are those of the whole to rounding; in bf16 they differ as two ways of bf16 do.
 *
 * The lowest level, and further ones that are not larger than a tile, are decoded whole. The others
 * are decoded piece by piece (autoencoder_describe_piece()): a piece reads the end of the one
 * before in tiles, which overlap by at least as many pixels as its convolutions reach. Its group
 * norms need mean and variance over the whole level: they are measured one after the other, each by
 * a pass over all tiles with the norms before it given; a last pass writes the end of the piece.
 * The ends of two pieces are kept at a time, in place of all that is between them: this is what
 * still grows with the image. The convolutions of a block are computed one and a half times, and
 * the borders of tiles.
 */
#ifndef CTAUG_MODEL_NET_AUTOENCODER_TILES_H
#define CTAUG_MODEL_NET_AUTOENCODER_TILES_H

#include "model/net/autoencoder.h"
#include "model/nn/plan.h"

typedef struct tiled_decoder tiled_decoder;

/* Pixels by which a tile is larger than what is taken from it, on each side. */
enum { TILES_BORDER = 8 };

/* tile: pixels of a tile along each axis without its border, a multiple of TILES_BORDER. decoder:
 * the parameters of autoencoder_describe_decoder(), which must outlive *out; they are read in each
 * run. The caller calls tiled_decoder_close(). All are Local. */
status tiled_decoder_open(const autoencoder_config *c, int64_t tile, const params *decoder,
                          const kernels *engine, tensor_type compute, tiled_decoder **out);
void tiled_decoder_close(tiled_decoder *t);

/* latent [size / factor, size / factor, z], image [size, size]. */
status tiled_decoder_run(tiled_decoder *t, const float *latent, float *image);

/* Bytes of the last run: of the arena for the levels that are whole, of the largest one for tiles
 * (0: there was none), and the most that the ends of two pieces had. */
typedef struct tiled_memory {
    int64_t top, tile, kept;
} tiled_memory;
tiled_memory tiled_decoder_memory(const tiled_decoder *t);

#endif
