/* Distances between the surfaces of a structure in two segmentations: HD95 (Taha & Hanbury 2015),
 * normalised surface Dice (Nikolov et al. 2021) in its voxel form, and the volume error.
 *
 * The surface of a structure is those of its voxels that have a face neighbour outside it; what is
 * outside the volume counts as outside the structure. Distances are between centres of voxels, in
 * mm. The directed distances of one surface are those of each of its voxels to the nearest voxel of
 * the other.
 */
#ifndef CTAUG_MODEL_METRIC_SURFACE_H
#define CTAUG_MODEL_METRIC_SURFACE_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct surface_scores {
    double hd95;              /* mm; the larger of the two 95th percentiles of directed distances */
    double nsd;               /* share of all surface voxels, of both, within the tolerance */
    double volume_error;      /* (predicted - truth) / truth */
    int64_t truth, predicted; /* voxels */
    bool false_positive;      /* the structure is predicted but does not exist */
} surface_scores;

/* Scores of a label in two volumes u8[z][y][x]. shape: depth, height, width; spacing: mm in the
 * same order; tolerance: mm, where a distance equal to it up to rounding is within. Percentiles are
 * interpolated linearly, as by numpy.
 *
 * Label in neither volume: all scores are NAN, and the patient is left out. Only predicted: NAN,
 * and false_positive is set. Only in the truth: nsd 0, volume_error -1, and hd95 is the diagonal of
 * the volume, the length of (depth, height, width) times spacing: a finite value worse than any
 * other.
 *
 * ST_INPUT if a size is less than 1, a spacing is not positive or the tolerance is negative. Local;
 * uses OpenMP. */
status surface_compare(const uint8_t *truth, const uint8_t *predicted, const int64_t shape[3],
                       const double spacing[3], int label, double tolerance, surface_scores *out);

#endif
