/* A mask of the user as the label map of a synthetic volume: read, turned like stored volumes (z to
 * the head, y to the back, x to the left), at the working size.
 *
 * A label map says nothing of the tissue outside of its structures, which painters need
 * (pipeline/data/tissue.h, painter_gaussian.c). Where the series of the mask is there, its own
 * slices show it. Otherwise it is taken from the slices of the labelled training volume whose map
 * is most like this one, laid upon it (pipeline/generate/likeness.h); the positions of the slices
 * in their volume and the class are then those of that volume, too.
 */
#ifndef CTAUG_PIPELINE_GENERATE_OWN_MAP_H
#define CTAUG_PIPELINE_GENERATE_OWN_MAP_H

#include "pipeline/generate/likeness.h"
#include "pipeline/generate/own_masks.h"

/* What is known of a map without its slices. Only members of 8 bytes, so that ranks can add up
 * records as int64_t. */
typedef struct own_record {
    int64_t made;          /* 0: it could not be */
    geometry space;        /* at the working size */
    int64_t rows, columns; /* of its masks, or of the series beside them */
    int64_t contrast;
    int64_t kernel, body; /* io/scan_traits.h */
    int64_t source;       /* the training volume that is most like it, of the real store */
    int64_t own_image;    /* the image is that of its series */
    int64_t overlapped;   /* voxels in two or more structures */
    int64_t off_slices;   /* contours that lie on no slice: not painted */
} own_record;

typedef struct own_map {
    own_record about;
    void *block; /* what follows, one after the other; owned */
    int64_t bytes;
    int64_t *slices; /* [slices]: the slices of the source next to them */
    int16_t *image;  /* [slices][size][size]: HU, cut to the window */
    uint8_t *labels; /* [slices][size][size] */
} own_map;

/* Allocates the block of a map with this record. The caller calls own_map_free(). Local. */
status own_map_alloc(const own_record *about, own_map *out);

/* Makes the map of masks->items[i]. ST_INPUT, naming the file: one of its files is at fault; it has
 * no voxel of a structure of the store; its pixels are not square; or it is too large. The caller
 * calls own_map_free(), also after a failure. Local. */
status own_map_make(const own_masks *masks, int64_t i, const map_stores *from, const likeness *like,
                    own_map *out);
void own_map_free(own_map *m);

#endif
