/* Weights of the pixels of each label in the loss of the denoiser: the inverse of the label's share
 * of the training slices, so that small structures count, up to a limit. */
#ifndef CTAUG_PIPELINE_TRAIN_LABEL_WEIGHTS_H
#define CTAUG_PIPELINE_TRAIN_LABEL_WEIGHTS_H

#include "io/comm.h"
#include "pipeline/data/batch.h"

/* weight[labels]: min(most, largest share / share of the label) in at most 4096 evenly spaced
 * slices of size*size pixels, without augmentation, divided by its mean over their pixels; labels
 * from `labels` on are background (0), and a label that does not occur has the weight `most`
 * likewise. Equal bits for any number of ranks. Collective. */
status label_weights_measure(const comm *c, slices *from, int64_t size, int64_t labels, double most,
                             double *weight);

#endif
