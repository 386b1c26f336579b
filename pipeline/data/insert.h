/* Inserts structures into label maps where they may occur, such as lesions into the liver
 * (generate.insert).
 *
 * A blob is an ellipsoid in mm with a smooth random surface. Its centre is a voxel of the host, and
 * only voxels of the host become the structure. Its size is that of a piece seen in the labelled
 * training volumes, times 0.7..1.5; if fewer than 3 were seen, a radius of 1.4..6 pixels.
 * Everything is drawn from (seed, RNG_INSERT, volume).
 */
#ifndef CTAUG_PIPELINE_DATA_INSERT_H
#define CTAUG_PIPELINE_DATA_INSERT_H

#include "pipeline/data/label_limits.h"

/* ST_USAGE unless the structures and hosts of generate.insert are labels of the store. Local. */
status insert_check(const study *s, const label_set *labels);

typedef struct inserted {
    int64_t blobs[STUDY_LIST]; /* of each entry of generate.insert */
    double volume[LABELS_MAX]; /* of each structure, mm3 */
} inserted;

/* Inserts into labels[space->shape] of synthetic volume v. How many blobs a volume gets depends on
 * (seed, v) alone, their places and forms on `draw` (0..15) as well. The labels have passed
 * insert_check(). Local. */
void insert_blobs(const study *s, const label_set *names, const label_limits *limits,
                  const geometry *space, int64_t v, int draw, uint8_t *labels, inserted *out);

#endif
