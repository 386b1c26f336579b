/* Draws blobs and puts them into label maps. */
#include "pipeline/data/insert.h"

#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WAVES = 3, /* of the surface */
    SEEN_ENOUGH = 3 /* pieces */,
    STREAMS = 16 /* of an entry: draws 0..14 of the blobs, and that of their number */
};

static const double FACTOR[2] = {0.7, 1.5}; /* times the radius of a piece that was seen */
static const double PIXELS[2] = {1.4, 6};   /* radius otherwise */
static const double STRETCH = 0.15;         /* spread of the logarithms of the axes */
static const double RIPPLE = 0.1;           /* height of a wave of the surface, in radii */
static const double FREQUENCY = 2;          /* of a wave, spread */

status insert_check(const study *s, const label_set *labels) {
    char known[512] = "";
    for (int k = 0; k < labels->count; k++) {
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", k ? ", " : "", labels->name[k]);
    }
    for (int i = 0; i < s->generate.insert_count; i++) {
        const study_insert *e = &s->generate.insert[i];
        const char *unknown = label_find(labels, e->structure) < 0 ? e->structure
                              : label_find(labels, e->host) < 0    ? e->host
                                                                   : NULL;
        if (unknown)
            return status_fail(ST_USAGE,
                               "generate.insert names \"%s\", which is no label of the store; its "
                               "labels are: %s",
                               unknown, known);
    }
    return ST_OK;
}

typedef struct blob {
    int64_t centre[3]; /* voxel */
    double radius;     /* mm */
    double axis[3][3]; /* directions divided by the length of the semi-axis, 1/mm */
    double wave[WAVES][3], phase[WAVES];
} blob;

/* Orthonormal directions, all equally probable (Gram-Schmidt of normals). */
static void draw_directions(rng_stream *r, double axis[3][3]) {
    for (int a = 0; a < 3; a++) {
        double length = 0;
        while (length < 1e-3) {
            for (int k = 0; k < 3; k++) axis[a][k] = rng_normal(r);
            for (int b = 0; b < a; b++) {
                double along = 0;
                for (int k = 0; k < 3; k++) along += axis[a][k] * axis[b][k];
                for (int k = 0; k < 3; k++) axis[a][k] -= along * axis[b][k];
            }
            length =
                sqrt(axis[a][0] * axis[a][0] + axis[a][1] * axis[a][1] + axis[a][2] * axis[a][2]);
        }
        for (int k = 0; k < 3; k++) axis[a][k] /= length;
    }
}

static double draw_radius(rng_stream *r, const label_limits *limits, int label, double pixel) {
    int64_t seen = label_limits_pieces(limits, label);
    if (seen < SEEN_ENOUGH) return pixel * rng_between(r, PIXELS[0], PIXELS[1]);
    double radius = label_limits_radius(limits, label, (int64_t)rng_below(r, (uint64_t)seen));
    return radius * rng_between(r, FACTOR[0], FACTOR[1]);
}

static blob draw_blob(rng_stream *r, const label_limits *limits, int label, double pixel) {
    blob b = {.radius = draw_radius(r, limits, label, pixel)};
    double stretch[3], mean = 0;
    draw_directions(r, b.axis);
    for (int a = 0; a < 3; a++) {
        stretch[a] = STRETCH * rng_normal(r);
        mean += stretch[a] / 3;
    }
    for (int a = 0; a < 3; a++)
        for (int k = 0; k < 3; k++) b.axis[a][k] /= b.radius * exp(stretch[a] - mean);
    for (int w = 0; w < WAVES; w++) {
        for (int k = 0; k < 3; k++) b.wave[w][k] = FREQUENCY * rng_normal(r);
        b.phase[w] = rng_between(r, 0, 2 * 3.14159265358979323846);
    }
    return b;
}

/* Whether the blob contains the point at these mm from its centre. */
static bool contains(const blob *b, const double mm[3]) {
    double u[3], distance = 0, surface = 1;
    for (int a = 0; a < 3; a++) {
        u[a] = b->axis[a][0] * mm[0] + b->axis[a][1] * mm[1] + b->axis[a][2] * mm[2];
        distance += u[a] * u[a];
    }
    distance = sqrt(distance);
    if (distance < 1e-9) return true;
    for (int w = 0; w < WAVES; w++) {
        double along = 0;
        for (int a = 0; a < 3; a++) along += b->wave[w][a] * u[a] / distance;
        surface += RIPPLE * cos(along + b->phase[w]);
    }
    return distance <= surface;
}

/* The voxel that is the k-th of the host. */
static void find_voxel(const uint8_t *labels, const int64_t shape[3], int host, int64_t k,
                       int64_t at[3]) {
    int64_t i = 0;
    while (labels[i] != host || k-- > 0) i++;
    at[0] = i / (shape[1] * shape[2]);
    at[1] = i / shape[2] % shape[1];
    at[2] = i % shape[2];
}

/* Puts a blob; returns the number of its voxels. */
static int64_t put_blob(const blob *b, const geometry *space, int label, int host,
                        uint8_t *labels) {
    int64_t from[3], to[3], put = 0;
    for (int a = 0; a < 3; a++) {
        /* exp(2 * 3 STRETCH) = 2.5 radii: more are drawn too rarely to matter. */
        int64_t reach = (int64_t)ceil(2.5 * (1 + WAVES * RIPPLE) * b->radius / space->spacing[a]);
        from[a] = b->centre[a] > reach ? b->centre[a] - reach : 0;
        to[a] = b->centre[a] + reach + 1;
        if (to[a] > space->shape[a]) to[a] = space->shape[a];
    }
    for (int64_t z = from[0]; z < to[0]; z++)
        for (int64_t y = from[1]; y < to[1]; y++)
            for (int64_t x = from[2]; x < to[2]; x++) {
                uint8_t *at = &labels[(z * space->shape[1] + y) * space->shape[2] + x];
                double mm[3] = {(double)(z - b->centre[0]) * space->spacing[0],
                                (double)(y - b->centre[1]) * space->spacing[1],
                                (double)(x - b->centre[2]) * space->spacing[2]};
                if (*at != host || !contains(b, mm)) continue;
                *at = (uint8_t)label;
                put++;
            }
    return put;
}

void insert_blobs(const study *s, const label_set *names, const label_limits *limits,
                  const geometry *space, int64_t v, int draw, uint8_t *labels, inserted *out) {
    int64_t voxels = space->shape[0] * space->shape[1] * space->shape[2];
    double voxel = space->spacing[0] * space->spacing[1] * space->spacing[2];
    memset(out, 0, sizeof *out);
    for (int i = 0; i < s->generate.insert_count; i++) {
        const study_insert *e = &s->generate.insert[i];
        int label = label_find(names, e->structure), host = label_find(names, e->host);
        uint32_t first = (uint32_t)(i * STREAMS);
        rng_stream number =
            rng_open((uint64_t)s->seed, RNG_INSERT, (uint64_t)v, first + STREAMS - 1);
        rng_stream r = rng_open((uint64_t)s->seed, RNG_INSERT, (uint64_t)v, first + (uint32_t)draw);
        if (rng_uniform(&number) >= e->share) continue;
        int64_t blobs = e->low + (int64_t)rng_below(&number, (uint64_t)(e->high - e->low) + 1);
        for (int64_t k = 0; k < blobs; k++) {
            int64_t room = 0;
            for (int64_t n = 0; n < voxels; n++) room += labels[n] == host;
            if (room == 0) break;
            blob b = draw_blob(&r, limits, label, space->spacing[2]);
            find_voxel(labels, space->shape, host, (int64_t)rng_below(&r, (uint64_t)room),
                       b.centre);
            out->blobs[i]++;
            out->volume[label] += voxel * (double)put_blob(&b, space, label, host, labels);
        }
    }
}
