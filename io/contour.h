/* From closed contours to voxels and back, in one slice, by the even-odd rule at voxel centres.
 *
 * Contours lie in voxel coordinates: pairs (column, row), where voxel (row, column) has its centre
 * at (column, row) and its borders half a voxel from there. The last point is joined to the first.
 *
 * A centre is inside if a ray from it crosses the contours an odd number of times. Several contours
 * of one structure count together: a contour inside another one is a hole, one in the hole an
 * island; parts that touch or run back along themselves (keyholes) need no special care.
 *
 * A centre exactly on an edge is inside if the inside lies on its side of growing columns, on a
 * horizontal edge on its side of growing rows. So a square from (1, 1) to (3, 3) holds the centres
 * 1 and 2 in both directions, and of two contours that share an edge exactly one has the centres on
 * it. Points are rounded to 2^-20 of a voxel: whether a centre is on an edge does not depend on the
 * last digits of a conversion from millimetres.
 */
#ifndef CTAUG_IO_CONTOUR_H
#define CTAUG_IO_CONTOUR_H

#include "io/volume.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct contour {
    double *points; /* (column, row), count of them */
    int64_t count;
} contour;

/* Patient coordinates (x y z, LPS, mm) of a point in voxel coordinates (z y x) of `space`. Local.
 */
void contour_to_voxels(const geometry *space, const double mm[3], double voxel[3]);

/* Rounds a voxel coordinate to 2^-20. Local. */
double contour_snap(double voxel);

/* mask[rows*columns] = 1 inside the n contours and 0 outside. What lies beyond the slice is cut
 * off. Local. */
void contour_fill(const contour *contours, int64_t n, int64_t rows, int64_t columns, uint8_t *mask);

/* Traces the borders of the voxels that are not 0: contours along voxel borders, with points where
 * they turn, at half-integer coordinates. Each edge between a voxel inside and one outside is in
 * exactly one contour, holes have contours of their own, so contour_fill() gives back the mask.
 * *contours has *n of them; contours_free() frees them. Local. */
status contour_trace(const uint8_t *mask, int64_t rows, int64_t columns, contour **contours,
                     int64_t *n);
void contours_free(contour *contours, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
