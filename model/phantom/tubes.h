/* Tubes: many round cones (a segment with a radius at each end) with a grid over them, so that a
 * point asks only its neighbours. Vessels, bowel, stomach, pancreas and screws are made of them. */
#ifndef CTAUG_MODEL_PHANTOM_TUBES_H
#define CTAUG_MODEL_PHANTOM_TUBES_H

#include "io/status.h"
#include "model/phantom/phantom.h"
#include "model/rng.h"

typedef struct tube {
    float from[3], axis[3]; /* x y z, mm; axis reaches the other end */
    float inverse;          /* 1 / |axis|^2 */
    float radius, growth;   /* mm at `from`, and how much more at the other end */
    float level;            /* gut only: gas where y < level (supine) */
    material inside;
} tube;

typedef struct tubes {
    tube *items; /* owned */
    int count, room;
    int *start, *list; /* cell -> its tubes, after tubes_index(); owned */
} tubes;

/* Adds a tube; `level` is -INFINITY where there is no gas. Local. */
status tubes_add(tubes *t, const float a[3], const float b[3], float ra, float rb, material inside,
                 float level);

/* Makes the grid; distances are right up to `reach` mm outside. Local. */
status tubes_index(tubes *t, float reach);
void tubes_free(tubes *t);

/* Signed distance (mm, negative inside) to the nearest tube, whose index goes to *which; a large
 * number where none is near. Needs tubes_index(). */
float tubes_distance(const tubes *t, float x, float y, float z, int *which);

/* Grows a vessel tree: a limb from `at` along `along` (unit) that forks `levels` times. Local. */
status tubes_tree(tubes *t, rng_stream *r, const float at[3], const float along[3], float radius,
                  float length, int levels, material inside);

#endif
