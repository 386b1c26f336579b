/* The Dice of a segmenter on the validation patients. */
#ifndef CTAUG_PIPELINE_REFEREE_VALIDATION_DICE_H
#define CTAUG_PIPELINE_REFEREE_VALIDATION_DICE_H

#include "pipeline/segmenter/segmenter.h"

typedef struct validation_set {
    slices *slices;
    int64_t *patient_of; /* by volume: number of the patient */
    int64_t patients;
} validation_set;

/* Opens the validation slices of a split. The caller calls validation_close(), also after a
 * failure. Local. */
status validation_open(const study *s, store *from, const split *sp, validation_set *out);
void validation_close(validation_set *v);

/* dice[labels], from structure 1 on: means over the patients who have the structure; NAN: none has.
 * The ranks share the slices. Collective. */
status validation_dice(const stage_context *stage, segmenter *net, const validation_set *v,
                       int labels, double *dice);

#endif
