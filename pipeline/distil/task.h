/* What a kind of distillation trains, for the stage (pipeline/distil/distil.c), which does the
 * rest: checkpoints, loss curve, previews, stop. A kind is a row of the table in task.c. */
#ifndef CTAUG_PIPELINE_DISTIL_TASK_H
#define CTAUG_PIPELINE_DISTIL_TASK_H

#include "pipeline/common/training_data.h"
#include "pipeline/trainer/trainer.h"

/* What the stage gives to a kind; it outlives the task. */
typedef struct distil_inputs {
    const stage_context *stage;
    const training_data *data;
    char teacher[PATH_SIZE];       /* folder of the checkpoints of the trained denoiser */
    int64_t teacher_step;          /* of its last one */
    char teacher_seal[SHA256_HEX]; /* of that one */
    double sigma_data;             /* of the training, for process edm; 0: another process */
} distil_inputs;

typedef struct distil_task {
    void *self;
    const graph *graph; /* the denoiser's network, and the loss */
    node loss;
    node read; /* read by feed.target(); NODE_NONE: nothing */
    trainer_feed feed;
    /* Before the first step of a run that has steps to make, and after the last one (called again
     * when nothing is left to do), with the EMA; NULL: nothing. Collective. */
    status (*prepare)(void *self);
    status (*finish)(void *self, const char *folder, const char *fingerprint, const float *ema);
    /* The validation loss of the parameters `ema`, comparable over the steps. Collective. */
    status (*validate)(void *self, const float *ema, double *loss);
    void (*close)(void *self);
} distil_task;

/* Opens the task of study.distil.kind, which is not `off`. Local. */
status distil_task_open(const distil_inputs *in, distil_task *out);

/* Also for one that was not opened. Local. */
void distil_task_close(distil_task *t);

/* pipeline/distil/consistency_task.c: consistency tuning, and distillation. */
status consistency_task_open(const distil_inputs *in, distil_task *out);

/* pipeline/distil/reflow_task.c: reflow. */
status reflow_task_open(const distil_inputs *in, distil_task *out);

#endif
