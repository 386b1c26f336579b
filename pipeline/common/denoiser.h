/* The denoiser of a study: the network that its keys ask for, how slices and conditions are laid
 * into its inputs, and sampling with it. Training, previews and generation share this room. */
#ifndef CTAUG_PIPELINE_COMMON_DENOISER_H
#define CTAUG_PIPELINE_COMMON_DENOISER_H

#include "pipeline/study/study.h"
#include "model/diffusion/sampler.h"
#include "model/net/unet.h"
#include "model/nn/plan.h"
#include "pipeline/data/batch.h"
#include "pipeline/stage.h"

/* The network after model.net, data.size and the store's labels: conditioned on the label map, the
 * slice position and the contrast class. ST_USAGE for an unknown net or a size it cannot halve.
 * Local. */
status denoiser_config(const study *s, const label_set *labels, unet_config *out);

/* Lays sample b into the inputs: x_t [size*size] beside the one-hot labels, time t (1..T), position
 * and class; conditional false drops all conditions. Local. */
typedef struct denoiser_inputs {
    tensor x, t, position, class;
    int64_t labels;
} denoiser_inputs;
status denoiser_inputs_of(plan *pl, const unet_config *c, denoiser_inputs *out);
void denoiser_fill(const denoiser_inputs *in, int64_t b, const float *x_t, int64_t t,
                   const slice_sample *condition, bool conditional);

/* A network ready to sample a fixed batch. */
typedef struct denoiser denoiser;

/* Parameters start at zero: fill denoiser_params() (from an EMA, a checkpoint) before sampling.
 * Local. */
status denoiser_open(const stage_context *stage, const label_set *labels, int64_t batch,
                     denoiser **out);
void denoiser_close(denoiser *d);
params *denoiser_params(denoiser *d);

/* Call after changing parameters. */
void denoiser_params_changed(denoiser *d);

/* Samples `count` <= batch slices for their conditions, as study.generate says, into
 * out[count*size*size], values in [-1, 1]. index[count]: global sample indices, which together with
 * the study's seed the noise follows from. The rest of the batch is computed and thrown away, so
 * that a slice's bytes do not depend on its neighbours. Local. */
status denoiser_sample(denoiser *d, const slice_sample *conditions, const uint64_t *index,
                       int64_t count, float *out);

#endif
