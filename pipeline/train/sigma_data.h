/* The standard deviation of the training data, which process edm needs (model/diffusion/process.h).
 */
#ifndef CTAUG_PIPELINE_TRAIN_SIGMA_DATA_H
#define CTAUG_PIPELINE_TRAIN_SIGMA_DATA_H

#include "io/comm.h"
#include "pipeline/data/batch.h"

/* *out = standard deviation of all pixels, in [-1, 1], of at most 4096 evenly spaced slices of
 * size*size pixels, without augmentation; of latents, of their `values`, which for pixels are
 * size*size. Equal bits for any number of ranks. Collective. */
status sigma_data_measure(const comm *c, slices *from, int64_t size, int64_t values, double *out);

#endif
