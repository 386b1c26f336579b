/* Connected components of label maps, such as single lesions. Voxels of one label are connected by
 * faces, edges and corners (26 neighbours). */
#ifndef CTAUG_MODEL_COMPONENTS_H
#define CTAUG_MODEL_COMPONENTS_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { COMPONENT_LABELS = 256 };

typedef struct components {
    int64_t count;
    int64_t *size; /* [count] voxels; component c has size[c - 1] */
} components;

/* number[z][y][x]: the component of each voxel of `label` in volume u8[z][y][x], 1..count in the
 * order of their first voxels; 0 elsewhere. shape: depth, height, width. The caller frees *out with
 * components_free(). ST_INPUT if a size is less than 1 or the label has 2^31 - 1 voxels or more.
 * Local. */
status components_find(const uint8_t *volume, const int64_t shape[3], int label, int32_t *number,
                       components *out);
void components_free(components *c);

/* Sets to 0 the voxels of every component of labels[z][y][x] that has fewer than `share` (0..1) of
 * the voxels of the largest component of its label, which is not 0. Labels with keep_all are left
 * as they are (NULL: none). removed[label], if not NULL: components removed. ST_INPUT if a size is
 * less than 1 or the labels have 2^31 - 1 voxels or more. Local. */
status components_remove_small(uint8_t *labels, const int64_t shape[3], double share,
                               const bool keep_all[COMPONENT_LABELS],
                               int64_t removed[COMPONENT_LABELS]);

#endif
