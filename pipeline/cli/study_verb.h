/* The verbs that run a stage of a study: STUDY.yaml [--set key=value ...]. */
#ifndef CTAUG_PIPELINE_CLI_STUDY_VERB_H
#define CTAUG_PIPELINE_CLI_STUDY_VERB_H

#include "pipeline/stage.h"

/* Reads the study, opens its run directory (lock, effective study.yaml, events.jsonl), selects the
 * engine and runs `stage`. ST_USAGE if another process has locked the directory. Collective. */
status study_verb(const comm *c, int argc, char **argv, status (*stage)(const stage_context *),
                  const volatile int *stop_requested);

#endif
