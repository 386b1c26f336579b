/* How far what a slice shows is what was asked for, attribute by attribute. All are Local. */
#ifndef CTAUG_PIPELINE_EVALUATE_OBEDIENCE_MATCH_H
#define CTAUG_PIPELINE_EVALUATE_OBEDIENCE_MATCH_H

#include "io/volume.h"
#include "model/text/grammar.h"
#include "pipeline/evaluate/obedience.h"

/* What a slice shows. */
typedef struct shown {
    caption_facts facts; /* contrast: unknown if it was not told from the HU */
    int64_t patient;
} shown;

/* The share 0..1 of what `asked` says of an attribute that `got` shows; NAN if it says nothing of
 * it, or nothing of it is there. */
double obedience_match(const label_set *labels, const caption_facts *asked,
                       const caption_facts *got, obedience_attribute attribute);

/* asked[n] and got[n] belong together by their place: accuracy[patients] are means over the slices
 * of each patient, NAN without any, *chance is the mean over pairs of different patients. */
void obedience_shares(const label_set *labels, const shown *asked, const shown *got, int64_t n,
                      obedience_attribute attribute, int64_t patients, double *accuracy,
                      double *chance);

#endif
