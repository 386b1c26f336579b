/* Chooses the training volume of a synthetic volume and deforms its label maps. */
#include "pipeline/data/deform.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const int16_t OUTSIDE_HU = -1024; /* around a slice: air */

/* The n-th distinct volume of the runs of a part, which are sorted by volume (-1: there are fewer);
 * *volumes = the number of distinct volumes. */
static int64_t nth_volume(const split *sp, split_part part, int64_t n, int64_t *volumes) {
    int64_t found = -1, last = -1, count = 0;
    for (int64_t i = 0; i < sp->run_count[part]; i++) {
        int64_t volume = sp->runs[part][i].volume;
        if (volume == last) continue;
        if (count == n) found = volume;
        last = volume;
        count++;
    }
    *volumes = count;
    return found;
}

geometry working_geometry(const geometry *from, int64_t size, int64_t slices) {
    geometry g = *from;
    int64_t side = from->shape[1] > from->shape[2] ? from->shape[1] : from->shape[2];
    g.shape[0] = slices;
    for (int a = 1; a < 3; a++) {
        g.shape[a] = size;
        g.spacing[a] = from->spacing[a] * (double)side / (double)size;
        /* The centre of the square, in pixels of the source slice. */
        double middle = (double)(side - 1) / 2 - (double)((side - from->shape[a]) / 2);
        double move = middle * from->spacing[a] - (double)(size - 1) / 2 * g.spacing[a];
        for (int k = 0; k < 3; k++) g.origin[k] += from->direction[3 * a + k] * move;
    }
    return g;
}

void deformed_draw(const study *s, int64_t v, int draw, deformed *d) {
    rng_stream r = rng_open((uint64_t)s->seed, RNG_DEFORM, (uint64_t)v, (uint32_t)draw);
    warp_draw(&d->warp, &r, s->generate.rotate, s->generate.zoom, s->generate.shift, 0,
              s->generate.elastic);
}

int64_t deformed_sources(const split *sp, split_part part) {
    int64_t volumes = 0;
    nth_volume(sp, part, 0, &volumes);
    return volumes;
}

bool deformed_uses_pseudo(const study *s, const split *sp) {
    return s->train.pseudo_labels == SWITCH_ON && sp->run_count[SPLIT_UNLABELLED] > 0;
}

status deformed_plan_part(const study *s, const store *real, const split *sp, split_part part,
                          int64_t n, deformed *out) {
    int64_t volumes = deformed_sources(sp, part), count = 0;
    const split_run *runs = sp->runs[part];
    *out = (deformed){0};
    if (volumes == 0) return status_fail(ST_INPUT, "a part of the split has no slices");
    out->source = nth_volume(sp, part, n % volumes, &volumes);
    out->pseudo = part == SPLIT_UNLABELLED;
    out->pseudo_volume = n % volumes;
    for (int64_t i = 0; i < sp->run_count[part]; i++)
        if (runs[i].volume == out->source) count += runs[i].count;
    status st = array_alloc(&out->slices, count, sizeof *out->slices, "a list of slices");
    if (st != ST_OK) return st;
    count = 0;
    for (int64_t i = 0; i < sp->run_count[part]; i++)
        for (int64_t z = 0; runs[i].volume == out->source && z < runs[i].count; z++)
            out->slices[count++] = runs[i].first + z;
    const store_entry *from = store_at(real, out->source);
    out->entry.space = working_geometry(&from->space, s->data.size, count);
    out->entry.contrast = from->contrast;
    out->entry.traits = from->traits;
    warp_identity(&out->warp);
    return ST_OK;
}

status deformed_plan(const study *s, const store *real, const split *sp, int64_t v, deformed *out) {
    const bool mixed = deformed_uses_pseudo(s, sp);
    const split_part part = mixed && v % 2 == 1 ? SPLIT_UNLABELLED : SPLIT_TRAIN;
    status st = deformed_plan_part(s, real, sp, part, mixed ? v / 2 : v, out);
    if (st != ST_OK) return st;
    /* The part before the last "-" names the patient: every synthetic volume is a patient. */
    snprintf(out->entry.id, sizeof out->entry.id, "synthetic%05" PRId64 "-0", v);
    deformed_draw(s, v, 0, out);
    return ST_OK;
}

void deformed_free(deformed *d) {
    free(d->slices);
    d->slices = NULL;
}

/* The source slice z, deformed like its labels, at the working size and windowed. */
static status deformed_image(const study *s, store *real, const deformed *d, int64_t z,
                             float *out) {
    status st = ST_OK;
    const geometry *from = &store_at(real, d->source)->space;
    int64_t h = from->shape[1], w = from->shape[2], side = h > w ? h : w;
    int64_t pixels = s->data.size * s->data.size;
    double at = ((double)z + 0.5) / (double)from->shape[0];
    int16_t *hu = NULL, *square = NULL;
    float *padded = NULL;
    TRY(array_alloc(&hu, side * side, sizeof *hu, "a slice"));
    TRY(array_alloc(&square, side * side, sizeof *square, "a slice"));
    TRY(array_alloc(&padded, side * side, sizeof *padded, "a slice"));
    TRY(store_read_slice(real, d->source, z, hu, NULL));
    resize_image(hu, h, w, OUTSIDE_HU, padded, side);
    for (int64_t i = 0; i < side * side; i++) square[i] = (int16_t)lrintf(padded[i]);
    warp_image(&d->warp, at, square, side, side, OUTSIDE_HU, hu, side, side);
    resize_image(hu, side, side, OUTSIDE_HU, out, s->data.size);
    for (int64_t i = 0; i < pixels; i++)
        out[i] = window_apply(out[i], s->data.window[0], s->data.window[1]);
done:
    free(hu);
    free(square);
    free(padded);
    return st;
}

/* The labels of source slice z, deformed, at the working size. */
static status deformed_map(const study *s, const map_stores *from, const deformed *d, int64_t z,
                           uint8_t *out) {
    status st = ST_OK;
    const geometry *space = &store_at(from->real, d->source)->space;
    uint8_t *labels = NULL, *square = NULL, *warped = NULL;
    int64_t h = space->shape[1], w = space->shape[2], side = h > w ? h : w;
    double at = ((double)z + 0.5) / (double)space->shape[0];
    TRY(array_alloc(&labels, h * w, 1, "a label map"));
    TRY(array_alloc(&square, side * side, 1, "a label map"));
    TRY(array_alloc(&warped, side * side, 1, "a label map"));
    if (d->pseudo)
        TRY(store_read_slice(from->pseudo, d->pseudo_volume, z, NULL, labels));
    else
        TRY(store_read_slice(from->real, d->source, z, NULL, labels));
    /* Padded to a square first: a rotation in relative coordinates would shear any other shape. */
    resize_labels(labels, h, w, square, side);
    warp_labels(&d->warp, at, square, side, side, warped, side, side);
    resize_labels(warped, side, side, out, s->data.size);
done:
    free(labels);
    free(square);
    free(warped);
    return st;
}

status deformed_condition(const study *s, const map_stores *from, const deformed *d, int64_t k,
                          slice_sample *out) {
    status st = ST_OK;
    int64_t depth = store_at(from->real, d->source)->space.shape[0], z = d->slices[k];
    if (out->labels) TRY(deformed_map(s, from, d, z, out->labels));
    if (out->image) TRY(deformed_image(s, from->real, d, z, out->image));
    out->position = depth > 1 ? (float)z / (float)(depth - 1) : 0;
    out->contrast = d->entry.contrast;
    out->traits = d->entry.traits;
    out->spacing = slice_spacing(&d->entry.space, s->data.size);
    out->volume = d->source;
    out->slice = z;
done:
    return st;
}

status deformed_labels(const study *s, const map_stores *from, const deformed *d, uint8_t *labels) {
    status st = ST_OK;
    int64_t pixels = s->data.size * s->data.size;
    for (int64_t k = 0; k < d->entry.space.shape[0]; k++)
        TRY(deformed_map(s, from, d, d->slices[k], labels + k * pixels));
done:
    return st;
}

json_t *deformed_json(const deformed *d, const store *real) {
    json_t *affine = json_array(), *elastic = json_array(), *slices = json_array();
    for (int64_t k = 0; k < d->entry.space.shape[0]; k++)
        json_array_append_new(slices, json_integer(d->slices[k]));
    for (int i = 0; i < 6; i++)
        json_array_append_new(affine, json_real(d->warp.affine[i / 3][i % 3]));
    const float *grid = &d->warp.elastic[0][0][0][0];
    for (int i = 0; i < WARP_GRID * WARP_GRID * WARP_GRID * 2; i++)
        json_array_append_new(elastic, json_real((double)grid[i]));
    json_t *all = json_pack("{s:s, s:s, s:o, s:o, s:o}", "id", d->entry.id, "source",
                            store_at(real, d->source)->id, "source_slices", slices, "affine",
                            affine, "elastic", elastic);
    if (!all || !d->pseudo || json_object_set_new(all, "pseudo_labels", json_true()) == 0)
        return all;
    json_decref(all);
    return NULL;
}
