/* Filling: each edge marks, in every row that it crosses, the first centre at or behind the
 * crossing. A voxel is inside if the marks up to it in its row are odd in number. The time is that
 * of the crossings and of one pass over the slice, whatever the number of contours.
 *
 * Tracing: every border between a voxel inside and one outside is a directed edge that has the
 * inside on its right. A walk along these edges from a corner returns there, because as many edges
 * arrive at a corner as leave it. Where two voxels touch at a corner only, the walk turns right, so
 * that the two get contours of their own.
 */
#include "io/contour.h"

#include <math.h>
#include <string.h>

void contour_to_voxels(const geometry *space, const double mm[3], double voxel[3]) {
    for (int axis = 0; axis < 3; axis++) {
        voxel[axis] = 0;
        for (int i = 0; i < 3; i++)
            voxel[axis] += (mm[i] - space->origin[i]) * space->direction[3 * axis + i];
        voxel[axis] /= space->spacing[axis];
    }
}

double contour_snap(double voxel) { return nearbyint(voxel * 1048576) / 1048576; }

/* Marks the crossings of an edge with the rows. Its upper end counts, its lower one does not. The
 * ends are ordered, so that an edge and its way back cross a row at the same place. */
static void mark_edge(const double *from, const double *to, int64_t rows, int64_t columns,
                      uint8_t *mask) {
    const double *low = from[1] <= to[1] ? from : to, *high = low == from ? to : from;
    const double x0 = contour_snap(low[0]), y0 = contour_snap(low[1]);
    const double x1 = contour_snap(high[0]), y1 = contour_snap(high[1]);
    if (!(y1 > 0 && y0 < (double)rows)) return;
    const double first = fmax(ceil(y0), 0), end = fmin(ceil(y1), (double)rows);
    for (int64_t row = (int64_t)first; row < (int64_t)end; row++) {
        const double x = x0 + ((double)row - y0) * (x1 - x0) / (y1 - y0);
        const double column = fmax(ceil(x), 0);
        if (column < (double)columns) mask[row * columns + (int64_t)column] ^= 1;
    }
}

void contour_fill(const contour *contours, int64_t n, int64_t rows, int64_t columns,
                  uint8_t *mask) {
    memset(mask, 0, (size_t)(rows * columns));
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < contours[i].count; k++) {
            const int64_t next = k + 1 < contours[i].count ? k + 1 : 0;
            mark_edge(contours[i].points + 2 * k, contours[i].points + 2 * next, rows, columns,
                      mask);
        }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t x = 1; x < columns; x++)
            mask[row * columns + x] ^= mask[row * columns + x - 1];
}

/* ---- tracing ---- */

/* Directions of an edge, clockwise as rows grow downwards. */
enum { RIGHT, DOWN, LEFT, UP, DIRECTIONS };

static const int STEP_X[DIRECTIONS] = {1, 0, -1, 0}, STEP_Y[DIRECTIONS] = {0, 1, 0, -1};

/* Corner (y, x) is the upper left one of voxel (y, x): there are rows + 1 times columns + 1. */
typedef struct tracing {
    const uint8_t *mask;
    int64_t rows, columns;
    uint8_t *edges; /* bit d: an edge in direction d leaves this corner and is not in a contour */
    contour *contours;
    int64_t count, room;
    int64_t point_room; /* of the contour that grows */
} tracing;

static bool is_inside(const tracing *t, int64_t y, int64_t x) {
    return y >= 0 && y < t->rows && x >= 0 && x < t->columns && t->mask[y * t->columns + x] != 0;
}

/* The edges that leave each corner. */
static void find_edges(tracing *t) {
    for (int64_t y = 0; y <= t->rows; y++)
        for (int64_t x = 0; x <= t->columns; x++) {
            const bool above_left = is_inside(t, y - 1, x - 1), above = is_inside(t, y - 1, x);
            const bool left = is_inside(t, y, x - 1), here = is_inside(t, y, x);
            t->edges[y * (t->columns + 1) + x] =
                (uint8_t)((here && !above) << RIGHT | (left && !here) << DOWN |
                          (above_left && !left) << LEFT | (above && !above_left) << UP);
        }
}

/* Appends a point; corners lie half a voxel before the centre of their voxel. */
static status add_point(tracing *t, int64_t y, int64_t x) {
    contour *c = &t->contours[t->count - 1];
    if (c->count == t->point_room) {
        const int64_t room = t->point_room ? 2 * t->point_room : 16;
        double *grown = realloc(c->points, (size_t)room * 2 * sizeof *grown);
        if (!grown) return status_memory("a contour", room * 2 * (int64_t)sizeof *grown);
        c->points = grown;
        t->point_room = room;
    }
    c->points[2 * c->count] = (double)x - 0.5;
    c->points[2 * c->count + 1] = (double)y - 0.5;
    c->count++;
    return ST_OK;
}

static status add_contour(tracing *t) {
    if (t->count == t->room) {
        const int64_t room = t->room ? 2 * t->room : 8;
        contour *grown = realloc(t->contours, (size_t)room * sizeof *grown);
        if (!grown) return status_memory("contours", room * (int64_t)sizeof *grown);
        t->contours = grown;
        t->room = room;
    }
    t->contours[t->count++] = (contour){0};
    t->point_room = 0;
    return ST_OK;
}

/* Takes the edges of one contour, beginning with the one to the right of a corner. */
static status walk(tracing *t, int64_t y, int64_t x) {
    static const int TURN[] = {1, 0, 3}; /* right, straight on, left */
    const int64_t start_y = y, start_x = x;
    int direction = RIGHT;
    status st = add_contour(t);
    if (st == ST_OK) st = add_point(t, y, x);
    while (st == ST_OK) {
        t->edges[y * (t->columns + 1) + x] &= (uint8_t) ~(1u << direction);
        y += STEP_Y[direction];
        x += STEP_X[direction];
        if (y == start_y && x == start_x) break;
        const uint8_t leaving = t->edges[y * (t->columns + 1) + x];
        int turn = 0;
        while (!(leaving >> (direction + TURN[turn]) % DIRECTIONS & 1)) turn++;
        direction = (direction + TURN[turn]) % DIRECTIONS;
        if (TURN[turn] != 0) st = add_point(t, y, x);
    }
    return st;
}

status contour_trace(const uint8_t *mask, int64_t rows, int64_t columns, contour **contours,
                     int64_t *n) {
    tracing t = {.mask = mask, .rows = rows, .columns = columns};
    status st;
    *contours = NULL;
    *n = 0;
    TRY(array_alloc(&t.edges, (rows + 1) * (columns + 1), 1, "the borders of a mask"));
    find_edges(&t);
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < columns; x++)
            if (t.edges[y * (columns + 1) + x] >> RIGHT & 1) TRY(walk(&t, y, x));
    *contours = t.contours;
    *n = t.count;
done:
    if (st != ST_OK) contours_free(t.contours, t.count);
    free(t.edges);
    return st;
}

void contours_free(contour *contours, int64_t n) {
    for (int64_t i = 0; i < n; i++) free(contours[i].points);
    free(contours);
}
