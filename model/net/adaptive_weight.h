/* The weight of the adversarial loss in the training of an autoencoder (Esser et al. 2021, equation
 * 7): lambda = |gradient of the reconstruction's loss| / (|gradient of the adversarial loss| +
 * 1e-4), both by the weights of the decoder's last convolution, at most `cap`. The divergence of
 * the latents has no gradient there.
 *
 * Only the last layer and the discriminator run, twice forward and twice back, from the features
 * that the whole network has had for the same samples. One weight may serve several steps.
 */
#ifndef CTAUG_MODEL_NET_ADAPTIVE_WEIGHT_H
#define CTAUG_MODEL_NET_ADAPTIVE_WEIGHT_H

#include "model/net/autoencoder.h"
#include "model/nn/kernels.h"
#include "model/nn/params.h"

typedef struct adaptive_weight adaptive_weight;

/* batch: samples that the gradients are of. compute: as in plan_options. Local. */
status adaptive_weight_create(const autoencoder_config *c, const kernels *engine,
                              tensor_type compute, int64_t batch, adaptive_weight **out);
void adaptive_weight_destroy(adaptive_weight *a);

/* *lambda for a batch. all: parameters of autoencoder_describe_training(), the discriminator's
 * divided by their spectral norms. features [batch, size, size, base], coarse and image [batch,
 * size, size, 1]: of the decoder, and what it reconstructs. features_weight: of the feature losses,
 * where that of the squared differences is 1. ST_OK with a *lambda that is not finite if the
 * gradients are not. Local. */
status adaptive_weight_measure(adaptive_weight *a, const params *all, const float *features,
                               const float *coarse, const float *image, double features_weight,
                               double cap, double *lambda);

#endif
