/* The entry "costs" of metrics.json (pipeline/report/METRICS.md). */
#ifndef CTAUG_PIPELINE_EVALUATE_COSTS_JSON_H
#define CTAUG_PIPELINE_EVALUATE_COSTS_JSON_H

#include "pipeline/evaluate/distances.h"
#include "pipeline/evaluate/likelihood.h"
#include "pipeline/evaluate/obedience.h"
#include "pipeline/evaluate/statistics.h"
#include "pipeline/stage.h"

/* Sets "costs" of `metrics`: core hours of the generators of all cells (pipeline/common/costs.h),
 * of the segmenters, the distributions, the likelihoods and the obediences; results, likelihoods,
 * obediences: of all pieces. A damaged record of a generator is left out with a warning. Local. */
status costs_json(const stage_context *stage, const all_results *all, const distances *results,
                  const likelihood *likelihoods, const obedience *obediences, json_t *metrics);

#endif
