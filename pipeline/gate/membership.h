/* Membership inference: can it be told from the denoising loss whether the model was trained on a
 * slice (Carlini et al. 2023, "Extracting training data from diffusion models", section 5)?
 *
 * The loss of the EMA parameters is measured at fixed time steps with fixed noise, the same for all
 * slices, and divided by its mean over all of them, so that each time step counts alike. The score
 * of a slice is minus its mean loss, that of a patient the mean over his slices.
 */
#ifndef CTAUG_PIPELINE_GATE_MEMBERSHIP_H
#define CTAUG_PIPELINE_GATE_MEMBERSHIP_H

#include "pipeline/common/denoiser.h"
#include "pipeline/gate/sets.h"

typedef struct membership {
    int64_t members, others;        /* patients measured: training, held-out */
    int64_t member_n, other_n;      /* slices */
    double member_loss, other_loss; /* means over slices, in units of the mean over both */
    double auc, low, high;       /* of patients, with the 95 % bootstrap interval over patients */
    double tpr;                  /* share of training patients found at 1 % of false alarms */
    double slice_auc, slice_tpr; /* the same of slices */
} membership;

/* At which rate of false alarms `tpr` is given. */
#define MEMBERSHIP_FALSE_ALARMS 0.01

/* Batches of slices for the progress line. Local. */
int64_t membership_batches(const gate_sets *g);

/* Measures with the denoiser of `batch` slices. `base`: what the progress line shows already.
 * ST_STOPPED if a rank was asked to stop: nothing is kept. Valid on rank 0. Collective. */
status membership_measure(const stage_context *stage, const gate_sets *g, denoiser *d,
                          int64_t batch, int64_t base, membership *out);

#endif
