/* A CT volume with its label map and geometry: what a DICOM series is read into and a store holds.
 *
 * Axis order is z y x everywhere, x fastest; slice 0 is the first along the normal
 * (row direction x column direction, patient coordinates LPS, mm). HU are int16.
 */
#ifndef CTAUG_IO_VOLUME_H
#define CTAUG_IO_VOLUME_H

#include "io/alloc.h"
#include "io/scan_traits.h"

/* Label values are u8: background and at most 255 structures. */
enum { VOLUME_ID = 65, LABELS_MAX = 256, STRUCTURES_MAX = LABELS_MAX - 1, LABEL_NAME = 65 };

/* Label values 0..count-1 and their names (UTF-8, terminated); value 0 is always "background".
 * The struct has room for every u8 value (16 KiB): pass it by pointer, and send only the `count`
 * names that are in use to other ranks. */
typedef struct label_set {
    int count;
    char name[LABELS_MAX][LABEL_NAME];
} label_set;

typedef struct geometry {
    int64_t shape[3];    /* z y x, voxels */
    double spacing[3];   /* z y x, mm between voxel centres */
    double origin[3];    /* patient position (x y z, LPS, mm) of the centre of voxel 0 0 0 */
    double direction[9]; /* rows: unit vectors (LPS) along which z, y, x grow */
} geometry;

typedef struct volume {
    char id[VOLUME_ID]; /* pseudonym, unique in a store */
    geometry space;
    int contrast; /* the class: 1 with contrast agent, 0 without */
    scan_traits traits;
    int16_t *hu;     /* shape[0]*shape[1]*shape[2], HU; owned */
    uint8_t *labels; /* same shape; values < label_set.count; owned */
} volume;

/* Number of voxels; ST_INPUT if a side is < 1 or the product is beyond 2^40. Local. */
status geometry_voxels(const geometry *space, int64_t *voxels);

/* Allocates hu and labels (zeroed) for v->space.shape; volume_free() frees them. On failure both
 * are NULL. Local. */
status volume_alloc(volume *v);
void volume_free(volume *v);

/* The largest of n label values; 0 if n is 0. Local. */
int label_max(const uint8_t *labels, int64_t n);

/* The label value of a name, or -1. Local. */
int label_find(const label_set *set, const char *name);

#endif
