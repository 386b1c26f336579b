/* Connected components of label maps. */
#ifndef CTAUG_MODEL_COMPONENTS_H
#define CTAUG_MODEL_COMPONENTS_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { COMPONENT_LABELS = 256 };

/* Sets to 0 the voxels of every component of labels[z][y][x] that has fewer than `share` (0..1) of
 * the voxels of the largest component of its label. A component is a set of voxels of one label,
 * other than 0, connected over faces, edges and corners (26 neighbours). Labels with keep_all are
 * left as they are (NULL: none). removed[label], if not NULL: components removed. Local. */
status components_remove_small(uint8_t *labels, const int64_t shape[3], double share,
                               const bool keep_all[COMPONENT_LABELS],
                               int64_t removed[COMPONENT_LABELS]);

#endif
