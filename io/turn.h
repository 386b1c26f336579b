/* Turning a volume so that its axes lie nearest to those of the patient: z to the head, y to the
 * back, x to the left (LPS). Axes are exchanged and reversed, no voxel changes its value or its
 * place in the patient. */
#ifndef CTAUG_IO_TURN_H
#define CTAUG_IO_TURN_H

#include "io/volume.h"

/* Axis k of the turned volume is axis from[k] of the one before, reversed if flip[k]. */
typedef struct turn {
    int from[3];
    bool flip[3];
} turn;

/* The turn for a volume of this geometry. Local. */
turn turn_to_lps(const geometry *space);

/* Whether nothing is to be done. Local. */
bool turn_is_none(const turn *t);

/* The geometry after the turn. Local. */
geometry turn_geometry(const turn *t, const geometry *space);

/* Turns HU, labels and geometry of a volume. On failure it is as it was. Local. */
status turn_volume(const turn *t, volume *v);

#endif
