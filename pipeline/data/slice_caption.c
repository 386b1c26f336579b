/* Measures the facts of slices, leaves some out, and words the rest. */
#include "pipeline/data/slice_caption.h"

#include "io/alloc.h"
#include "model/rng.h"
#include "model/warp.h"
#include "pipeline/data/caption.h"
#include "pipeline/data/own_captions.h"

#include <string.h>

#define THIN 0.2 /* probability that a fact is left out */

struct captioner {
    const study *study;
    const label_set *labels;
    const store *own_store;
    own_captions own;
    uint8_t *map; /* [size * size] */
    int16_t *hu;  /* the same */
};

status captioner_open(const study *s, const label_set *labels, const store *own, captioner **out) {
    status st = ST_OK;
    captioner *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "captions"));
    c->study = s;
    c->labels = labels;
    c->own_store = own;
    TRY(array_alloc(&c->map, s->data.size * s->data.size, 1, "a label map"));
    TRY(array_alloc(&c->hu, s->data.size * s->data.size, sizeof *c->hu, "a slice"));
    if (own && s->text.captions[0]) TRY(own_captions_read(s->text.captions, &c->own));
    *out = c;
    c = NULL;
done:
    captioner_close(c);
    return st;
}

void captioner_close(captioner *c) {
    if (!c) return;
    own_captions_free(&c->own);
    free(c->map);
    free(c->hu);
    free(c);
}

/* Axial, LPS: rows go to the back, columns to the left. */
static geometry geometry_of(const study *s, const slice_sample *slice) {
    const double spacing = (double)slice->spacing;
    return (geometry){.shape = {1, s->data.size, s->data.size},
                      .spacing = {1, spacing, spacing},
                      .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}};
}

status captioner_facts(captioner *c, const slice_sample *slice, caption_facts *out) {
    status st = ST_OK;
    const study *s = c->study;
    const int64_t pixels = s->data.size * s->data.size;
    const bool has_hu = slice->image && s->model.space == SPACE_PIXEL;
    const geometry space = geometry_of(s, slice);
    for (int64_t i = 0; i < pixels; i++)
        c->map[i] = slice->labels[i] < c->labels->count ? slice->labels[i] : 0;
    for (int64_t i = 0; has_hu && i < pixels; i++)
        c->hu[i] = window_invert(slice->image[i], s->data.window[0], s->data.window[1]);
    const caption_source from = {.space = &space,
                                 .labels = c->labels,
                                 .map = c->map,
                                 .hu = has_hu ? c->hu : NULL,
                                 .contrast = slice->contrast ? CONTRAST_AGENT : CONTRAST_NATIVE,
                                 .traits = slice->traits};
    TRY(caption_measure(&from, out));
done:
    return st;
}

/* Leaves out what is drawn. All numbers are drawn in any case. */
static void thin(caption_facts *f, rng_stream *r) {
    int kept = 0;
    if (rng_uniform(r) < THIN) f->contrast = CONTRAST_UNKNOWN;
    if (rng_uniform(r) < THIN) f->noise = 0;
    if (rng_uniform(r) < THIN) f->spacing = 0;
    for (int i = 0; i < CAPTION_STRUCTURES; i++) {
        caption_structure *one = &f->structure[i];
        const bool name = rng_uniform(r) < THIN, side = rng_uniform(r) < THIN,
                   size = rng_uniform(r) < THIN;
        if (i >= f->structures || name) continue;
        if (side) one->side = SIDE_UNKNOWN;
        if (size) one->size = 0;
        f->structure[kept++] = *one;
    }
    f->structures = kept;
    if (rng_uniform(r) < THIN) f->kernel[0] = 0;
    if (rng_uniform(r) < THIN) f->body[0] = 0;
}

const char *captioner_own(const captioner *c, int64_t volume) {
    if (c->own.count == 0) return NULL;
    return own_captions_find(&c->own, store_at(c->own_store, volume)->id);
}

status captioner_write(captioner *c, const slice_sample *slice, uint64_t index, caption_use use,
                       bool thinned, char out[CAPTION_SIZE]) {
    status st = ST_OK;
    const uint64_t seed = (uint64_t)c->study->seed;
    caption_facts facts;
    const char *own = captioner_own(c, slice->volume);
    if (own) {
        memcpy(out, own, strlen(own) + 1); /* own_captions_read() has checked its length */
        goto done;
    }
    TRY(captioner_facts(c, slice, &facts));
    rng_stream r = rng_open(seed, RNG_CAPTION_FACTS, index, (uint32_t)use);
    if (thinned) thin(&facts, &r);
    caption_write(&facts, seed, index, (uint32_t)use, out);
done:
    return st;
}
