/* The captions of the slices that a denoiser samples, as it is given them (model.text: on): the
 * states of a text encoder (pipeline/common/text_model.h). All are Local. */
#ifndef CTAUG_PIPELINE_COMMON_DENOISER_TEXT_H
#define CTAUG_PIPELINE_COMMON_DENOISER_TEXT_H

#include "pipeline/common/denoiser.h"

typedef struct denoiser_text denoiser_text;

/* Which text a slot is given. */
typedef enum text_choice {
    TEXT_OWN,     /* its caption */
    TEXT_NONE,    /* "" */
    TEXT_NEGATIVE /* generate.negative, which may be "" */
} text_choice;

/* For batches of `batch` slices. ST_INPUT if the study's text encoder is not there. stage and
 * labels must outlive *out. */
status denoiser_text_open(const stage_context *stage, const label_set *labels, int64_t batch,
                          denoiser_text **out);
void denoiser_text_close(denoiser_text *t);

/* Takes the captions of these slices, or makes them of what the slices show; index[count]: their
 * global sample indices, which the wording is drawn from. count <= batch. */
status denoiser_text_set(denoiser_text *t, const slice_sample *conditions, const uint64_t *index,
                         int64_t count);

/* Gives slot b of the inputs the text of slice k of them. */
void denoiser_text_fill(const denoiser_text *t, const denoiser_inputs *in, int64_t b, int64_t k,
                        text_choice which);

#endif
