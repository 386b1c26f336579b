/* What the stages of a study have cost: core seconds of each, kept in <out>/costs.json over stops
 * and resumes, for the report.
 *
 *   {"referee": s, "train": s, ..., "painting diffusion 0123456789abcdef": s, "seal": SHA-256}
 *
 * "painting" with a painter and the fingerprint of a synthetic store is the part of "generate" in
 * which its slices were made.
 * Core seconds are wall-clock seconds times the threads of all ranks of the stage. A stage that is
 * killed adds nothing for the time since it was started.
 */
#ifndef CTAUG_PIPELINE_COMMON_COSTS_H
#define CTAUG_PIPELINE_COMMON_COSTS_H

#include "pipeline/stage.h"

/* Runs the stage and adds its time to the entry `name`, also if it is stopped; a stage that finds
 * its output current (no stage_works()) adds nothing. A damaged file is
 * begun anew with a warning. Collective. */
status costs_run(const stage_context *stage, const char *name,
                 status (*run)(const stage_context *));

enum { COSTS_NAME = 64 };

/* The name of that entry. Local. */
void costs_of_painting(const char *painter, const char *fingerprint, char name[COSTS_NAME]);

/* Adds the seconds of all ranks in which their threads were busy, each its own, to the entry
 * `name`. Collective. */
status costs_add(const stage_context *stage, const char *name, double seconds);

/* Core seconds of the entry `name` in <out> of this stage; 0 if there is none. ST_INTEGRITY if the
 * file is damaged. Local. */
status costs_read(const stage_context *stage, const char *name, double *seconds);

#endif
