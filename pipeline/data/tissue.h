/* The tissue outside of the structures, by its HU: what a label map does not say. It needs no
 * labels, so every slice has it.
 *
 * A pixel's HU is the mean of its neighbourhood of 3 x 3 pixels, so that noise makes no speckle.
 * Below -200 HU there is air, which has no class.
 */
#ifndef CTAUG_PIPELINE_DATA_TISSUE_H
#define CTAUG_PIPELINE_DATA_TISSUE_H

#include <stdint.h>

typedef enum tissue {
    TISSUE_AIR = -1,
    TISSUE_FAT,   /* from -200 HU */
    TISSUE_SOFT,  /* from -30 HU */
    TISSUE_DENSE, /* from 150 HU: bone, contrast medium */
    TISSUES
} tissue;

/* The tissue at pixel i of image[size][size], in [-1, 1] of the window (HU low, high). Local. */
tissue tissue_at(const float *image, int64_t size, int64_t i, const double window[2]);

#endif
