/* The protocol and its statistics as members of metrics.json, and all results as metrics.csv. */
#ifndef CTAUG_PIPELINE_EVALUATE_PROTOCOL_JSON_H
#define CTAUG_PIPELINE_EVALUATE_PROTOCOL_JSON_H

#include "pipeline/evaluate/statistics.h"

#include <jansson.h>

/* Adds "protocol", "summary", "comparisons", "saving" and "learning" to `metrics`
 * (pipeline/report/METRICS.md). Local. */
status protocol_json(const all_results *all, json_t *metrics);

/* *text = every value of every patient, one a line, which the caller frees with free(). Undefined
 * values are left out. Local. */
status results_csv(const all_results *all, char **text);

#endif
