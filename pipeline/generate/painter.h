/* Painters: what makes CT slices from the label maps of the synthetic volumes.
 *
 * A painter is a row of the table in painter.c, by its number in generate.painters. All painters of
 * a study paint the same label maps; each writes a store of its own. generate.c calls find() on all
 * ranks; if the store of this fingerprint is not there yet, open(), paint() for each unit of work,
 * and provenance(); and close() in any case.
 */
#ifndef CTAUG_PIPELINE_GENERATE_PAINTER_H
#define CTAUG_PIPELINE_GENERATE_PAINTER_H

#include "pipeline/data/deform.h"
#include "pipeline/stage.h"

#include <jansson.h>

/* What a painter may use. It outlives the painter. */
typedef struct painter_inputs {
    const stage_context *stage;
    map_stores stores;
    const split *split; /* of the real store */
} painter_inputs;

typedef struct painter {
    const char *folder; /* of its store in the run directory */
    /* Whether the conditions must hold the image of the source slice, deformed like the labels.
     * With model.tissue they do so for every painter. */
    bool wants_source;

    /* Finds the painter's model, and the fingerprint of the store that it would paint: over all
     * that determines its bytes. *self: the state of the painter, also after a failure. ST_INPUT
     * if an earlier stage has to run first. Collective. */
    status (*find)(const painter_inputs *in, void **self, char fingerprint[SHA256_HEX]);

    /* Makes ready for up to `batch` slices at once. Local. */
    status (*open)(void *self, int64_t batch);

    /* Paints `count` <= batch slices of one volume into
     * images[count][size][size], values in [-1, 1]. The conditions have labels, position and class,
     * and perhaps the image. keep[count][size][size]: the part 0..1 of a pixel that stays that of
     * the image; NULL: nothing (always, but for the painter of in-painted volumes). index[count]:
     * volume * 2^20 + slice, where volumes are counted from volume_kind_first() on
     * (pipeline/common/volume_kind.h); they and the study's seed determine all random numbers, and
     * the bytes of a slice do not depend on the others. Local. */
    status (*paint)(void *self, const slice_sample *conditions, const uint64_t *index,
                    const float *keep, int64_t count, float *images);

    /* What the provenance of the store says about the model: an object. New reference; NULL: out of
     * memory. Local. */
    json_t *(*provenance)(const void *self);

    /* NULL is allowed. Local. */
    void (*close)(void *self);
} painter;

/* Indexed by painter_kind. */
extern const painter *const painters[PAINTER_KINDS];

extern const painter painter_diffusion, painter_gaussian, painter_gan;

#endif
