/* The interface between scan.c and patient.c: the material and HU of a patient at a point. */
#ifndef CTAUG_MODEL_PHANTOM_SCAN_H
#define CTAUG_MODEL_PHANTOM_SCAN_H

#include "model/phantom/phantom.h"

/* The material at a point (scanner coordinates, mm); *hu = its HU with texture. Local. */
material phantom_sample(const phantom *p, float x, float y, float z, float *hu);

/* Noise of slice k is drawn from stream step DRAW_NOISE + k of RNG_PHANTOM; that of the second
 * scanner from 2 DRAW_NOISE + k. */
enum { DRAW_NOISE = 1024 };

#endif
