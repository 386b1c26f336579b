/* The denoiser that sampled a synthetic store. */
#ifndef CTAUG_PIPELINE_COMMON_SAMPLED_DENOISER_H
#define CTAUG_PIPELINE_COMMON_SAMPLED_DENOISER_H

#include "pipeline/common/denoiser.h"

/* Opens the denoiser of `batch` slices with the EMA parameters of the checkpoint that sampled the
 * store, and the steps and guidance that were chosen for it; with generate.ground: captions it
 * draws on captions alone. real: the store of the run. ST_INPUT
 * if the checkpoint is not there any more. The caller calls denoiser_close(). Collective. */
status sampled_denoiser_open(const stage_context *s, const store *real, const store *synthetic,
                             int64_t batch, denoiser **out);

#endif
