/* Tubes: sets of round cones (a line segment with a radius at each end) with a uniform grid as
 * spatial index. Vessels, bowel, stomach, pancreas and screws are made of them. */
#ifndef CTAUG_MODEL_PHANTOM_TUBES_H
#define CTAUG_MODEL_PHANTOM_TUBES_H

#include "io/status.h"
#include "model/phantom/phantom.h"
#include "model/rng.h"

typedef struct tube {
    float from[3], axis[3]; /* x y z, mm; from + axis is the other end */
    float inverse;          /* 1 / |axis|^2 */
    float radius, growth;   /* mm: radius at `from`, and its change towards the other end */
    float level;            /* gut only: gas where y < level (supine) */
    material inside;
} tube;

typedef struct tubes {
    tube *items;       /* owned */
    int count, room;   /* tubes; allocated tubes */
    int *start, *list; /* cell c has tubes list[start[c]..start[c + 1]); by tubes_index(); owned */
} tubes;

/* Adds a tube from a to b with radii ra and rb (mm). `level` is that of the tube; -INFINITY: no
 * gas. Local. */
status tubes_add(tubes *t, const float a[3], const float b[3], float ra, float rb, material inside,
                 float level);

/* Builds the grid. Distances are exact up to `reach` mm outside the tubes. Local. */
status tubes_index(tubes *t, float reach);
void tubes_free(tubes *t);

/* Signed distance (mm, negative inside) to the nearest tube; *which = its index. Where no tube is
 * near, a large number and -1. tubes_index() must have been called. Local. */
float tubes_distance(const tubes *t, float x, float y, float z, int *which);

/* Adds a vessel tree: a branch from `at` in direction `along` (unit vector) that bifurcates
 * `levels` times. `radius` and `length` of the first branch in mm. Local. */
status tubes_tree(tubes *t, rng_stream *r, const float at[3], const float along[3], float radius,
                  float length, int levels, material inside);

#endif
