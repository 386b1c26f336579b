/* Exact Euclidean distance transform with anisotropic voxels (Felzenszwalb & Huttenlocher 2012). */
#ifndef CTAUG_MODEL_METRIC_DISTANCE_TRANSFORM_H
#define CTAUG_MODEL_METRIC_DISTANCE_TRANSFORM_H

#include "io/status.h"

#include <stdint.h>

/* squared[z][y][x]: the squared distance in mm^2 of each voxel's centre to that of the nearest
 * voxel with site[z][y][x] != 0; INFINITY if there is none. shape: depth, height, width; spacing:
 * mm between voxels in the same order. Exact up to rounding. ST_INPUT if a size is less than 1 or a
 * spacing is not positive. Local; uses OpenMP. */
status distance_transform(const uint8_t *site, const int64_t shape[3], const double spacing[3],
                          double *squared);

#endif
