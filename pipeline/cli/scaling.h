/* What ranks gain from being several: a training step of all beside those of each by
 * itself. */
#ifndef CTAUG_PIPELINE_CLI_SCALING_H
#define CTAUG_PIPELINE_CLI_SCALING_H

#include "pipeline/trainer/trainer.h"

/* Images a second, the median of the rounds and the best. */
typedef struct scaling {
    double together, together_best; /* of a step of all ranks */
    double alone, alone_best;       /* of each rank on its share while the others sleep, added up */
    double efficiency;              /* together / alone within a round: the median of the rounds */
    double efficiency_best;         /* of the best of both: without what slowed the machine down */
    double apart;                   /* of each rank on its share, all at once, but not summing */
    double machine;                 /* apart / alone, likewise: what is lost without any sum */
} scaling;

/* With a sharded optimiser a step of all ranks also saves each part of its update, so that it may
 * be faster than `apart`. Each round times a step of all ranks, one of each for itself at once, and
 * one of each alone, so that a machine whose speed drifts, or whose cores differ, is compared with
 * itself. A core that something else slows down for a while holds up both ranks of a step, but only
 * one that is alone: the median has that in it. set->batch must be a multiple of the ranks. The
 * same on every rank. Collective. */
status scaling_measure(const comm *c, const trainer_settings *set, const graph *g, node loss,
                       const kernels *engine, const trainer_feed *feed, scaling *out);

#endif
