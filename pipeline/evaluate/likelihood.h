/* Bits per pixel of held-out real slices under the diffusion model: the variational bound
 * (model/diffusion/bound.h) of slices of test patients, rounded to whole HU within the window,
 * given their own conditions, for every cell of a study.
 *
 * L_T and L_0 are computed for every slice. The times 2..T are divided into groups of equal ratio;
 * of each group and slice one time is drawn, whose term counts as often as the group has times, so
 * that the sum is an unbiased estimate of that over all times. A prediction of x_0 is clamped to
 * [-1, 1], as in sampling. Values are means over patients of the means over their slices.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_LIKELIHOOD_H
#define CTAUG_PIPELINE_EVALUATE_LIKELIHOOD_H

#include "pipeline/evaluate/comparison.h"
#include "pipeline/evaluate/statistics.h"

enum { LIKELIHOOD_GROUPS = 64 }; /* of times, at most */

/* Rows of the estimates; a group k has row LIKELIHOOD_ROWS + k. */
enum {
    LIKELIHOOD_TOTAL,
    LIKELIHOOD_PRIOR,   /* L_T */
    LIKELIHOOD_STEPS,   /* the sum of L_{t-1}, t = 2..T */
    LIKELIHOOD_DECODER, /* L_0 */
    LIKELIHOOD_ROWS
};

typedef struct likelihood {
    int64_t slices, patients, groups;
    int64_t first[LIKELIHOOD_GROUPS + 1]; /* group k has the times first[k]..first[k + 1] - 1 */
    /* Bits per pixel, those of a group per time step. Intervals are NAN with fewer than two
     * patients. */
    estimate bits[LIKELIHOOD_ROWS + LIKELIHOOD_GROUPS];
    double seconds; /* of all cores, in the launch that finished it */
} likelihood;

/* Divides the times 2..steps into at most `groups` of them, first[0..count]; returns count. Local.
 */
int64_t likelihood_groups(int64_t steps, int64_t groups, int64_t first[LIKELIHOOD_GROUPS + 1]);

/* Number of measurements of a study, one a cell: 0 without evaluate.bound_slices. Local. */
int64_t likelihood_count(const study *s);

/* Reads the result of the open cell. ST_INPUT or ST_INTEGRITY if it has to be made (again). Local.
 */
status likelihood_read(const comparison *c, likelihood *out);

/* Measures the open cell and writes its result. ST_STOPPED if a rank was asked to stop: nothing is
 * kept. Collective on the ranks of the cell's stage. */
status likelihood_run(const comparison *c);

/* Adds "likelihood" (pipeline/report/METRICS.md), unless there are no results. Local. */
status likelihood_json(const all_results *all, const likelihood *results, json_t *metrics);

#endif
