/* Whether synthetic slices show what their label maps say: the referee
 * (pipeline/segmenter/referee.h), which is trained on real slices and never judged, segments them.
 *
 * <out>/fidelity/fidelity.json has the figures for metrics.json and, for each synthetic volume, its
 * slices with a Dice below evaluate.fidelity, which the evaluation leaves out.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_FIDELITY_H
#define CTAUG_PIPELINE_EVALUATE_FIDELITY_H

#include "pipeline/data/split.h"
#include "pipeline/stage.h"

#include <jansson.h>

/* Measures <out>/synthetic unless that is current or evaluate.fidelity is 0. Collective. */
status fidelity_measure(const stage_context *stage);

/* *seal: of the record, "" if evaluate.fidelity is 0; *record: fidelity.json, a new reference, or
 * NULL. ST_INPUT if it is missing, or not of the synthetic store with the seal `synthetic`. Local.
 */
status fidelity_read(const stage_context *stage, const char *synthetic, char seal[SHA256_HEX],
                     json_t **record);

/* The runs of `made` without the slices that were dropped; all of them if record is NULL. The
 * caller frees *runs with free(). ST_INPUT if nothing is left. Local. */
status fidelity_runs(const store *made, const json_t *record, split_run **runs, int64_t *count);

/* The entry "fidelity" of metrics.json: the record without its volumes. New reference; NULL without
 * a record. Local. */
json_t *fidelity_summary(const json_t *record);

#endif
