/* The autoencoder of a study for whole slices, one at a time: an image [size][size], HU by
 * model/hu_map.h, and its latent [side][side][z] with side = size / autoencoder.factor. A latent is
 * the mean that the encoder gives, without noise, each channel times its scale. All are Local. */
#ifndef CTAUG_PIPELINE_COMMON_CODEC_H
#define CTAUG_PIPELINE_COMMON_CODEC_H

#include "model/net/autoencoder.h"
#include "pipeline/stage.h"

/* The network of the study for images of this size. */
autoencoder_config codec_config(const study *s, int64_t size);

/* Kind and file of the published autoencoder, <out>/autoencoder (pipeline/autoencode/autoencode.c).
 */
#define AUTOENCODER_KIND "autoencoder"
#define AUTOENCODER_PARAMETERS "parameters.h5"

typedef struct codec codec;

/* A network for slices of data.size with parameters 0 and scales 1. The caller calls
 * codec_close(). */
status codec_create(const stage_context *stage, codec **out);

/* The published one of this study and its store. ST_INPUT if it is not there: ctaug autoencode has
 * to run first. */
status codec_open(const stage_context *stage, codec **out);
void codec_close(codec *c);

/* Sets the parameters to the first of `values`, those of encoder and decoder. */
void codec_set(codec *c, const float *values);

/* side * side * z. */
int64_t codec_values(const codec *c);

/* The seal of the published one (io/manifest.h); ST_INPUT as codec_open(). */
status codec_seal(const stage_context *stage, char seal[SHA256_HEX]);

/* Notes in a directory of checkpoints that they are of latents of the published autoencoder; and
 * ST_INPUT unless that is noted there. An autoencoder that was deleted and trained again can have
 * other bits under the same fingerprint. */
status codec_mark(const stage_context *stage, const char *directory);
status codec_check(const stage_context *stage, const char *directory);

status codec_encode(codec *c, const float *image, float *latent);
status codec_decode(codec *c, const float *latent, float *image);

#endif
