/* The steps of a training, with checkpoints and resumption, loss curve, events, progress,
 * validation loss, previews and stop requests. The stages `train`, `distil`, `autoencode` and
 * `text` share it. */
#ifndef CTAUG_PIPELINE_COMMON_TRAINING_RUN_H
#define CTAUG_PIPELINE_COMMON_TRAINING_RUN_H

#include "pipeline/common/history.h"
#include "pipeline/stage.h"
#include "pipeline/trainer/trainer.h"

typedef struct training_run {
    /* Set by the stage. */
    const stage_context *stage;
    const char *name;   /* of the stage: begins its messages, and is the event of its losses */
    const char *prefix; /* of its other events: "" or "<name> " */
    trainer *trainer;
    int64_t batch; /* samples of a step */
    int64_t
        steps; /* of the whole training; how often there is a checkpoint etc. says study.train */
    char checkpoints[PATH_SIZE]; /* folder; history.json is in it, too */
    char fingerprint[SHA256_HEX];
    /* Called with `context`. begin() before each step, with the EMA, and learn() after a step that
     * was not skipped may be NULL. Local. */
    void *context;
    void (*begin)(void *context, const float *ema);
    void (*learn)(void *context);
    /* A second network beside the trainer's: its part of a step comes before the trainer's, and its
     * part of a checkpoint, too. May be NULL. Collective. */
    status (*before)(void *context);
    status (*save)(void *context);
    /* The validation loss of the EMA. Collective. */
    status (*validate)(void *context, const float *ema, double *loss);
    /* Writes previews of the EMA; may be NULL. Collective. */
    status (*preview)(void *context, const float *ema, const history *h);
    /* Sums over the steps since the last event of losses, and where this process began. */
    history history;
    double loss_sum;
    int64_t loss_count;     /* steps in loss_sum: those that were not skipped */
    trainer_report seconds; /* only its times are used */
    int64_t step_count;
    double start_seconds;
    int64_t start_step;
} training_run;

/* What study.train says for every training of these stages; the steps, the optimiser, the EMA and
 * what the network reads are the stage's. Local. */
trainer_settings training_run_settings(const stage_context *stage);

/* Restores the checkpoint that trainer_find() has found (step -1: none) and the loss curve up to
 * it. The caller calls training_run_free(), also after a failure. Collective. */
status training_run_restore(training_run *r, const checkpoint_choice *found);
void training_run_free(training_run *r);

/* Makes the remaining steps. ST_STOPPED after a checkpoint if a rank was asked to stop. Collective.
 */
status training_run_steps(training_run *r, const trainer_feed *feed);

#endif
