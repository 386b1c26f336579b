/* `ctaug sweep`: the same study with several values of its keys, side by side.
 *
 * The archive is read once. Groups of ranks take the arms from a queue
 * (pipeline/common/work_queue.h); with stage->tasks a launch takes its share alone, such as a task
 * of a Slurm array. An arm that cannot be finished, such as one that diverges, is recorded and the
 * others go on. When all arms have ended, <out>/sweep has sweep.html, sweep.json and sweep.csv.
 */
#ifndef CTAUG_PIPELINE_SWEEP_SWEEP_H
#define CTAUG_PIPELINE_SWEEP_SWEEP_H

#include "pipeline/stage.h"

/* Collective. */
status sweep_stage(const stage_context *s);

#endif
