/* A plan: a description bound to parameters, a batch size and an engine, ready to run many times
 * without allocating.
 *
 * Making it fixes shapes, finds when each activation and gradient is alive, lays them out in one
 * arena, and creates the kernels' primitives. Large maps are gone through a few samples at a time,
 * as many as the threads there are have room for in their caches. Several plans (training,
 * validation, sampling) may share one params.
 */
#ifndef CTAUG_MODEL_NN_PLAN_H
#define CTAUG_MODEL_NN_PLAN_H

#include "model/nn/graph.h"
#include "model/nn/kernels.h"
#include "model/nn/params.h"

typedef struct plan plan;

typedef struct plan_options {
    const kernels *engine;
    int64_t batch;
    bool training;       /* keep what backward needs, apply dropout */
    tensor_type compute; /* TYPE_F32, or TYPE_BF16 for the maps between convolutions; inputs,
                            outputs and parameters are f32 either way */
    bool recompute; /* training: keep only what leaves a block (graph_block()), compute the rest
                            again on the way back; the same bits for less memory */
    const node *outputs; /* nodes read after a run (the loss among them when training) */
    int64_t output_count;
    node loss; /* training: the node backward starts from, [1,1,1] a sample */
} plan_options;

/* What dropout masks follow from: the training step and each sample's global index. */
typedef struct plan_keys {
    uint64_t seed;
    int64_t step;
    const uint64_t *sample; /* batch */
} plan_keys;

/* g and p must outlive the plan. Outputs and inputs keep their memory to themselves; all else is
 * shared by lifetime. An op without a backward fails here when training. Local. */
status plan_create(const graph *g, params *p, const plan_options *options, plan **out);
void plan_destroy(plan *pl);

/* The tensor of an input (to fill) or of an output (to read), valid as long as the plan. Inputs are
 * found by name: plan_input() is ST_INTERNAL naming an unknown one. Local. */
status plan_input(plan *pl, const char *name, tensor *out);
tensor plan_output(plan *pl, node x);

/* Tells the plan that parameter values changed: weights are packed anew at the next run. They must
 * not change between a forward run and its backward run. Local. */
void plan_params_changed(plan *pl);

/* Runs every op. keys may be NULL when nothing drops out. Local. */
status plan_forward(plan *pl, const plan_keys *keys);

/* Called while backward still runs: the gradient of floats [offset, offset + count) is finished.
 * Ranges come once each and cover all parameters; between them come calls with a count of 0, for
 * what has to be done now and then. */
typedef status (*plan_ready)(void *context, int64_t offset, int64_t count);

/* After plan_forward() on a training plan: adds d(sum of loss over the batch)/d(parameters) to
 * params->grad. ready may be NULL. Local. */
status plan_backward(plan *pl, plan_ready ready, void *context);

/* Where the time went: seconds of one op over all runs since the plan was made. */
typedef struct plan_seconds {
    double pack, forward, again, backward;
    double add; /* joining gradients of several senders */
} plan_seconds;

/* Bytes of all activations and gradients together. */
int64_t plan_arena_bytes(const plan *pl);

typedef void (*plan_visit_times)(void *context, const char *kind, const char *name,
                                 const plan_seconds *took);
void plan_times(const plan *pl, plan_visit_times visit, void *context);

/* Multiply-adds times two of one forward run (convolutions, products, attention). */
int64_t plan_forward_flops(const plan *pl);

#endif
