/* The parallel efficiency of training: a step of all ranks together compared with steps of each
 * rank alone. */
#ifndef CTAUG_PIPELINE_CLI_SCALING_H
#define CTAUG_PIPELINE_CLI_SCALING_H

#include "pipeline/trainer/trainer.h"

/* Rates in images/s: the median of the rounds, and the best round. */
typedef struct scaling {
    double together, together_best; /* a step of all ranks */
    double alone, alone_best;       /* each rank on its share while the others sleep; the sum */
    double efficiency;              /* together / alone of a round; median of the rounds */
    double efficiency_best;         /* together_best / alone_best: without disturbed rounds */
    double apart;                   /* all ranks at once on their shares, without all-reduce */
    double machine;                 /* apart / alone of a round; median of the rounds: the loss that
                                       the shared machine causes, without communication */
} scaling;

/* Each round times a step of all ranks, a step of each rank for itself at the same time, and a step
 * of each rank alone. Within a round a machine whose speed drifts is compared with itself. A core
 * that another process slows down delays all ranks of a common step, but only one rank that is
 * alone; the medians include this effect. With a sharded optimiser `together` may exceed `apart`,
 * because each rank then updates only its part of the parameters. set->batch must be a multiple of
 * the number of ranks. *out is the same on every rank. Collective. */
status scaling_measure(const comm *c, const trainer_settings *set, const graph *g, node loss,
                       const kernels *engine, const trainer_feed *feed, scaling *out);

#endif
