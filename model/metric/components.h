/* Connected components of a label, such as single lesions. Voxels are connected by faces, edges and
 * corners (26-neighbourhood). */
#ifndef CTAUG_MODEL_METRIC_COMPONENTS_H
#define CTAUG_MODEL_METRIC_COMPONENTS_H

#include "io/status.h"

#include <stdint.h>

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

/* overlap[count]: voxels of each component that have `label` in another volume. n: voxels of both.
 * Local. */
void components_overlap(const components *c, const int32_t *number, const uint8_t *other, int64_t n,
                        int label, int64_t *overlap);

#endif
