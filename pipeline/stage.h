/* What a stage is, and the context that every stage gets.
 *
 * A stage reads published inputs, writes to a temporary directory, publishes it at the end, and can
 * be run again. Stages never call each other; pipeline/stages.c lists their order. */
#ifndef CTAUG_PIPELINE_STAGE_H
#define CTAUG_PIPELINE_STAGE_H

#include "io/comm.h"
#include "io/file.h"
#include "io/log.h"
#include "io/store.h"
#include "pipeline/study/study.h"
#include "model/nn/kernels.h"

/* Recorded in manifests and reports. */
#define CTAUG_VERSION "0.1.0"

typedef struct stage_context {
    const comm *comm;
    const study *study;
    journal *log;
    const kernels *engine;
    /* The run directory whose store and autoencoder are read: that of the whole study for one of
     * its labelled sets (pipeline/cells/cells.h); NULL: the study's own. */
    const char *archive;
    tensor_type precision; /* compute type of the denoiser: train.precision, with auto resolved */
    int64_t task, tasks;   /* this launch handles the labelled sets task, task + tasks, ... alone;
                              tasks   0: all of them (pipeline/cells/cells.h) */
    bool rehash;           /* ingest hashes every file of the archive again */
    bool check;            /* ingest scans the archive and stores nothing */
    bool strict;           /* ingest stores nothing if anything is at fault */
    bool chained;          /* part of `ctaug run`: the next command need not be named */
    bool *worked;          /* set by stage_works(), for pipeline/common/costs.h; may be NULL */
    /* Set by the signal thread of pipeline/cli/main.c (SIGTERM, SIGINT, SIGUSR1): the stage
     * finishes its unit of work, saves it and returns ST_STOPPED on all ranks. Read it through
     * stage_should_stop(). */
    const volatile int *stop_requested;
} stage_context;

/* Says that the stage has found something to make. Local. */
void stage_works(const stage_context *s);

/* Sets *stop if any rank was asked to stop. Collective. */
status stage_should_stop(const stage_context *s, bool *stop);

/* Whether `directory` holds a published output of this kind and fingerprint whose files have the
 * hashes of its manifest; the ranks share the hashing. What is damaged is reported as a warning:
 * the stage then makes it again. ST_INTEGRITY if the output was written by a newer version of
 * ctaug. Rank 0 reads the manifest, because other nodes may see a change of a shared directory
 * later. Collective. */
status stage_is_current(const stage_context *s, const char *directory, const char *kind,
                        const char *fingerprint, bool *current);

/* ST_USAGE, naming the stage, if model.space is latent: for stages that know pixels alone. Local.
 */
status stage_needs_pixels(const stage_context *s, const char *name);

/* Logs the next command, `ctaug <verb> <out>/study.yaml`, unless the stage is part of `ctaug run`.
 * Local. */
void stage_log_next(const stage_context *s, const char *verb);

/* The same for the first stage that the study has of referee (unless that is done), text and train.
 * Local. */
void stage_log_training(const stage_context *s, bool referee);

/* The path <out>/<name> in the run directory; "store" and "autoencoder" are those of the archive.
 * Local. */
status stage_path(const stage_context *s, const char *name, char out[PATH_SIZE]);

/* The stages. Each agrees on failures (comm_agree()), and logs and returns if its output is
 * current. Collective. */
status ingest_stage(const stage_context *s);
status autoencode_stage(const stage_context *s);
status referee_stage(const stage_context *s);
status text_stage(const stage_context *s);
status train_stage(const stage_context *s);
status distil_stage(const stage_context *s);
status gan_stage(const stage_context *s);
status generate_stage(const stage_context *s);
status evaluate_stage(const stage_context *s);
status gate_stage(const stage_context *s);
status report_stage(const stage_context *s);

/* Makes the damaged shards of the store again, with the bytes that its manifest vouches for.
 * ST_INPUT if archive or study have changed since. Collective. */
status repair_stage(const stage_context *s);

/* These stages for each labelled set of the study (pipeline/stages.c). Collective. */
status referee_sets_stage(const stage_context *s);
status text_sets_stage(const stage_context *s);
status train_sets_stage(const stage_context *s);
status distil_sets_stage(const stage_context *s);
status gan_sets_stage(const stage_context *s);
status generate_sets_stage(const stage_context *s);

/* autoencode_stage(), once for all labelled sets, which have the same training slices if labels do
 * not count; with its costs (pipeline/stages.c). Collective. */
status autoencode_whole_stage(const stage_context *s);

/* gate_stage() for the first labelled set (pipeline/stages.c). Collective. */
status gate_first_stage(const stage_context *s);

/* All stages in order, up to the first failure (pipeline/stages.c). ST_INTEGRITY at the end if the
 * gate blocks the synthetic data. Collective. */
status run_stages(const stage_context *s);

#endif
