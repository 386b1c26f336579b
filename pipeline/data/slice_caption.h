/* Captions of slices at the working size: what is known of a slice_sample, worded by the grammar
 * (model/text/grammar.h).
 *
 * Facts are measured as pipeline/data/caption.h says, of the slice as a network sees it: its labels
 * (codes of a latent that are tissues count as no label), its HU within data.window, if it has an
 * image, its spacing and the classes of its volume. With model.space latent HU count as unknown,
 * since a training on latents has none: noise is not said, and sides are those of the grid. A
 * mirrored slice shows its organs on the other side, and its caption says so, but for names that
 * have a side.
 *
 * What a user has written of a volume (pipeline/data/own_captions.h) takes the place of the grammar
 * for slices of the store's volumes.
 */
#ifndef CTAUG_PIPELINE_DATA_SLICE_CAPTION_H
#define CTAUG_PIPELINE_DATA_SLICE_CAPTION_H

#include "model/text/grammar.h"
#include "pipeline/data/batch.h"

/* Which caption of a slice: the streams (RNG_CAPTION, index, use) and (RNG_CAPTION_FACTS, index,
 * use) draw it. */
typedef enum caption_use {
    CAPTION_PAIR,     /* of a pair that trains the text encoder */
    CAPTION_TOKENS,   /* from which the tokens are learnt */
    CAPTION_TRAIN,    /* of a training slice of the denoiser */
    CAPTION_HELD,     /* of a validation slice */
    CAPTION_GENERATE, /* of a slice that is sampled */
    CAPTION_OBEY      /* from which alone a slice is sampled (pipeline/evaluate/obedience.h) */
} caption_use;

typedef struct captioner captioner;

/* For slices with these labels. `own`: the store whose volumes text.captions names; NULL: no
 * captions of the user. What it is given must outlive *out. ST_INPUT for a faulty file. Local. */
status captioner_open(const study *s, const label_set *labels, const store *own, captioner **out);
void captioner_close(captioner *c);

/* The facts of a slice. Local. */
status captioner_facts(captioner *c, const slice_sample *slice, caption_facts *out);

/* The caption of a slice by (study.seed, index, use). `thin`: each fact is left out with a
 * probability of a fifth, since what a user writes says less, too. Local. */
status captioner_write(captioner *c, const slice_sample *slice, uint64_t index, caption_use use,
                       bool thin, char out[CAPTION_SIZE]);

/* The user's caption of a volume of the store; NULL: there is none. Local. */
const char *captioner_own(const captioner *c, int64_t volume);

#endif
