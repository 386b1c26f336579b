/* The grid of each training map is taken once; what is given is compared with all of them. */
#include "pipeline/generate/likeness.h"

#include "io/alloc.h"

#include <math.h>
#include <string.h>

enum { CELLS_Z = 16, CELLS = 32, ALL_CELLS = CELLS_Z * CELLS * CELLS };

bool label_box_find(const uint8_t *labels, int64_t slices, int64_t size, label_box *box) {
    bool any = false;
    *box = (label_box){{0}, {0}};
    for (int64_t i = 0; i < slices * size * size; i++) {
        const int64_t at[3] = {i / (size * size), i / size % size, i % size};
        if (!labels[i]) continue;
        for (int a = 0; a < 3; a++) {
            if (!any || at[a] < box->from[a]) box->from[a] = at[a];
            if (!any || at[a] >= box->to[a]) box->to[a] = at[a] + 1;
        }
        any = true;
    }
    return any;
}

/* The voxel next to the middle of cell k of n along axis a. */
static int64_t middle(const label_box *box, int a, int64_t k, int64_t n) {
    return box->from[a] + (2 * k + 1) * (box->to[a] - box->from[a]) / (2 * n);
}

static void take_cells(const uint8_t *labels, const label_box *box, int64_t size,
                       uint8_t cells[ALL_CELLS]) {
    for (int64_t i = 0; i < ALL_CELLS; i++) {
        const int64_t z = middle(box, 0, i / (CELLS * CELLS), CELLS_Z);
        const int64_t y = middle(box, 1, i / CELLS % CELLS, CELLS);
        const int64_t x = middle(box, 2, i % CELLS, CELLS);
        cells[i] = labels[(z * size + y) * size + x];
    }
}

/* Reads the map of the n-th training volume; *any: it has structures. */
static status measure_map(const study *s, const map_stores *from, const split *sp, int64_t n,
                          like_map *out, bool *any) {
    status st = ST_OK;
    const int64_t size = s->data.size;
    uint8_t *labels = NULL;
    *out = (like_map){0};
    TRY(deformed_plan_part(s, from->real, sp, SPLIT_TRAIN, n, &out->plan));
    const int64_t slices = out->plan.entry.space.shape[0];
    TRY(array_alloc(&labels, slices, size * size, "label maps"));
    TRY(array_alloc(&out->cells, ALL_CELLS, 1, "label maps"));
    TRY(deformed_labels(s, from, &out->plan, labels));
    *any = label_box_find(labels, slices, size, &out->box);
    if (*any) take_cells(labels, &out->box, size, out->cells);
done:
    free(labels);
    return st;
}

static void free_map(like_map *m) {
    deformed_free(&m->plan);
    free(m->cells);
}

status likeness_measure(const study *s, const map_stores *from, const split *sp, likeness *out) {
    status st = ST_OK;
    const int64_t volumes = deformed_sources(sp, SPLIT_TRAIN);
    *out = (likeness){0};
    TRY(array_alloc(&out->maps, volumes, sizeof *out->maps, "label maps"));
    for (int64_t n = 0; n < volumes; n++) {
        bool any = false;
        like_map *m = &out->maps[out->count++];
        TRY(measure_map(s, from, sp, n, m, &any));
        if (any) continue;
        free_map(m);
        out->count--;
    }
    if (out->count == 0) st = status_fail(ST_INPUT, "no training volume has a structure");
done:
    return st;
}

void likeness_free(likeness *l) {
    for (int64_t i = 0; i < l->count; i++) free_map(&l->maps[i]);
    free(l->maps);
    *l = (likeness){0};
}

const like_map *likeness_nearest(const likeness *l, const uint8_t *labels, const label_box *box,
                                 int64_t size) {
    uint8_t cells[ALL_CELLS];
    int64_t best = 0, most = -1;
    take_cells(labels, box, size, cells);
    for (int64_t k = 0; k < l->count; k++) {
        int64_t equal = 0;
        for (int64_t i = 0; i < ALL_CELLS; i++) equal += cells[i] == l->maps[k].cells[i];
        if (equal <= most) continue;
        most = equal;
        best = k;
    }
    return &l->maps[best];
}

/* The place in box `to` that corresponds to index k in box `from`, along axis a. */
static double corresponding(const label_box *from, const label_box *to, int a, int64_t k) {
    const double share =
        ((double)(k - from->from[a]) + 0.5) / (double)(from->to[a] - from->from[a]);
    return (double)to->from[a] + share * (double)(to->to[a] - to->from[a]) - 0.5;
}

int64_t likeness_slice(const like_map *m, const label_box *box, int64_t z) {
    const int64_t slices = m->plan.entry.space.shape[0];
    const double place = corresponding(box, &m->box, 0, z);
    return place < 0 ? 0 : place > (double)(slices - 1) ? slices - 1 : llrint(place);
}

static float value_at(const float *slice, int64_t size, int64_t y, int64_t x) {
    return y < 0 || x < 0 || y >= size || x >= size ? -1.0F : slice[y * size + x];
}

void likeness_lay(const like_map *m, const label_box *box, const float *slice, int64_t size,
                  float *out) {
    for (int64_t i = 0; i < size * size; i++) {
        const double v = corresponding(box, &m->box, 1, i / size);
        const double u = corresponding(box, &m->box, 2, i % size);
        const int64_t y = (int64_t)floor(v), x = (int64_t)floor(u);
        const float down = (float)(v - (double)y), across = (float)(u - (double)x);
        const float above =
            (1 - across) * value_at(slice, size, y, x) + across * value_at(slice, size, y, x + 1);
        const float below = (1 - across) * value_at(slice, size, y + 1, x) +
                            across * value_at(slice, size, y + 1, x + 1);
        out[i] = (1 - down) * above + down * below;
    }
}
