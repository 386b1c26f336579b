/* The published comparison of a sweep, <out>/sweep: a page for people, sweep.json and sweep.csv.
 *
 * sweep.json: {"study": s, "measure": s, "best": number of a point or null, "points": [{"point":
 * number, "settings": {key: value}, "<column>": {"mean", "low", "high", "n"}, "difference": {the
 * same, in the measure, from point 0}, "arms": [{"folder": s, "seed": number, "failed": s or null,
 * "<column>": number}]}]}. Columns are those of pipeline/sweep/results.h; what was not measured is
 * null. sweep.csv has a row for each arm.
 */
#ifndef CTAUG_PIPELINE_SWEEP_OUTPUTS_H
#define CTAUG_PIPELINE_SWEEP_OUTPUTS_H

#include "pipeline/sweep/results.h"

/* Reads the results of all arms and publishes them. If no point has the measure with all its seeds,
 * what is there is published, and the status is that of the first arm, or ST_INPUT. Local. */
status outputs_publish(const stage_context *stage, const sweep_groups *g);

/* Writes sweep.html (pipeline/sweep/page.c). Errors of writing stay in f. Local. */
status outputs_page(FILE *f, const sweep_results *r);

/* The word for a failure of an arm: "diverged", "refused". Local. */
const char *outputs_failure(status failure);

#endif
