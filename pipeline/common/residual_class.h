/* The class of tissue by which the noise of a decoded slice is told (model/residual_noise.h). */
#ifndef CTAUG_PIPELINE_COMMON_RESIDUAL_CLASS_H
#define CTAUG_PIPELINE_COMMON_RESIDUAL_CLASS_H

#include "model/residual_noise.h"
#include "pipeline/data/tissue.h"

enum { RESIDUAL_AIR = TISSUES };
_Static_assert(RESIDUAL_AIR + 1 == RESIDUAL_CLASSES, "a class for each tissue, and air");

/* class[size * size] of hu[size * size]: the tissue (pipeline/data/tissue.h), or RESIDUAL_AIR.
 * Local. */
void residual_class(const float *hu, int64_t size, uint8_t *class);

#endif
