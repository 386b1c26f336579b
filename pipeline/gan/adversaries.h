/* The training of a GAN: two trainers that take turns, and what their steps have in common.
 *
 * A step draws the slices step * batch .. of the training set. The discriminator sees each of them
 * and a generated slice for its conditions; sample 2k of its batch of 2 * batch is real, 2k + 1 is
 * generated. Then the generator makes a step for the same conditions with other noise, against the
 * new discriminator. Noise depends on (seed, index of the slice, network) alone.
 *
 * The generator's trainer has the graph of both networks. Before its step the discriminator's
 * weights, divided by their spectral norms, are copied to the frozen parameters there.
 */
#ifndef CTAUG_PIPELINE_GAN_ADVERSARIES_H
#define CTAUG_PIPELINE_GAN_ADVERSARIES_H

#include "model/net/gan.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/trainer/trainer.h"

typedef struct adversaries adversaries;

typedef struct adversaries_report {
    double generator, discriminator; /* losses: minus the mean score + gan.l1 * L1; mean hinge */
    bool skipped;   /* a loss or gradient was not finite: that update was left out */
    bool stop;      /* a rank requested a stop */
    double seconds; /* of the step, on this rank */
} adversaries_report;

/* Steps of a training that takes as many floating-point operations as the diffusion training of the
 * study. A backward pass counts as two forward passes, of which one is the gradient of the
 * parameters; of the frozen discriminator there is none. *generator, *discriminator: operations of
 * a forward pass of one slice. Local. */
status adversaries_equal_steps(const stage_context *stage, const label_set *labels, int64_t *steps,
                               int64_t *generator, int64_t *discriminator);

/* train must outlive *out. steps: of the whole training. Collective. */
status adversaries_open(const stage_context *stage, const label_set *labels, slices *train,
                        int64_t steps, adversaries **out);
void adversaries_close(adversaries *a); /* Collective */

/* One step of the discriminator, then one of the generator. Collective. */
status adversaries_step(adversaries *a, bool stop_requested, adversaries_report *report);

int64_t adversaries_step_count(const adversaries *a);
int64_t adversaries_parameters(const adversaries *a, bool generator); /* their number */

/* The EMA of the generator's parameters, in the order of gan_describe_generator(). Collective. */
const float *adversaries_ema(adversaries *a);

/* Writes a checkpoint of each network. Collective. */
status adversaries_save(adversaries *a, const char *generator, const char *discriminator,
                        const char *fingerprint);

/* Restores the newest step of which there are good checkpoints of both networks, if there is one.
 * Collective. */
status adversaries_restore(adversaries *a, const char *generator, const char *discriminator,
                           const char *fingerprint);

/* ST_INTERNAL unless all ranks have the same parameters. Collective. */
status adversaries_check_equal(const adversaries *a);

#endif
