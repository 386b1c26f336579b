/* The masks of one volume before they become its label map: any number of structures, which may
 * overlap. A rule says which structure has a voxel that several mark. */
#ifndef CTAUG_IO_MASKS_H
#define CTAUG_IO_MASKS_H

#include "io/status.h"
#include "io/volume.h"

typedef struct masks masks;

/* A part of a slice: rows y0..y0+rows-1 and columns x0..x0+columns-1. */
typedef struct mask_box {
    int64_t z, y0, x0, rows, columns;
} mask_box;

typedef enum overlap_kind { OVERLAP_SMALLER_WINS, OVERLAP_ORDER, OVERLAP_REFUSE } overlap_kind;

/* OVERLAP_SMALLER_WINS: the structure with the fewest voxels in this volume; of two equal ones that
 * with the lower label value. OVERLAP_ORDER: the first of `order`; structures that it does not name
 * come after those that it does, smaller ones first. OVERLAP_REFUSE: overlaps are a fault. */
typedef struct overlap_rule {
    overlap_kind kind;
    const char *const *order; /* names of structures; borrowed */
    int order_count;
} overlap_rule;

/* No masks yet, of a volume of this geometry. masks_free() frees *out. ST_INPUT as
 * geometry_voxels(). Local. */
status masks_new(const geometry *space, masks **out);
void masks_free(masks *m);

/* Adds what values[rows*columns] marks in a box: label values, 0 for none. A structure may come in
 * many parts, which may overlap. The box must lie in the volume (ST_INTERNAL). Local. */
status masks_add(masks *m, const mask_box *box, const uint8_t *values);

/* Writes the whole label map. *overlapped: voxels that two or more structures of `set` mark.
 * ST_INPUT, with their number and the names of two such structures, if the rule refuses them.
 * Local. */
status masks_join(const masks *m, const overlap_rule *rule, const label_set *set, uint8_t *labels,
                  int64_t *overlapped);

#endif
