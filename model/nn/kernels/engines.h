/* The tables of the three engines behind kernels_of(), and the versions of their libraries. */
#ifndef CTAUG_MODEL_NN_KERNELS_ENGINES_H
#define CTAUG_MODEL_NN_KERNELS_ENGINES_H

#include "model/nn/kernels.h"

extern const kernels kernels_onednn, kernels_openblas, kernels_reference;

/* Valid on this thread until it ends. Local. */
const char *kernels_onednn_version(void);
const char *kernels_openblas_version(void);

#endif
