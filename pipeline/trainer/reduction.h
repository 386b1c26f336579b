/* The all-reduce of a gradient over the ranks, overlapped with the backward pass that computes it.
 *
 * The flat gradient is divided into buckets (pipeline/trainer/gradient_partition.h), and a bucket
 * into one slice for each rank of a node. When a bucket is finished on all ranks of a node, each of
 * them sums its slice in shared memory. Between nodes, the ranks with the same local rank exchange
 * their slices: each gets and sums one piece of the slice, and unless the optimiser is sharded, the
 * sums are sent back to all. Sums follow the tree of model/sum.h: over the ranks of a node, then
 * over the nodes.
 *
 * All this advances in reduction_ready(), which a plan calls in its backward pass, and with a
 * sharded optimiser also in reduction_updated(), which sends new values. Neither waits for another
 * rank. A rank that has failed must still call reduction_finish(), because the other ranks need its
 * part in the exchange; the sums of such a step are not used.
 *
 * An error of MPI in the middle of a step aborts all ranks with its message: a rank that cannot
 * take part in the exchange any more leaves the other ranks waiting, so that no status could be
 * agreed.
 */
#ifndef CTAUG_PIPELINE_TRAINER_REDUCTION_H
#define CTAUG_PIPELINE_TRAINER_REDUCTION_H

#include "io/comm.h"
#include "model/sum.h"
#include "pipeline/trainer/gradient_partition.h"

typedef struct reduction_settings {
    sharding sharded; /* a rank gets the sums of what it owns only */
    bool bf16;        /* gradients are sent between nodes in bf16 */
    bool ordered;     /* the tree is that over the ranks in order; their number is a power of two */
    int together;     /* max ranks that share memory; 0: all of a node */
} reduction_settings;

typedef struct reduction reduction;

/* Creates a reduction of n floats. c must outlive it. Collective. */
status reduction_create(const comm *c, int64_t n, const reduction_settings *settings,
                        reduction **out);
void reduction_destroy(reduction *r); /* Collective */

bool reduction_is_sharded(const reduction *r);

/* Whether sharing memory within a node failed, so that all ranks exchange messages. Local. */
bool reduction_lacks_shared_memory(const reduction *r);

/* What this rank owns: it sums these floats and, when sharded, also updates them. Local. */
const gradient_partition *reduction_partition(const reduction *r);
int64_t reduction_owner(const reduction *r); /* index among the owners; -1: it owns nothing */
span reduction_owned(const reduction *r, int64_t bucket);

/* Begins a step, in which `gradient` (n floats) is summed in place. `partial` (or NULL): sums of
 * earlier micro-batches, which are added to each bucket before it is summed over the ranks. Both
 * must stay valid until reduction_finish() returns. Local. */
void reduction_begin(reduction *r, float *gradient, const sum_stack *partial);

/* A plan_ready callback: floats [offset, offset + count) of the gradient are final. Every float is
 * reported once in a step. Local. */
status reduction_ready(void *reduction, int64_t offset, int64_t count);

/* Seconds spent in reduction_ready() and reduction_updated() in the current step. Local. */
double reduction_seconds(const reduction *r);

/* Sends the buckets that were not reported as they are, and waits for the sums: of all floats, or
 * when sharded of those that this rank owns. Collective. */
void reduction_finish(reduction *r);

/* When sharded, between steps or after reduction_finish(): what this rank owns in the first
 * `buckets` buckets of `value` (n floats) is final, and is sent to the other ranks without waiting.
 * `buckets` must not decrease until reduction_distribute(). Local. */
void reduction_updated(reduction *r, float *value, int64_t buckets);

/* When sharded: sends the remaining buckets too and waits until `value` is complete. Collective. */
void reduction_distribute(reduction *r, float *value);

#endif
