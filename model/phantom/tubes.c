/* Sets of round cones with a uniform grid as spatial index, and vessel trees made of them.
 *
 * The radii at a bifurcation follow Murray's law, r^3 = r1^3 + r2^3 (Murray, PNAS 12:207, 1926);
 * for equal daughter branches r1 = 0.79 r. */
#include "model/phantom/tubes.h"
#include "io/alloc.h"

#include <math.h>
#include <string.h>

/* The grid: cells along x, y and z, their side in mm, and the corner of the first cell. */
enum { NX = 22, NY = 18, NZ = 17, CELL = 20 };
static const float corner[3] = {-220, -180, -50};

status tubes_add(tubes *t, const float a[3], const float b[3], float ra, float rb, material inside,
                 float level) {
    if (t->count == t->room) {
        const int room = t->room ? 2 * t->room : 64;
        tube *grown = realloc(t->items, (size_t)room * sizeof *grown);
        if (!grown) return status_memory("tubes", (int64_t)room * (int64_t)sizeof *grown);
        t->items = grown;
        t->room = room;
    }
    tube *one = &t->items[t->count++];
    float square = 1e-6f;
    for (int k = 0; k < 3; k++) {
        one->from[k] = a[k];
        one->axis[k] = b[k] - a[k];
        square += one->axis[k] * one->axis[k];
    }
    one->inverse = 1.0f / square;
    one->radius = ra;
    one->growth = rb - ra;
    one->level = level;
    one->inside = inside;
    return ST_OK;
}

/* The index of the cell of coordinate v along axis k, clamped to the grid of n cells. */
static int clamp_cell(float v, int k, int n) {
    const float at = floorf((v - corner[k]) / CELL);
    return at < 0 ? 0 : at > (float)(n - 1) ? n - 1 : (int)at;
}

/* The range of cells that a tube can be within `reach` mm of. */
static void tube_cells(const tube *one, float reach, int low[3], int high[3]) {
    static const int n[3] = {NX, NY, NZ};
    const float margin = fmaxf(one->radius, one->radius + one->growth) + reach;
    for (int k = 0; k < 3; k++) {
        const float a = one->from[k], b = a + one->axis[k];
        low[k] = clamp_cell(fminf(a, b) - margin, k, n[k]);
        high[k] = clamp_cell(fmaxf(a, b) + margin, k, n[k]);
    }
}

/* Adds to at[cell] the number of tubes of every cell; with `fill`, writes their indices to
 * list[at[cell]] on the way. */
static void visit_cells(tubes *t, float reach, int *at, bool fill) {
    for (int i = 0; i < t->count; i++) {
        int low[3], high[3];
        tube_cells(&t->items[i], reach, low, high);
        for (int z = low[2]; z <= high[2]; z++)
            for (int y = low[1]; y <= high[1]; y++)
                for (int x = low[0]; x <= high[0]; x++) {
                    const int cell = (z * NY + y) * NX + x;
                    if (fill) t->list[at[cell]] = i;
                    at[cell]++;
                }
    }
}

status tubes_index(tubes *t, float reach) {
    status st = ST_OK;
    int *at = NULL;
    const int cells = NX * NY * NZ;
    TRY(array_alloc(&at, cells, sizeof *at, "a grid of tubes"));
    TRY(array_alloc(&t->start, cells + 1, sizeof *t->start, "a grid of tubes"));
    visit_cells(t, reach, at, false);
    for (int i = 0; i < cells; i++) t->start[i + 1] = t->start[i] + at[i];
    TRY(array_alloc(&t->list, t->start[cells], sizeof *t->list, "a grid of tubes"));
    memcpy(at, t->start, (size_t)cells * sizeof *at);
    visit_cells(t, reach, at, true);
done:
    free(at);
    return st;
}

void tubes_free(tubes *t) {
    free(t->items);
    free(t->start);
    free(t->list);
    memset(t, 0, sizeof *t);
}

float tubes_distance(const tubes *t, float x, float y, float z, int *which) {
    float best = 1e9f;
    *which = -1;
    const int ix = (int)((x - corner[0]) * (1.0f / CELL)),
              iy = (int)((y - corner[1]) * (1.0f / CELL)),
              iz = (int)((z - corner[2]) * (1.0f / CELL));
    if (x < corner[0] || y < corner[1] || z < corner[2] || ix >= NX || iy >= NY || iz >= NZ) {
        return best;
    }
    const int cell = (iz * NY + iy) * NX + ix;
    for (int i = t->start[cell]; i < t->start[cell + 1]; i++) {
        const tube *one = &t->items[t->list[i]];
        const float px = x - one->from[0], py = y - one->from[1], pz = z - one->from[2];
        float s = (px * one->axis[0] + py * one->axis[1] + pz * one->axis[2]) * one->inverse;
        s = s < 0 ? 0 : s > 1 ? 1 : s;
        const float dx = px - s * one->axis[0], dy = py - s * one->axis[1],
                    dz = pz - s * one->axis[2];
        const float d = sqrtf(dx * dx + dy * dy + dz * dz) - one->radius - s * one->growth;
        if (d < best) {
            best = d;
            *which = t->list[i];
        }
    }
    return best;
}

/* A random unit vector, about `spread` radians away from `along`. */
static void perturb_direction(rng_stream *r, const float along[3], float spread, float out[3]) {
    float norm = 0;
    for (int k = 0; k < 3; k++) {
        out[k] = along[k] + spread * (float)rng_normal(r) * 0.7f;
        norm += out[k] * out[k];
    }
    norm = 1.0f / sqrtf(fmaxf(norm, 1e-6f));
    for (int k = 0; k < 3; k++) out[k] *= norm;
}

status tubes_tree(tubes *t, rng_stream *r, const float at[3], const float along[3], float radius,
                  float length, int levels, material inside) {
    status st = ST_OK;
    float here[3] = {at[0], at[1], at[2]}, direction[3] = {along[0], along[1], along[2]};
    /* A branch has three segments in different directions, because vessels are not straight. */
    for (int bend = 0; bend < 3; bend++) {
        float next[3], bent[3];
        perturb_direction(r, direction, 0.22f, bent);
        for (int k = 0; k < 3; k++) next[k] = here[k] + bent[k] * length / 3.0f;
        const float ra = radius * (1.0f - 0.06f * (float)bend);
        TRY(tubes_add(t, here, next, ra, ra * 0.94f, inside, -INFINITY));
        memcpy(here, next, sizeof here);
        memcpy(direction, bent, sizeof direction);
    }
    for (int side = 0; side < 2 && levels > 0; side++) {
        float branch[3];
        perturb_direction(r, direction, 0.75f, branch);
        const float share = (float)rng_between(r, 0.68, 0.86);
        TRY(tubes_tree(t, r, here, branch, radius * share, length * (0.72f + 0.2f * share),
                       levels - 1, inside));
    }
done:
    return st;
}
