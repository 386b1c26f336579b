/* A stage: reads what is published, writes to a temporary place, publishes at the end, can be run
 * again. Stages never call each other; pipeline/stages.c is the list of their order. */
#ifndef CTAUG_PIPELINE_STAGE_H
#define CTAUG_PIPELINE_STAGE_H

#include "io/comm.h"
#include "io/file.h"
#include "io/log.h"
#include "io/store.h"
#include "pipeline/study/study.h"
#include "model/nn/kernels.h"

/* Kept in manifests and reports. */
#define CTAUG_VERSION "0.1.0"

typedef struct stage_context {
    const comm *comm;
    const study *study;
    journal *log;
    const kernels *engine;
    tensor_type precision; /* train.precision resolved: what the denoiser computes in */
    bool chained;          /* other stages follow by themselves: no need to name the next command */
    /* Set by the signal handler of main (SIGTERM, SIGINT, SIGUSR1): finish the unit of work, keep
     * it, return ST_STOPPED on all ranks. Read it through stage_should_stop(). */
    const volatile int *stop_requested;
} stage_context;

/* Whether any rank was asked to stop. Collective. */
status stage_should_stop(const stage_context *s, bool *stop);

/* Whether `directory` holds a published thing of this kind and fingerprint, as rank 0 sees it:
 * another node may see a shared directory a moment later. Collective. */
status stage_is_current(const stage_context *s, const char *directory, const char *kind,
                        const char *fingerprint, bool *current);

/* Names the next command, `ctaug <verb> <out>/study.yaml`, as a stage does when it ends on its own.
 * Local. */
void stage_log_next(const stage_context *s, const char *verb);

/* Run directory places: <out>/<name>. Local. */
status stage_path(const stage_context *s, const char *name, char out[PATH_SIZE]);

/* All stages: Collective; messages agreed; a stage that finds its output current says so and
 * returns. */
status ingest_stage(const stage_context *s);
status train_stage(const stage_context *s);
status generate_stage(const stage_context *s);
status evaluate_stage(const stage_context *s);
status report_stage(const stage_context *s);

/* All of them in order; ends with the first failure (pipeline/stages.c). */
status run_stages(const stage_context *s);

#endif
