/* The autoencoder of a study for whole slices, one at a time: an image [size][size], HU by
 * model/hu_map.h, and its latent [side][side][z] with side = size / autoencoder.factor. A latent is
 * the mean that the encoder gives, without noise, each channel times its scale. Large slices
 * are decoded in tiles (model/net/autoencoder_tiles.h). All are Local. */
#ifndef CTAUG_PIPELINE_COMMON_CODEC_H
#define CTAUG_PIPELINE_COMMON_CODEC_H

#include "io/checkpoint.h"
#include "model/net/autoencoder.h"
#include "model/residual_noise.h"
#include "pipeline/common/published.h"

/* Pixels of a side from which on slices are decoded in tiles, and of a tile. */
enum { CODEC_TILED = 512, CODEC_TILE = 128 };

/* The network of the study for images of this size. */
autoencoder_config codec_config(const study *s, int64_t size);

/* The published autoencoder, <out>/autoencoder (pipeline/autoencode/autoencode.c). */
#define AUTOENCODER_KIND "autoencoder"
extern const published_network codec_published;

typedef struct codec codec;

/* A network for slices of data.size with parameters 0 and scales 1. The caller calls
 * codec_close(). */
status codec_create(const stage_context *stage, codec **out);

/* The published one of this study and its store. ST_INPUT if it is not there: ctaug autoencode has
 * to run first. */
status codec_open(const stage_context *stage, codec **out);
void codec_close(codec *c);

/* The noise that a published one drops; else all 0. Owned by c. */
const residual_noise *codec_noise(const codec *c);

/* The arrays of a published one beside its parameters, at these places: "scale" [z],
 * "residual.kernel", "residual.sigma" and "residual.level" (model/residual_noise.h). They point
 * into the caller's scale and noise. */
enum { CODEC_ARRAYS = 4 };
void codec_arrays(int64_t z, float *scale, residual_noise *noise,
                  checkpoint_array out[CODEC_ARRAYS]);

/* Sets the parameters to the first of `values`, those of encoder and decoder. */
void codec_set(codec *c, const float *values);

/* side * side * z. */
int64_t codec_values(const codec *c);

status codec_encode(codec *c, const float *image, float *latent);
status codec_decode(codec *c, const float *latent, float *image);

#endif
