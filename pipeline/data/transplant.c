/* Draws a donor and a structure, and puts it into a label map. */
#include "pipeline/data/transplant.h"

#include "io/alloc.h"

#include <string.h>

enum { WHETHER = 15, DONOR_TRIES = 8 };

static const double KEPT = 0.9; /* of the structure, at least */

/* A label map [slices][size][size] with the box [from, to) of its structures in y and x. */
typedef struct boxed_map {
    uint8_t *labels;
    int64_t slices, size, from[2], to[2];
} boxed_map;

/* False if the map has no structure. */
static bool find_box(boxed_map *m) {
    bool any = false;
    for (int64_t i = 0; i < m->slices * m->size * m->size; i++) {
        int64_t at[2] = {i / m->size % m->size, i % m->size};
        if (!m->labels[i]) continue;
        for (int a = 0; a < 2; a++) {
            if (!any || at[a] < m->from[a]) m->from[a] = at[a];
            if (!any || at[a] >= m->to[a]) m->to[a] = at[a] + 1;
        }
        any = true;
    }
    return any;
}

/* The label of `from` at the place that corresponds to voxel (z, y, x) of `to`; 0 outside. */
static uint8_t aligned_label(const boxed_map *from, const boxed_map *to, int64_t z, int64_t y,
                             int64_t x) {
    const int64_t at[2] = {y, x};
    int64_t place[2];
    for (int a = 0; a < 2; a++) {
        double share = ((double)(at[a] - to->from[a]) + 0.5) / (double)(to->to[a] - to->from[a]);
        double there = share * (double)(from->to[a] - from->from[a]);
        if (there < 0 || there >= (double)(from->to[a] - from->from[a])) return 0;
        place[a] = from->from[a] + (int64_t)there;
    }
    int64_t slice = (2 * z + 1) * from->slices / (2 * to->slices);
    return from->labels[(slice * from->size + place[0]) * from->size + place[1]];
}

/* Whether `label` is the structure or lies inside it. */
static bool belongs(const label_limits *l, int label, int structure) {
    return label != 0 && (label == structure || l->host[label] == structure);
}

/* Puts the structure of `from` into `to`, or nothing if too much of it would be cut off. `made`:
 * scratch of the size of `to`. */
static bool put_structure(const label_limits *l, int structure, const boxed_map *from,
                          const boxed_map *to, uint8_t *made) {
    int64_t wanted = 0, put = 0, i = 0;
    for (int64_t z = 0; z < to->slices; z++)
        for (int64_t y = 0; y < to->size; y++)
            for (int64_t x = 0; x < to->size; x++, i++) {
                uint8_t label = aligned_label(from, to, z, y, x), old = to->labels[i];
                bool own = belongs(l, old, structure), new = belongs(l, label, structure);
                made[i] = own ? 0 : old;
                if (!new) continue;
                wanted++;
                if (made[i] != 0) continue;
                made[i] = label;
                put++;
            }
    if (wanted == 0 || (double)put < KEPT * (double)wanted) return false;
    memcpy(to->labels, made, (size_t)i);
    return true;
}

/* A structure that both maps have and that lies in no other one; 0: there is none. */
static int draw_structure(rng_stream *r, const label_limits *l, const boxed_map *a,
                          const boxed_map *b) {
    bool in_a[LABELS_MAX] = {false}, in_b[LABELS_MAX] = {false};
    int common[LABELS_MAX] = {0}, n = 0;
    for (int64_t i = 0; i < a->slices * a->size * a->size; i++) in_a[a->labels[i]] = true;
    for (int64_t i = 0; i < b->slices * b->size * b->size; i++) in_b[b->labels[i]] = true;
    for (int k = 1; k < l->labels; k++)
        if (in_a[k] && in_b[k] && l->host[k] == 0) common[n++] = k;
    return n > 0 ? common[rng_below(r, (uint64_t)n)] : 0;
}

/* A plan of another patient's volume; *found is false if none was drawn. */
static status draw_donor(const study *s, store *real, const split *sp, rng_stream *r,
                         const deformed *d, deformed *donor, bool *found) {
    status st = ST_OK;
    uint64_t sources = (uint64_t)deformed_sources(sp, SPLIT_TRAIN);
    *found = false;
    for (int k = 0; k < DONOR_TRIES && !*found; k++) {
        deformed_free(donor);
        TRY(deformed_plan_part(s, real, sp, SPLIT_TRAIN, (int64_t)rng_below(r, sources), donor));
        *found =
            !split_same_patient(store_at(real, donor->source)->id, store_at(real, d->source)->id);
    }
    donor->warp = d->warp;
done:
    return st;
}

status transplant_structure(const study *s, store *real, const split *sp,
                            const label_limits *limits, int64_t v, int draw, const deformed *d,
                            uint8_t *labels, transplant *out) {
    status st = ST_OK;
    int64_t size = s->data.size, slices = d->entry.space.shape[0];
    const map_stores stores = {.real = real};
    deformed donor = {0};
    boxed_map from = {.size = size}, to = {.labels = labels, .slices = slices, .size = size};
    uint8_t *made = NULL;
    bool found = false;
    rng_stream whether = rng_open((uint64_t)s->seed, RNG_TRANSPLANT, (uint64_t)v, WHETHER);
    rng_stream r = rng_open((uint64_t)s->seed, RNG_TRANSPLANT, (uint64_t)v, (uint32_t)draw);
    *out = (transplant){0};
    if (rng_uniform(&whether) >= s->generate.mixture) goto done;
    TRY(draw_donor(s, real, sp, &r, d, &donor, &found));
    if (!found) goto done;
    from.slices = donor.entry.space.shape[0];
    TRY(array_alloc(&from.labels, from.slices, size * size, "label maps"));
    TRY(array_alloc(&made, slices, size * size, "label maps"));
    TRY(deformed_labels(s, &stores, &donor, from.labels));
    if (!find_box(&from) || !find_box(&to)) goto done;
    int structure = draw_structure(&r, limits, &from, &to);
    if (structure != 0 && put_structure(limits, structure, &from, &to, made))
        *out = (transplant){structure, donor.source};
done:
    deformed_free(&donor);
    free(from.labels);
    free(made);
    return st;
}
