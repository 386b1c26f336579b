/* The generator of a study's GAN (model/net/gan.h), for sampling: previews and generation. */
#ifndef CTAUG_PIPELINE_COMMON_GENERATOR_H
#define CTAUG_PIPELINE_COMMON_GENERATOR_H

#include "model/net/gan.h"
#include "model/nn/plan.h"
#include "pipeline/common/denoiser.h"

/* The denoiser's configuration without dropout. Local. */
status generator_config(const study *s, const label_set *labels, unet_config *out);

/* The folder <out>/gan/<the first 16 digits of the fingerprint> of a training, and in it those of
 * the checkpoints of the two networks. Trainings of other studies or stores keep theirs. Local. */
status generator_checkpoints(const stage_context *stage, const char *fingerprint,
                             char generator[PATH_SIZE], char discriminator[PATH_SIZE]);

/* A generator has no use for the time, an input of the U-Net: it is 0. */
extern const noise_level generator_level;

typedef struct generator generator;

/* The parameters start at zero: the caller fills generator_params() and calls
 * generator_params_changed(). batch: slices computed at once. Local. */
status generator_open(const stage_context *stage, const label_set *labels, int64_t batch,
                      generator **out);
void generator_close(generator *g);
params *generator_params(generator *g);
int64_t generator_pixels(const generator *g); /* of a slice */

/* Must be called after every change of the parameters. Local. */
void generator_params_changed(generator *g);

/* Computes `count` <= batch slices for their conditions from noise [count][size*size] into
 * out[count*size*size], values in [-1, 1]. Local. */
status generator_sample(generator *g, const slice_sample *conditions, const float *noise,
                        int64_t count, float *out);

#endif
