/* The sum of a gradient over all ranks, while the backward pass that makes it still runs.
 *
 * The flat gradient is cut into buckets (pipeline/trainer/gradient_partition.h). As soon as a
 * bucket is finished on all ranks of a node, each of them adds up its slice of it from memory that
 * they share; between nodes every rank then exchanges its slice with those of its place on the
 * other nodes: each gets and sums one piece, and unless the optimiser is sharded, the sums go out
 * to all. Sums are those of the tree of model/sum.h: over the ranks of a node, then over nodes.
 *
 * All this moves on in reduction_ready(), which a plan calls in its backward pass, and with a
 * sharded optimiser new values likewise in reduction_updated(); nothing there waits for another
 * rank. A rank that has failed still calls reduction_finish(), so that the others find their
 * partners; what they then hold is not used.
 */
#ifndef CTAUG_PIPELINE_TRAINER_REDUCTION_H
#define CTAUG_PIPELINE_TRAINER_REDUCTION_H

#include "io/comm.h"
#include "model/sum.h"
#include "pipeline/trainer/gradient_partition.h"

typedef struct reduction_settings {
    sharding sharded; /* a rank gets the sums of what it owns only */
    bool bf16;        /* gradients are rounded to bf16 for their way between nodes */
    bool ordered; /* the tree is that over the ranks in their order; their number a power of two */
    int together; /* at most so many ranks share memory; 0: all of a node */
} reduction_settings;

typedef struct reduction reduction;

/* For n floats. c must outlive it. Collective. */
status reduction_create(const comm *c, int64_t n, const reduction_settings *settings,
                        reduction **out);
void reduction_destroy(reduction *r); /* Collective */

bool reduction_is_sharded(const reduction *r);

/* Whether ranks of a node should have shared memory and cannot, so that they send messages. */
bool reduction_lacks_shared_memory(const reduction *r);

/* Which floats are this rank's: in both modes it sums them, when sharded it also updates them. */
const gradient_partition *reduction_partition(const reduction *r);
int64_t reduction_owner(const reduction *r); /* its place among the owners; -1: it owns nothing */
span reduction_owned(const reduction *r, int64_t bucket);

/* A step begins, in whose course `gradient` (n floats) is summed in place. `partial` (or NULL):
 * what is still to be added to each bucket before it is finished. Both are the caller's, until
 * reduction_finish() returns. Local. */
void reduction_begin(reduction *r, float *gradient, const sum_stack *partial);

/* A plan_ready: floats [offset, offset + count) are finished, all of them once in a step. Local. */
status reduction_ready(void *reduction, int64_t offset, int64_t count);

/* What reduction_ready() and reduction_updated() took in the present step. Local. */
double reduction_seconds(const reduction *r);

/* Takes what is not finished as it is and waits for the sums: of all floats, or of those owned.
 * Collective. */
void reduction_finish(reduction *r);

/* When sharded, between steps or after reduction_finish(): this rank's values (n floats) of what it
 * owns in the first `buckets` buckets, more each time, are as all are to have them. They set out;
 * nothing waits. Local. */
void reduction_updated(reduction *r, float *value, int64_t buckets);

/* When sharded: takes the rest as updated too and waits until every rank has all values.
 * Collective. */
void reduction_spread(reduction *r, float *value);

#endif
