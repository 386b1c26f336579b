/* Enlarges or reduces the slices of a volume and cuts what is beyond the series. */
#include "pipeline/data/native_matrix.h"

#include "model/warp.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { SIDE_MAX = 65535 /* Rows and Columns of DICOM are 16 bits */, TAPS = 4 };
static const int64_t VOXELS_MAX = INT64_C(1) << 30;

status native_matrix_describe(int64_t rows, int64_t columns, json_t *record) {
    json_t *matrix = json_pack("[I, I]", (json_int_t)rows, (json_int_t)columns);
    return json_object_set_new(record, "matrix", matrix) == 0 ? ST_OK
                                                              : status_memory("provenance", 0);
}

status native_matrix_read(const json_t *record, int64_t *rows, int64_t *columns) {
    const json_t *matrix = json_object_get(record, "matrix");
    *rows = json_integer_value(json_array_get(matrix, 0));
    *columns = json_integer_value(json_array_get(matrix, 1));
    if (!matrix)
        return status_fail(ST_INPUT,
                           "the store does not say which matrix its volumes' series have: "
                           "remove it and make it again");
    if (*rows < 1 || *columns < 1 || *rows > SIDE_MAX || *columns > SIDE_MAX)
        return status_fail(ST_INPUT,
                           "the store says that a series has %" PRId64 " x %" PRId64 " pixels",
                           *rows, *columns);
    return ST_OK;
}

/* The inverse of working_geometry(). */
static geometry native_geometry(const geometry *working, int64_t rows, int64_t columns) {
    geometry g = *working;
    const int64_t side = rows > columns ? rows : columns, size = working->shape[1];
    g.shape[1] = rows;
    g.shape[2] = columns;
    for (int a = 1; a < 3; a++) {
        g.spacing[a] = working->spacing[a] * (double)size / (double)side;
        const double middle = (double)(side - 1) / 2 - (double)((side - g.shape[a]) / 2);
        const double move = middle * g.spacing[a] - (double)(size - 1) / 2 * working->spacing[a];
        for (int k = 0; k < 3; k++) g.origin[k] -= g.direction[3 * a + k] * move;
    }
    return g;
}

/* What an output pixel takes from a line of `size` input pixels. */
typedef struct taps {
    int64_t at[TAPS]; /* two before and two after it, inside the line */
    float cubic[TAPS], linear[TAPS];
} taps;

/* The weight of a pixel at this distance, in pixels. */
static double cubic_weight(double x) {
    const double d = fabs(x);
    if (d < 1) return (1.5 * d - 2.5) * d * d + 1;
    return d < 2 ? ((-0.5 * d + 2.5) * d - 4) * d + 2 : 0;
}

/* Of output pixel o of `side`. */
static taps taps_of(int64_t o, int64_t side, int64_t size) {
    taps t;
    const double at = ((double)o + 0.5) * (double)size / (double)side - 0.5;
    const int64_t before = (int64_t)floor(at);
    for (int k = 0; k < TAPS; k++) {
        const int64_t i = before - 1 + k;
        t.at[k] = i < 0 ? 0 : i >= size ? size - 1 : i;
        t.cubic[k] = (float)cubic_weight(at - (double)i);
        t.linear[k] = (float)fmax(0, 1 - fabs(at - (double)i));
    }
    return t;
}

/* The part of a square of `side` that a series has, and the HU that its volume has. */
typedef struct crop {
    int64_t side, rows, columns, top, left;
    int16_t low, high;
} crop;

static int16_t enlarged_hu(const int16_t *in, int64_t size, const crop *c, const taps *down,
                           const taps *across) {
    float sum = 0;
    for (int k = 0; k < TAPS; k++) {
        const int16_t *row = in + down->at[k] * size;
        float line = 0;
        for (int i = 0; i < TAPS; i++) line += across->cubic[i] * (float)row[across->at[i]];
        sum += down->cubic[k] * line;
    }
    return (int16_t)lrintf(fminf(c->high, fmaxf(c->low, sum)));
}

static uint8_t enlarged_label(const uint8_t *in, int64_t size, const taps *down,
                              const taps *across) {
    uint8_t label[4], best = 0;
    float weight[4], most = -1;
    for (int k = 0; k < 4; k++) {
        const int y = 1 + k / 2, x = 1 + k % 2; /* the two pixels around it on each axis */
        label[k] = in[down->at[y] * size + across->at[x]];
        weight[k] = down->linear[y] * across->linear[x];
    }
    for (int k = 0; k < 4; k++) {
        float votes = 0;
        for (int i = 0; i < 4; i++) votes += label[i] == label[k] ? weight[i] : 0;
        if (votes > most || (votes == most && label[k] > best)) {
            most = votes;
            best = label[k];
        }
    }
    return best;
}

static void enlarge(const int16_t *hu, const uint8_t *labels, int64_t size, const crop *c,
                    const taps *at, int16_t *to_hu, uint8_t *to_labels) {
    for (int64_t y = 0; y < c->rows; y++)
        for (int64_t x = 0; x < c->columns; x++) {
            const taps *down = &at[c->top + y], *across = &at[c->left + x];
            *to_hu++ = enlarged_hu(hu, size, c, down, across);
            *to_labels++ = enlarged_label(labels, size, down, across);
        }
}

/* image, map [side][side]: scratch. */
static void reduce(const int16_t *hu, const uint8_t *labels, int64_t size, const crop *c,
                   float *image, uint8_t *map, int16_t *to_hu, uint8_t *to_labels) {
    resize_image(hu, size, size, 0, image, c->side);
    resize_labels(labels, size, size, map, c->side);
    for (int64_t y = 0; y < c->rows; y++)
        for (int64_t x = 0; x < c->columns; x++) {
            const int64_t from = (c->top + y) * c->side + c->left + x;
            *to_hu++ = (int16_t)lrintf(image[from]);
            *to_labels++ = map[from];
        }
}

/* The least and the largest HU. */
static void find_range(const volume *v, crop *c) {
    const int64_t voxels = v->space.shape[0] * v->space.shape[1] * v->space.shape[2];
    c->low = c->high = v->hu[0];
    for (int64_t i = 0; i < voxels; i++) {
        if (v->hu[i] < c->low) c->low = v->hu[i];
        if (v->hu[i] > c->high) c->high = v->hu[i];
    }
}

status native_matrix_resample(const volume *v, int64_t rows, int64_t columns, volume *out) {
    status st = ST_OK;
    const int64_t size = v->space.shape[1], side = rows > columns ? rows : columns;
    crop c = {side, rows, columns, (side - rows) / 2, (side - columns) / 2, 0, 0};
    taps *at = NULL;
    float *image = NULL;
    uint8_t *map = NULL;
    *out = *v;
    out->hu = NULL;
    out->labels = NULL;
    if (v->space.shape[2] != size)
        TRY(status_fail(ST_INPUT, "volume %s: its slices are not square", v->id));
    if (rows > VOXELS_MAX / columns / v->space.shape[0])
        TRY(status_fail(ST_INPUT,
                        "volume %s: %" PRId64 " slices of %" PRId64 " x %" PRId64
                        " pixels are too many",
                        v->id, v->space.shape[0], rows, columns));
    out->space = native_geometry(&v->space, rows, columns);
    TRY(volume_alloc(out));
    find_range(v, &c);
    if (side < size) {
        TRY(array_alloc(&image, side, side * (int64_t)sizeof *image, "a slice"));
        TRY(array_alloc(&map, side, side, "a label map"));
    } else {
        TRY(array_alloc(&at, side, sizeof *at, "weights"));
        for (int64_t o = 0; o < side; o++) at[o] = taps_of(o, side, size);
    }
    for (int64_t z = 0; z < v->space.shape[0]; z++) {
        const int16_t *hu = v->hu + z * size * size;
        const uint8_t *labels = v->labels + z * size * size;
        int16_t *to_hu = out->hu + z * rows * columns;
        uint8_t *to_labels = out->labels + z * rows * columns;
        if (side < size)
            reduce(hu, labels, size, &c, image, map, to_hu, to_labels);
        else
            enlarge(hu, labels, size, &c, at, to_hu, to_labels);
    }
done:
    free(at);
    free(image);
    free(map);
    return st;
}
