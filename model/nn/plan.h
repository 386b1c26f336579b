/* A plan: a graph bound to parameters, a batch size and an engine, which runs many times without
 * allocating.
 *
 * Creating it fixes shapes and types, finds the lifetime of every activation and gradient, lays
 * them out in one arena, and creates the primitives of the kernels. Ops on large activations run
 * for a sub-batch at a time, chosen so that its activations fit the caches of the threads. Several
 * plans (training, validation, sampling) may share one params.
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
    tensor_type compute; /* TYPE_F32, or TYPE_BF16 for the activations between convolutions; inputs,
                            outputs and parameters are f32 either way */
    bool recompute;      /* training: keep only values that are read outside their block
                            (graph_block()) and recompute the others before backward: the same bits
                            with less memory and more time */
    const node *outputs; /* nodes read after a run (the loss among them when training) */
    int64_t output_count;
    node loss; /* training: the node that backward starts from, [1,1,1] per sample */
} plan_options;

/* What dropout masks depend on. */
typedef struct plan_keys {
    uint64_t seed;
    int64_t step;           /* of training */
    const uint64_t *sample; /* [batch]: global indices */
} plan_keys;

/* g and p must outlive the plan. Inputs and outputs have memory of their own; other values share
 * memory where their lifetimes allow it. Fails when training through an op without backward.
 * Local. */
status plan_create(const graph *g, params *p, const plan_options *options, plan **out);
void plan_destroy(plan *pl);

/* The tensor of an input (to fill) or of an output (to read), valid as long as the plan. An unknown
 * name is ST_INTERNAL with a message that names it. Local. */
status plan_input(plan *pl, const char *name, tensor *out);
tensor plan_output(plan *pl, node x);

/* Tells the plan that parameter values have changed: the next forward run repacks the weights. They
 * must not change between a forward run and its backward run. Local. */
void plan_params_changed(plan *pl);

/* Runs every op forward. keys may be NULL if the plan applies no dropout. Local. */
status plan_forward(plan *pl, const plan_keys *keys);

/* Called while backward runs: the gradient of floats [offset, offset + count) is finished. Ranges
 * are reported once each and cover all parameters. Calls with a count of 0 come between them, so
 * that the callee can make progress on communication. */
typedef status (*plan_ready)(void *context, int64_t offset, int64_t count);

/* After plan_forward() on a training plan: adds d(sum of loss over the batch)/d(parameters) to
 * params->grad. ready may be NULL. Local. */
status plan_backward(plan *pl, plan_ready ready, void *context);

/* Seconds that one op took in all runs since the plan was created. */
typedef struct plan_seconds {
    double pack, forward, recompute, backward;
    double add; /* adding up the gradients that several ops sent */
} plan_seconds;

/* Bytes of the arena, which holds all activations and gradients. */
int64_t plan_arena_bytes(const plan *pl);

typedef void (*plan_visit_times)(void *context, const char *kind, const char *name,
                                 const plan_seconds *took);
/* Calls visit with the kind, name and seconds of every op. */
void plan_times(const plan *pl, plan_visit_times visit, void *context);

/* Multiply-adds times two of one forward run (convolutions, matrix products, attention). */
int64_t plan_forward_flops(const plan *pl);

#endif
