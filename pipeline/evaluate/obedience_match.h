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
    char name[LABELS_MAX][CAPTION_NAME];
} obedience_names;

void obedience_names_of(const label_set *labels, obedience_names *out);

/* A question is something that captions may ask for, with one of its answers: item * OBEY_ANSWERS +
 * answer. Items are names of structures (structures: absent, present; sides: left, right, both;
 * sizes: the one answer 0), or the item 0 (phase, level of noise). */
enum { OBEY_ANSWERS = 4, OBEY_QUESTIONS = LABELS_MAX * OBEY_ANSWERS };

/* Adds 1 to all[question] for each question of an attribute that `asked` asks and that `got` can
 * tell, and to right[question] if it is what `got` shows. */
void obedience_answer(const obedience_names *names, const shown *asked, const shown *got,
                      obedience_attribute attribute, int64_t right[OBEY_QUESTIONS],
                      int64_t all[OBEY_QUESTIONS]);

/* How far the questions of an attribute are answered as they were asked. Those count that slices of
 * at least two patients were asked (of one, if there is no other), and, sizes apart, whose item was
 * asked for with at least two answers: what is always the same needs no caption. Which count does
 * not depend on what the slices show. */
typedef struct obedience_table {
    int64_t count, patients;
    int32_t *question; /* [count], ascending */
    double *value;     /* [count][patients]: share of a patient's slices; NAN: not asked or told */
    double *chance;    /* [count]: share of pairs with slices of other patients; NAN: no pairs */
} obedience_table;

/* asked[n] and got[n] belong together by their place. Pairs: each slice with at most OBEY_OTHERS,
 * evenly spaced. The caller calls obedience_table_free(), also after a failure. */
enum { OBEY_OTHERS = 64 };
status obedience_table_make(const obedience_names *names, const shown *asked, const shown *got,
                            int64_t n, obedience_attribute attribute, int64_t patients,
                            obedience_table *out);
void obedience_table_free(obedience_table *t);

/* Balanced accuracy (Brodersen et al. 2010): the mean over items of the mean over their questions
 * of share[k * stride]. An item without a share for each of its questions is left out; NAN if all
 * are. Slices that do not depend on their captions are right in at most one of k answers. */
double obedience_balanced(const obedience_table *t, const double *share, int64_t stride);

/* Sets blind[item] where the balanced accuracy of an item of real slices is below OBEY_TOLD or not
 * known: what the referee cannot tell in them says nothing of others. blind[LABELS_MAX]. */
#define OBEY_TOLD 0.75
status obedience_find_blind(const obedience_table *of_real, bool *blind);

/* Takes the questions of these items out of a table. */
void obedience_leave_out(obedience_table *t, const bool *blind);

/* The balanced accuracy of the means over patients, with an interval from resamples of patients,
 * and that of chance. */
status obedience_estimate(const obedience_table *t, uint64_t seed, obedience_value *out);

#endif
