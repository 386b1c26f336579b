/* Slices for the networks: reads, resamples, caches and augments them.
 *
 * A slice is cached as a frame: a square of HU and labels at twice the working size, or as stored
 * if that is smaller. Augmentation warps the frame and then averages it to the working size, so
 * that a training slice has the noise and the edges of a slice that was only averaged.
 *
 * The runs of all sources are concatenated; bisection finds the run of slice k. Resampled slices
 * are cached until the cache is full and never evicted: an epoch uses each slice exactly once, so
 * that evicting the least recently used slice would always evict the one needed next. The order of
 * the current epoch is cached as well, so that a draw needs no shuffle.
 */
#include "pipeline/data/batch.h"

#include "io/activity.h"
#include "pipeline/data/shift.h"
#include "model/hu_map.h"
#include "model/rng.h"
#include "model/warp.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const int64_t CACHE_BYTES = INT64_C(1) << 28;
static const int16_t OUTSIDE_HU = -1024; /* pads a slice to a square, and a warped one: air */
enum { OVERSAMPLING = 2 /* of a frame, against the working size, at most */ };

/* A run of a source; `start` is the number k of its first slice. */
typedef struct source_run {
    store *from;
    split_run run;
    int64_t start;
    int64_t labels_volume; /* in slices.labels, if there is one */
} source_run;

/* A slice in a square of side x side pixels, and its labels at the working size. */
typedef struct frame {
    int64_t side;
    int16_t *hu;
    uint8_t *labels;  /* side * side */
    uint8_t *working; /* size * size */
} frame;

struct slices {
    int64_t size, pixels, count; /* working size, size * size, slices of all runs */
    int64_t frame_pixels;        /* of the largest frame */
    double window[2], rotate, zoom, shift, elastic;
    bool mirror;
    bool mapped;                   /* see slices_map_hu() */
    bool hidden;                   /* the labels of the sources are never read: */
    store *labels;                 /* it gives them instead; NULL: they are 0 */
    slice_replacement replacement; /* read NULL: none */
    source_run *runs;
    int64_t run_count;

    int64_t *slot; /* [count]: slot of slice k in the cache, or -1 */
    int64_t slots, used;
    int16_t *cached_hu;     /* [slots][frame_pixels]: frames */
    uint8_t *cached_frames; /* [slots][frame_pixels]: their labels */
    uint8_t *cached_labels; /* [slots][pixels]: labels at the working size */

    int64_t *order; /* [count]: the order of epoch `epoch` with `seed` */
    int64_t epoch;  /* -1: none yet */
    uint64_t seed;

    int16_t *hu;          /* scratch for a slice as stored: pixels of the largest one */
    uint8_t *full_labels; /* likewise */
    float *average;       /* scratch [frame_pixels] */
    frame spare, warped;  /* scratch for a slice that is not cached, and for an augmented one */
};

/* ST_INPUT unless all sources, and the store that gives their labels, have the same labels. */
static status check_labels(const slice_source *sources, int64_t n, const store *labels) {
    status st = ST_OK;
    for (int64_t i = 1; i < n; i++) TRY(store_check_same_labels(sources[0].from, sources[i].from));
    if (labels) TRY(store_check_same_labels(sources[0].from, labels));
done:
    return st;
}

/* Finds the volume that gives the labels of a run. */
static status find_labels(const store *labels, source_run *run) {
    const store_entry *entry = store_at(run->from, run->run.volume);
    for (int64_t i = 0; i < store_count(labels); i++) {
        const store_entry *other = store_at(labels, i);
        if (strcmp(entry->id, other->id) != 0) continue;
        if (memcmp(entry->space.shape, other->space.shape, sizeof entry->space.shape) != 0)
            return status_fail(ST_INPUT, "volume %s and its pseudo-labels have different shapes",
                               entry->id);
        run->labels_volume = i;
        return ST_OK;
    }
    return status_fail(ST_INPUT, "volume %s has no pseudo-labels", entry->id);
}

/* The side of the frame of a stored slice. */
static int64_t frame_side(const slices *s, const int64_t shape[3]) {
    int64_t side = shape[1] > shape[2] ? shape[1] : shape[2];
    return side < OVERSAMPLING * s->size ? side : OVERSAMPLING * s->size;
}

/* Concatenates the runs of all sources; *largest = pixels of the largest stored slice. */
static status concatenate(slices *s, const slice_source *sources, int64_t n, int64_t *largest) {
    status st = ST_OK;
    *largest = 0;
    for (int64_t i = 0; i < n; i++) s->run_count += sources[i].run_count;
    TRY(array_alloc(&s->runs, s->run_count, sizeof *s->runs, "slice runs"));
    int64_t at = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t r = 0; r < sources[i].run_count; r++) {
            const split_run *run = &sources[i].runs[r];
            const geometry *space = &store_at(sources[i].from, run->volume)->space;
            int64_t pixels = 0;
            if (!size_mul(space->shape[1], space->shape[2], &pixels))
                TRY(status_fail(ST_INPUT, "%s: slices are too large",
                                store_at(sources[i].from, run->volume)->id));
            if (pixels > *largest) *largest = pixels;
            int64_t side = frame_side(s, space->shape);
            if (side * side > s->frame_pixels) s->frame_pixels = side * side;
            s->runs[at] = (source_run){
                .from = sources[i].from, .run = *run, .start = s->count, .labels_volume = -1};
            if (s->labels) TRY(find_labels(s->labels, &s->runs[at]));
            at++;
            s->count += run->count;
        }
    }
    if (s->count == 0) st = status_fail(ST_INPUT, "there are no slices to work on");
done:
    return st;
}

static status frame_alloc(const slices *s, frame *f) {
    status st = ST_OK;
    TRY(array_alloc(&f->hu, s->frame_pixels, sizeof *f->hu, "a slice"));
    TRY(array_alloc(&f->labels, s->frame_pixels, 1, "a slice"));
    TRY(array_alloc(&f->working, s->pixels, 1, "a slice"));
done:
    return st;
}

static void frame_free(frame *f) {
    free(f->hu);
    free(f->labels);
    free(f->working);
}

/* Opens the slices; hidden, labels: those of struct slices. */
static status open_sources(const study *study, const slice_source *sources, int64_t n, bool hidden,
                           store *labels, slices **out) {
    slices *s = NULL;
    int64_t largest = 0;
    status st = ST_OK;
    *out = NULL;
    TRY(check_labels(sources, n, labels));
    TRY(array_alloc(&s, 1, sizeof *s, "slices"));
    s->hidden = hidden;
    s->labels = labels;
    s->size = study->data.size;
    s->pixels = s->size * s->size;
    s->window[0] = study->data.window[0];
    s->window[1] = study->data.window[1];
    s->rotate = study->data.rotate;
    s->zoom = study->data.zoom;
    s->shift = study->data.shift;
    s->elastic = study->data.elastic;
    s->mirror = study->data.flip == FLIP_HORIZONTAL;
    s->epoch = -1;
    TRY(concatenate(s, sources, n, &largest));
    s->slots = CACHE_BYTES / (s->frame_pixels * (int64_t)(sizeof *s->hu + 1) + s->pixels);
    if (s->slots > s->count) s->slots = s->count;
    TRY(array_alloc(&s->slot, s->count, sizeof *s->slot, "the slice cache"));
    for (int64_t k = 0; k < s->count; k++) s->slot[k] = -1;
    TRY(array_alloc(&s->cached_hu, s->slots * s->frame_pixels, sizeof *s->hu, "the slice cache"));
    TRY(array_alloc(&s->cached_frames, s->slots * s->frame_pixels, 1, "the slice cache"));
    TRY(array_alloc(&s->cached_labels, s->slots * s->pixels, 1, "the slice cache"));
    TRY(array_alloc(&s->order, s->count, sizeof *s->order, "the order of an epoch"));
    TRY(array_alloc(&s->hu, largest, sizeof *s->hu, "a slice"));
    TRY(array_alloc(&s->full_labels, largest, 1, "a slice"));
    TRY(array_alloc(&s->average, s->frame_pixels, sizeof *s->average, "a slice"));
    TRY(frame_alloc(s, &s->spare));
    TRY(frame_alloc(s, &s->warped));
    *out = s;
    s = NULL;
done:
    slices_close(s);
    return st;
}

status slices_open(const study *study, const slice_source *sources, int64_t n, slices **out) {
    return open_sources(study, sources, n, false, NULL, out);
}

status slices_open_unlabelled(const study *study, const slice_source *source, store *labels,
                              slices **out) {
    return open_sources(study, source, 1, true, labels, out);
}

void slices_close(slices *s) {
    if (!s) return;
    free(s->runs);
    free(s->slot);
    free(s->cached_hu);
    free(s->cached_frames);
    free(s->cached_labels);
    free(s->order);
    free(s->hu);
    free(s->full_labels);
    free(s->average);
    frame_free(&s->spare);
    frame_free(&s->warped);
    free(s);
}

int64_t slices_count(const slices *s) { return s->count; }

void slices_map_hu(slices *s) { s->mapped = true; }

void slices_replace(slices *s, const slice_replacement *with) { s->replacement = *with; }

/* The run that holds slice k: the last one that starts at or before it. */
static const source_run *find_run(const slices *s, int64_t k) {
    int64_t low = 0, high = s->run_count;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (s->runs[middle].start <= k)
            low = middle;
        else
            high = middle;
    }
    return &s->runs[low];
}

/* Makes the frame of the stored slice in s->hu and s->full_labels. */
static void make_frame(slices *s, const int64_t shape[3], frame *to) {
    const int64_t pixels = to->side * to->side;
    resize_image(s->hu, shape[1], shape[2], OUTSIDE_HU, s->average, to->side);
    for (int64_t p = 0; p < pixels; p++) to->hu[p] = (int16_t)lrintf(s->average[p]);
    resize_labels(s->full_labels, shape[1], shape[2], to->labels, to->side);
    resize_labels(s->full_labels, shape[1], shape[2], to->working, s->size);
}

/* Reads slice z of a run into s->hu and s->full_labels. */
static status read_stored(slices *s, const source_run *at, const int64_t shape[3], int64_t z) {
    status st = ST_OK;
    TRY(store_read_slice(at->from, at->run.volume, z, s->hu, s->hidden ? NULL : s->full_labels));
    if (s->labels)
        TRY(store_read_slice(s->labels, at->labels_volume, z, NULL, s->full_labels));
    else if (s->hidden)
        memset(s->full_labels, 0, (size_t)(shape[1] * shape[2]));
done:
    return st;
}

float slice_spacing(const geometry *g, int64_t size) {
    const double side = (double)(g->shape[1] > g->shape[2] ? g->shape[1] : g->shape[2]);
    return (float)(sqrt(g->spacing[1] * g->spacing[2]) * side / (double)size);
}

/* Sets the members of *sample other than the buffers and the caption. */
static void describe(const slices *s, const source_run *at, int64_t k, slice_sample *sample) {
    const store_entry *entry = store_at(at->from, at->run.volume);
    const int64_t z = at->run.first + (k - at->start), depth = entry->space.shape[0];
    sample->latent = false;
    sample->volume = at->run.volume;
    sample->slice = z;
    sample->contrast = entry->contrast;
    sample->traits = entry->traits;
    sample->position = depth > 1 ? (float)((double)z / (double)(depth - 1)) : 0;
    sample->spacing = slice_spacing(&entry->space, s->size);
}

/* Slice k from slices_replace(). */
static status replaced(slices *s, int64_t k, int64_t copy, slice_sample *sample) {
    describe(s, find_run(s, k), k, sample);
    sample->latent = s->replacement.latent;
    activity_progress();
    return s->replacement.read(s->replacement.context, k, copy, sample);
}

/* The frame of slice k: *out points into the cache or to scratch, valid until the next call. Sets
 * the members of *sample other than the buffers. */
static status fetch(slices *s, int64_t k, frame *out, slice_sample *sample) {
    status st = ST_OK;
    if (k < 0 || k >= s->count)
        return status_fail(ST_INTERNAL, "slice %" PRId64 " of %" PRId64, k, s->count);
    const source_run *at = find_run(s, k);
    const int64_t *shape = store_at(at->from, at->run.volume)->space.shape;
    int64_t slot = s->slot[k];
    describe(s, at, k, sample);
    bool keep = slot < 0 && s->used < s->slots;
    if (keep) slot = s->used;
    *out = s->spare;
    if (slot >= 0)
        *out = (frame){.hu = s->cached_hu + slot * s->frame_pixels,
                       .labels = s->cached_frames + slot * s->frame_pixels,
                       .working = s->cached_labels + slot * s->pixels};
    out->side = frame_side(s, shape);
    if (s->slot[k] < 0) {
        TRY(read_stored(s, at, shape, sample->slice));
        make_frame(s, shape, out);
    }
    if (keep) s->slot[k] = s->used++;
done:
    return st;
}

/* Averages HU to the working size, and windows or maps them. */
static void average_frame(const slices *s, const int16_t *hu, int64_t side, float *image) {
    resize_image(hu, side, side, OUTSIDE_HU, image, s->size);
    for (int64_t p = 0; p < s->pixels; p++)
        image[p] = s->mapped ? (float)hu_map_to((double)image[p])
                             : window_apply(image[p], s->window[0], s->window[1]);
}

status slices_get(slices *s, int64_t k, slice_sample *sample) {
    frame f;
    if (s->replacement.read) return replaced(s, k, 0, sample);
    status st = fetch(s, k, &f, sample);
    if (st != ST_OK) return st;
    average_frame(s, f.hu, f.side, sample->image);
    memcpy(sample->labels, f.working, (size_t)s->pixels);
    activity_progress();
    return ST_OK;
}

/* Makes the order of an epoch: a Fisher-Yates shuffle of all slices drawn from (seed, epoch). */
static void shuffle(slices *s, uint64_t seed, int64_t epoch) {
    if (s->epoch == epoch && s->seed == seed) return;
    rng_stream r = rng_open(seed, RNG_ORDER, (uint64_t)epoch, 0);
    for (int64_t k = 0; k < s->count; k++) s->order[k] = k;
    for (int64_t k = s->count - 1; k > 0; k--) {
        int64_t other = (int64_t)rng_below(&r, (uint64_t)k + 1), swap = s->order[k];
        s->order[k] = s->order[other];
        s->order[other] = swap;
    }
    s->epoch = epoch;
    s->seed = seed;
}

/* Warps frame f into s->warped. */
static void warp_frame(slices *s, const warp *w, const frame *f) {
    warp_image(w, 0.5, f->hu, f->side, f->side, OUTSIDE_HU, s->warped.hu, f->side, f->side);
    warp_labels(w, 0.5, f->labels, f->side, f->side, s->warped.labels, f->side, f->side);
}

status slices_get_shifted(slices *s, uint64_t seed, int64_t k, slice_sample *sample) {
    frame f;
    warp w;
    status st = ST_OK;
    TRY(fetch(s, k, &f, sample));
    rng_stream r = rng_open(seed, RNG_SHIFT, (uint64_t)k, 0);
    shift_warp(&w);
    warp_frame(s, &w, &f);
    TRY(shift_scan(s->warped.hu, f.side, &r));
    average_frame(s, s->warped.hu, f.side, sample->image);
    resize_labels(s->warped.labels, f.side, f.side, sample->labels, s->size);
    activity_progress();
done:
    return st;
}

status slices_augment(slices *s, uint64_t seed, int64_t index, int64_t k, slice_sample *sample) {
    frame f;
    warp w;
    status st = ST_OK;
    TRY(fetch(s, k, &f, sample));
    rng_stream r = rng_open(seed, RNG_AUGMENT, (uint64_t)index, 0);
    warp_draw(&w, &r, s->rotate, s->zoom, s->shift, s->mirror, s->elastic);
    warp_frame(s, &w, &f);
    average_frame(s, s->warped.hu, f.side, sample->image);
    resize_labels(s->warped.labels, f.side, f.side, sample->labels, s->size);
done:
    return st;
}

status slices_draw(slices *s, uint64_t seed, int64_t index, slice_sample *sample) {
    const int64_t epoch = index / s->count;
    shuffle(s, seed, epoch);
    const int64_t k = s->order[index % s->count];
    return s->replacement.read ? replaced(s, k, epoch, sample)
                               : slices_augment(s, seed, index, k, sample);
}

status slices_all_runs(const store *s, split_run **runs, int64_t *count) {
    *count = store_count(s);
    status st = array_alloc(runs, *count, sizeof **runs, "slice runs");
    for (int64_t i = 0; st == ST_OK && i < *count; i++)
        (*runs)[i] = (split_run){i, 0, store_at(s, i)->space.shape[0]};
    return st;
}
