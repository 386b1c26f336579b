/* Slices of a network of latents: images in [-1, 1] of data.window as latents and back, by the
 * published autoencoder (pipeline/common/codec.h), and what is kept of latents in in-painting. The
 * autoencoder is opened when it is first needed: ST_INPUT if it is not there. All are Local. */
#ifndef CTAUG_PIPELINE_COMMON_LATENT_SLICES_H
#define CTAUG_PIPELINE_COMMON_LATENT_SLICES_H

#include "pipeline/data/batch.h"
#include "pipeline/stage.h"

typedef struct latent_slices latent_slices;

/* For batches of up to `batch` slices. stage must outlive *out. */
status latent_slices_open(const stage_context *stage, int64_t batch, latent_slices **out);
void latent_slices_close(latent_slices *l);

/* image[size][size] as latent[side][side][z]. Latents of a training are of HU beyond the window,
 * too, which an image has lost: air is encoded as the lower end. */
status latent_slices_encode(latent_slices *l, const float *image, float *latent);

/* latents[count][side][side][z] as images[count][size][size]. With generate.residual the noise that
 * the autoencoder drops is added in HU (model/residual_noise.h): that of sample index[b], which is
 * volume * 2^20 + slice. The level is one for each volume, drawn from those of training slices;
 * what latent_slices_keep() was told of in between has the level of the image that is kept. */
status latent_slices_decode(latent_slices *l, const float *latents, const uint64_t *index,
                            int64_t count, float *images);

/* From now on latent_slices_restore() keeps of sample b < count what keep[count][size][size] keeps
 * of the image of its condition: of a latent's pixel as much as of the pixel that it is kept least
 * of. */
status latent_slices_keep(latent_slices *l, const slice_sample *conditions, const float *keep,
                          int64_t count);

/* Replaces what is kept of sample b, latent[side][side][z]. */
void latent_slices_restore(const latent_slices *l, int64_t b, float *latent);

#endif
