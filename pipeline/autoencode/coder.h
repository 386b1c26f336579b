/* The autoencoder (pipeline/common/codec.h) of whole slices, one at a time: reconstructions, and
 * the scale of the latents, for the measurements and previews of its training. */
#ifndef CTAUG_PIPELINE_AUTOENCODE_CODER_H
#define CTAUG_PIPELINE_AUTOENCODE_CODER_H

#include "model/nn/params.h"
#include "pipeline/data/batch.h"
#include "pipeline/stage.h"

typedef struct coder coder;

/* A network for slices of data.size, with parameters 0. Local. */
status coder_open(const stage_context *stage, coder **out);
void coder_close(coder *c);

/* Parameters of encoder and decoder, for reading and publishing. Local. */
params *coder_params(coder *c);

/* Sets the parameters to the first of `values`, which has those of tandem_trainer(). Local. */
void coder_set(coder *c, const float *values);

/* Slice k of `from`, which has slices_map_hu(): *slice, and its reconstruction *image [size * size]
 * in the same numbers. Both belong to the coder until the next call. Local. */
status coder_reconstruct(coder *c, slices *from, int64_t k, const slice_sample **slice,
                         const float **image);

/* 1 / standard deviation of each channel of the latents of all slices of `from`, about their mean,
 * into scale[z]. The ranks share the slices; the result has the same bits for any number of ranks.
 * ST_INPUT if a channel is constant. Collective. */
status coder_scale(coder *c, slices *from, float *scale);

#endif
