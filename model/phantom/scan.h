/* What the scanner asks of a patient: the material at a point with its textured HU. */
#ifndef CTAUG_MODEL_PHANTOM_SCAN_H
#define CTAUG_MODEL_PHANTOM_SCAN_H

#include "model/phantom/phantom.h"

/* The material at a point (scanner coordinates, mm); its HU with texture goes to *hu. */
material phantom_look(const phantom *p, float x, float y, float z, float *hu);

/* First of the steps of RNG_PHANTOM that slices' noise takes. */
enum { DRAW_NOISE = 1024 };

#endif
