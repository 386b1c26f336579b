/* Whether slices show what their captions ask for (model.text: on).
 *
 * For evenly spaced slices of test patients, whose facts are known, captions are written and slices
 * sampled from them alone: labels, tissue, position and class are dropped. The referee segments
 * them, and what they show is measured from its label map and the HU as facts are
 * (pipeline/data/slice_caption.h). For each attribute the balanced accuracy is the mean over what
 * may be asked for (each structure) of the mean over what may be asked of it (that it is there,
 * that it is not): slices that do not depend on their captions reach at most one half with two
 * answers, a third with three, however common either is. The share of one question is the mean over
 * patients of the means over their slices. `chance` is the same for slices of other patients in
 * place of its own. The first row are the real slices themselves, segmented in the same way: what
 * can be reached.
 *
 * An item of which the balanced accuracy of the real slices is below OBEY_TOLD is left out of all
 * rows: what the referee cannot tell in real slices says nothing of others.
 *
 * What is asked for in the slices of one patient alone does not count if there are others, nor what
 * is asked for with the same answer throughout (pipeline/evaluate/obedience_match.h).
 *
 * Structures of fewer than 4 pixels neither are asked for nor count.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_OBEDIENCE_H
#define CTAUG_PIPELINE_EVALUATE_OBEDIENCE_H

#include "pipeline/evaluate/comparison.h"
#include "pipeline/evaluate/statistics.h"

typedef enum obedience_attribute {
    OBEY_STRUCTURES, /* of all names of structures: it is there exactly if it is asked for */
    OBEY_SIDES,      /* of structures that are there: left, right or both, as it is asked for */
    OBEY_SIZES,      /* of structures that are there, on the side that is asked for: their size
                        within a quarter of what is asked for; the mean over structures */
    OBEY_PHASE,      /* contrast agent, by the HU of structures nearest to those of either class of
                        training slices; unknown if they have one class alone */
    OBEY_NOISE,      /* low, moderate or high (model/text/grammar.h) */
    OBEY_ATTRIBUTES
} obedience_attribute;

/* Rows: real slices, then one for each guidance scale of the text. */
enum { OBEY_ROWS = 4 };

/* The guidance of row 1..OBEY_ROWS - 1. Local. */
double obedience_scale(int row);
const char *obedience_name(obedience_attribute a);

typedef struct obedience_value {
    /* Balanced; NAN if nothing counts. Low and high are NAN with one patient, too. */
    estimate accuracy;
    double chance; /* NAN if nothing counts, or there are no other patients */
} obedience_value;

typedef struct obedience {
    int64_t slices, patients;
    obedience_value value[OBEY_ROWS][OBEY_ATTRIBUTES];
    bool blind[OBEY_ATTRIBUTES][LABELS_MAX]; /* items that are left out for that */
    double seconds;                          /* of all cores, in the launch that finished it */
} obedience;

/* Number of measurements of a study, one a cell: 0 without evaluate.obedience. Local. */
int64_t obedience_count(const study *s);

/* As likelihood_read(), likelihood_run() and likelihood_json() (pipeline/evaluate/likelihood.h);
 * the entry is "obedience". */
status obedience_read(const comparison *c, obedience *out);
status obedience_run(const comparison *c);
status obedience_json(const all_results *all, const obedience *results, json_t *metrics);

#endif
