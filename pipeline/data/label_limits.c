/* Measures the structures of the training volumes, and checks label maps. */
#include "pipeline/data/label_limits.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/components.h"
#include "pipeline/data/deform.h"

#include <math.h>
#include <string.h>

/* Factor by which a structure may lie outside the sizes seen, and its share in the largest piece.
 */
static const double TOLERANCE = 1.5, WHOLE = 0.99;

static const char *const fault_names[] = {[LABELS_GOOD] = "none",
                                          [LABELS_SMALL] = "too small",
                                          [LABELS_LARGE] = "too large",
                                          [LABELS_PIECES] = "in pieces"};
const named_table label_faults = NAMED_TABLE("fault of a label map", fault_names);

static void count_labels(const uint8_t *labels, int64_t voxels, int64_t count[LABELS_MAX]) {
    memset(count, 0, LABELS_MAX * sizeof *count);
    for (int64_t i = 0; i < voxels; i++) count[labels[i]]++;
}

static double ball_radius(double volume) { return cbrt(3 * volume / (4 * 3.14159265358979323846)); }

static bool in_one_piece(const components *c) {
    int64_t all = 0, largest = 0;
    for (int64_t k = 0; k < c->count; k++) {
        all += c->size[k];
        if (c->size[k] > largest) largest = c->size[k];
    }
    return (double)largest >= WHOLE * (double)all;
}

static status add_pieces(label_limits *l, int label, const components *c, double voxel) {
    label_piece *more = NULL;
    status st = array_alloc(&more, l->piece_count + c->count, sizeof *more, "pieces of structures");
    if (st != ST_OK) return st;
    if (l->pieces) memcpy(more, l->pieces, (size_t)l->piece_count * sizeof *more);
    for (int64_t k = 0; k < c->count; k++)
        more[l->piece_count++] = (label_piece){label, ball_radius((double)c->size[k] * voxel)};
    free(l->pieces);
    l->pieces = more;
    return ST_OK;
}

/* Adds the faces between different labels in the slices: contact[label][neighbour]. */
static void add_contacts(const geometry *space, const uint8_t *labels, int64_t *contact, int n) {
    int64_t height = space->shape[0] * space->shape[1], width = space->shape[2];
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            const uint8_t *at = &labels[y * width + x];
            const bool right = x + 1 < width, below = (y + 1) % space->shape[1] != 0;
            if (right && at[0] != at[1]) contact[at[0] * n + at[1]]++, contact[at[1] * n + at[0]]++;
            if (below && at[0] != at[width])
                contact[at[0] * n + at[width]]++, contact[at[width] * n + at[0]]++;
        }
}

/* A structure lies in another one that has more than half of its border. */
static void find_hosts(label_limits *l, const int64_t *contact) {
    for (int k = 1; k < l->labels; k++) {
        int64_t all = 0;
        for (int other = 0; other < l->labels; other++) all += contact[k * l->labels + other];
        for (int other = 1; other < l->labels; other++)
            if (2 * contact[k * l->labels + other] > all) l->host[k] = other;
    }
}

/* Adds one training volume. number: scratch of as many voxels. */
static status add_volume(label_limits *l, const geometry *space, const uint8_t *labels,
                         int32_t *number, bool first) {
    status st = ST_OK;
    components c = {0};
    int64_t voxels = space->shape[0] * space->shape[1] * space->shape[2], count[LABELS_MAX];
    double voxel = space->spacing[0] * space->spacing[1] * space->spacing[2];
    double length = (double)space->shape[0] * space->spacing[0];
    count_labels(labels, voxels, count);
    for (int k = 1; k < l->labels; k++) {
        double size = (double)count[k] * voxel / length;
        l->low[k] = first ? size : fmin(l->low[k], size);
        l->high[k] = first ? size : fmax(l->high[k], size);
        if (count[k] == 0) continue;
        TRY(components_find(labels, space->shape, k, number, &c));
        l->single[k] = l->single[k] && in_one_piece(&c);
        TRY(add_pieces(l, k, &c, voxel));
        components_free(&c);
    }
done:
    components_free(&c);
    return st;
}

/* The labels of training volume v without a deformation. */
static status measure_volume(const study *s, store *real, const split *sp, int64_t v,
                             int64_t *contact, label_limits *l) {
    status st = ST_OK;
    const map_stores from = {.real = real};
    deformed d;
    uint8_t *labels = NULL;
    int32_t *number = NULL;
    int64_t voxels = 0;
    TRY(deformed_plan_part(s, real, sp, SPLIT_TRAIN, v, &d));
    TRY(geometry_voxels(&d.entry.space, &voxels));
    TRY(array_alloc(&labels, voxels, 1, "label maps"));
    TRY(array_alloc(&number, voxels, sizeof *number, "label maps"));
    TRY(deformed_labels(s, &from, &d, labels));
    TRY(add_volume(l, &d.entry.space, labels, number, v == 0));
    add_contacts(&d.entry.space, labels, contact, l->labels);
    activity_progress();
done:
    deformed_free(&d);
    free(labels);
    free(number);
    return st;
}

status label_limits_measure(const study *s, store *real, const split *sp, label_limits *out) {
    status st = ST_OK;
    int64_t *contact = NULL, n = store_labels(real)->count;
    *out = (label_limits){.labels = (int)n};
    for (int k = 0; k < LABELS_MAX; k++) out->single[k] = true;
    TRY(array_alloc(&contact, n * n, sizeof *contact, "borders of structures"));
    for (int64_t v = 0; v < deformed_sources(sp, SPLIT_TRAIN); v++)
        TRY(measure_volume(s, real, sp, v, contact, out));
    find_hosts(out, contact);
done:
    free(contact);
    if (st != ST_OK) label_limits_free(out);
    return st;
}

void label_limits_free(label_limits *l) {
    free(l->pieces);
    l->pieces = NULL;
    l->piece_count = 0;
}

int64_t label_limits_pieces(const label_limits *l, int label) {
    int64_t n = 0;
    for (int64_t i = 0; i < l->piece_count; i++) n += l->pieces[i].label == label;
    return n;
}

double label_limits_radius(const label_limits *l, int label, int64_t k) {
    for (int64_t i = 0; i < l->piece_count; i++)
        if (l->pieces[i].label == label && k-- == 0) return l->pieces[i].radius;
    return 0;
}

status label_limits_check(const label_limits *l, const uint8_t *labels, const int64_t shape[3],
                          const double spacing[3], const double *added, label_fault *fault,
                          int *label) {
    status st = ST_OK;
    int32_t *number = NULL;
    components c = {0};
    int64_t voxels = shape[0] * shape[1] * shape[2], count[LABELS_MAX];
    double voxel = spacing[0] * spacing[1] * spacing[2];
    double length = (double)shape[0] * spacing[0];
    *fault = LABELS_GOOD;
    TRY(array_alloc(&number, voxels, sizeof *number, "label maps"));
    count_labels(labels, voxels, count);
    for (int k = 1; k < l->labels && *fault == LABELS_GOOD; k++) {
        double size = (double)count[k] * voxel / length, more = added ? added[k] / length : 0;
        *label = k;
        if (size < l->low[k] / TOLERANCE) *fault = LABELS_SMALL;
        if (size > l->high[k] * TOLERANCE + more) *fault = LABELS_LARGE;
        if (*fault != LABELS_GOOD || count[k] == 0 || !l->single[k] || more > 0) continue;
        TRY(components_find(labels, shape, k, number, &c));
        if (!in_one_piece(&c)) *fault = LABELS_PIECES;
        components_free(&c);
    }
done:
    components_free(&c);
    free(number);
    return st;
}
