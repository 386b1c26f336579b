/* Which labelled training volume has a label map that is most like a given one, and its slices laid
 * upon that one.
 *
 * Maps are compared and aligned by the boxes that hold all their structures: a voxel corresponds to
 * the one at the same relative place in the other box, beyond the boxes with the same scale. Two
 * maps are the more alike the more places of a grid of 16 x 32 x 32 (z y x) in their boxes have
 * equal labels. All at the working size.
 */
#ifndef CTAUG_PIPELINE_GENERATE_LIKENESS_H
#define CTAUG_PIPELINE_GENERATE_LIKENESS_H

#include "pipeline/data/deform.h"

/* The box [from, to) of the structures of a map, in voxels z y x. */
typedef struct label_box {
    int64_t from[3], to[3];
} label_box;

typedef struct like_map {
    deformed plan; /* of a training volume, not deformed */
    label_box box;
    uint8_t *cells; /* the labels of the grid */
} like_map;

typedef struct likeness {
    like_map *maps;
    int64_t count;
} likeness;

/* The box of labels[slices][size][size]; false if they are all 0. Local. */
bool label_box_find(const uint8_t *labels, int64_t slices, int64_t size, label_box *box);

/* Reads the maps of all labelled training volumes. The caller calls likeness_free(), also after a
 * failure. ST_INPUT if none has a structure. Local. */
status likeness_measure(const study *s, const map_stores *from, const split *sp, likeness *out);
void likeness_free(likeness *l);

/* The map that labels[slices][size][size], with this box, is most like; of equal ones the first.
 * Local. */
const like_map *likeness_nearest(const likeness *l, const uint8_t *labels, const label_box *box,
                                 int64_t size);

/* Of map m the slice next to slice z of a map with this box: an index of m->plan.slices. Local. */
int64_t likeness_slice(const like_map *m, const label_box *box, int64_t z);

/* Lays a slice of map m (size x size, [-1, 1]) upon a map with this box: bilinear; air (-1) outside
 * of the slice. Local. */
void likeness_lay(const like_map *m, const label_box *box, const float *slice, int64_t size,
                  float *out);

#endif
