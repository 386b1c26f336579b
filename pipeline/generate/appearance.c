/* Measures and draws the grey values of structures. */
#include "pipeline/generate/appearance.h"

#include "io/alloc.h"
#include "model/rng.h"
#include "pipeline/common/grey_histogram.h"

#include <math.h>
#include <string.h>

/* The place of a volume of the store in the list; -1: it is not there. */
static int64_t place_of(const appearances *a, int64_t volume) {
    for (int64_t i = 0; i < a->count; i++)
        if (a->volume[i] == volume) return i;
    return -1;
}

static void list_part(const painter_inputs *in, split_part part, appearances *a) {
    for (int64_t r = 0; r < in->split->run_count[part]; r++) {
        int64_t volume = in->split->runs[part][r].volume;
        if (place_of(a, volume) >= 0) continue;
        a->contrast[a->count] = store_at(in->stores.real, volume)->contrast;
        a->volume[a->count++] = volume;
    }
}

static status list_volumes(const painter_inputs *in, appearances *a) {
    status st = ST_OK;
    const int64_t *runs = in->split->run_count;
    const int64_t most = runs[SPLIT_TRAIN] + runs[SPLIT_UNLABELLED];
    TRY(array_alloc(&a->volume, most, sizeof *a->volume, "grey values"));
    TRY(array_alloc(&a->contrast, most, sizeof *a->contrast, "grey values"));
    list_part(in, SPLIT_TRAIN, a);
    if (in->stores.pseudo) list_part(in, SPLIT_UNLABELLED, a);
done:
    return st;
}

/* Sets the grey values of a volume and empties its histograms. */
static void take_values(appearances *a, int64_t place, grey_structure *h) {
    for (int k = 0; k < a->labels; k++)
        a->grey[place * a->labels + k] = k > 0 ? grey_value(&h[k]) : NAN;
    memset(h, 0, (size_t)a->labels * sizeof *h);
}

/* The slices are sorted by volume. h: scratch, zeroed. */
static status measure_slices(const painter_inputs *in, appearances *a, slices *from,
                             grey_structure *h) {
    status st = ST_OK;
    int64_t size = in->stage->study->data.size, place = -1;
    slice_sample slice = {0};
    TRY(array_alloc(&slice.image, size * size, sizeof *slice.image, "a slice"));
    TRY(array_alloc(&slice.labels, size * size, 1, "a slice"));
    for (int64_t k = 0; k < slices_count(from); k++) {
        TRY(slices_get(from, k, &slice));
        int64_t next = place_of(a, slice.volume);
        if (place >= 0 && next != place) take_values(a, place, h);
        place = next;
        grey_add(h, slice.labels, slice.image, size);
    }
    take_values(a, place, h);
done:
    free(slice.image);
    free(slice.labels);
    return st;
}

status appearances_measure(const painter_inputs *in, appearances *out) {
    status st = ST_OK;
    const split *sp = in->split;
    slice_source from = {in->stores.real, sp->runs[SPLIT_TRAIN], sp->run_count[SPLIT_TRAIN]};
    slice_source other = {in->stores.real, sp->runs[SPLIT_UNLABELLED],
                          sp->run_count[SPLIT_UNLABELLED]};
    slices *train = NULL, *unlabelled = NULL;
    grey_structure *h = NULL;
    *out = (appearances){.labels = store_labels(in->stores.real)->count};
    TRY(list_volumes(in, out));
    TRY(array_alloc(&out->grey, out->count, out->labels * (int64_t)sizeof(double), "grey values"));
    TRY(array_alloc(&h, out->labels, sizeof *h, "grey values"));
    TRY(slices_open(in->stage->study, &from, 1, &train));
    TRY(measure_slices(in, out, train, h));
    if (!in->stores.pseudo) goto done;
    TRY(slices_open_unlabelled(in->stage->study, &other, in->stores.pseudo, &unlabelled));
    TRY(measure_slices(in, out, unlabelled, h));
done:
    slices_close(train);
    slices_close(unlabelled);
    free(h);
    return st;
}

void appearances_free(appearances *a) {
    free(a->volume);
    free(a->contrast);
    free(a->grey);
    *a = (appearances){0};
}

/* A volume of the class; of any class if there is none. */
static int64_t draw_volume(const appearances *a, int contrast, rng_stream *r) {
    int64_t alike = 0, i = 0;
    for (int64_t k = 0; k < a->count; k++) alike += a->contrast[k] == contrast;
    if (alike == 0) return (int64_t)rng_below(r, (uint64_t)a->count);
    int64_t k = (int64_t)rng_below(r, (uint64_t)alike);
    while (a->contrast[i] != contrast || k-- > 0) i++;
    return i;
}

void appearances_draw(const appearances *a, uint64_t seed, uint64_t v, int64_t source, int contrast,
                      float *grey) {
    rng_stream r = rng_open(seed, RNG_APPEARANCE, v, 0);
    int64_t other = draw_volume(a, contrast, &r), own = place_of(a, source);
    double share = rng_uniform(&r);
    if (own < 0) own = draw_volume(a, contrast, &r);
    for (int k = 0; k < a->labels; k++) {
        double x = a->grey[own * a->labels + k], y = a->grey[other * a->labels + k];
        if (isnan(x)) x = y;
        if (isnan(y)) y = x;
        grey[k] = (float)((1 - share) * x + share * y);
    }
}
