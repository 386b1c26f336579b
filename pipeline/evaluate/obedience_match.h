/* How far what a slice shows is what was asked for, attribute by attribute. All are Local. */
#ifndef CTAUG_PIPELINE_EVALUATE_OBEDIENCE_MATCH_H
#define CTAUG_PIPELINE_EVALUATE_OBEDIENCE_MATCH_H

#include "io/volume.h"
#include "model/text/grammar.h"
#include "pipeline/evaluate/obedience.h"

/* What a slice shows. */
typedef struct shown {
    caption_facts facts;     /* contrast: unknown if it was not told from the HU */
    bool labels[LABELS_MAX]; /* those that are there; facts name at most CAPTION_STRUCTURES */
    int64_t patient;
} shown;

/* The distinct names of structures. */
typedef struct obedience_names {
    int count;
    int of[LABELS_MAX]; /* the name of a label; -1: it has none */
} obedience_names;

void obedience_names_of(const label_set *labels, obedience_names *out);

/* The share 0..1 of what `asked` says of an attribute that `got` shows; NAN if it says nothing of
 * it, or nothing of it is there. */
double obedience_match(const obedience_names *names, const shown *asked, const shown *got,
                       obedience_attribute attribute);

/* asked[n] and got[n] belong together by their place: accuracy[patients] are means over the slices
 * of each patient, NAN without any; *chance is the mean over pairs with slices of other patients,
 * each with at most OBEY_OTHERS, evenly spaced; NAN without any. */
enum { OBEY_OTHERS = 64 };
void obedience_shares(const obedience_names *names, const shown *asked, const shown *got, int64_t n,
                      obedience_attribute attribute, int64_t patients, double *accuracy,
                      double *chance);

#endif
