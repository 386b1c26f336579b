/* Noise and sharpness of the structures in slices: what tells a blurred slice from a sharp one. */
#ifndef CTAUG_PIPELINE_DATA_TEXTURE_H
#define CTAUG_PIPELINE_DATA_TEXTURE_H

#include <stdint.h>

/* Sums over slices, which may be added. */
typedef struct texture_sums {
    double noise, noise_count; /* squared HU; pixels */
    double edge, edge_count;   /* HU per mm; pairs of pixels */
} texture_sums;

/* Adds a slice, image[size][size] in [-1, 1] of a window of `range` HU, labels[size][size], pixels
 * of `spacing` mm, to sums[labels]. Background is left out. Local. */
void texture_add(texture_sums *sums, const float *image, const uint8_t *labels, int64_t size,
                 double range, double spacing);

/* Standard deviation, HU, of the noise of white slices with the same differences between a pixel
 * and the mean of its four neighbours, taken where all five are in the structure; NAN if nowhere.
 */
double texture_noise(const texture_sums *s);

/* Mean difference between neighbouring pixels on both sides of the structure's border, HU per mm;
 * NAN if it has none. */
double texture_edge(const texture_sums *s);

#endif
