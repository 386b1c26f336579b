/* What an op is, for the files of model/nn alone: the description a builder leaves in the graph,
 * and what a plan hands to the op's functions when it runs.
 *
 * An op is one file op_<name>.c with its builder (the shape rule), open, forward, backward and
 * FLOPs. A gradient that an op sends to an input is overwritten: where several ops use one value
 * the plan gives each its own buffer and adds them up, so no op needs to know. An op whose loop can
 * as well add says so and saves the plan a pass over memory. grad_out may be memory that other
 * values still read (`passes`): backward never writes it.
 */
#ifndef CTAUG_MODEL_NN_OP_H
#define CTAUG_MODEL_NN_OP_H

#include "model/nn/graph.h"
#include "model/nn/kernels.h"
#include "model/nn/params.h"
#include "model/nn/plan.h"

enum { OP_INPUTS = 3, OP_PARAMS = 2 };

typedef struct op_kind op_kind;

/* What distinguishes two ops of one kind; each op uses what it needs. */
typedef struct op_settings {
    int kernel, stride;
    int64_t groups, heads;
    bool silu;
    double probability, scale;
    loss_kind loss;
} op_settings;

typedef struct graph_op {
    const op_kind *kind;
    char name[PARAM_NAME];
    node in[OP_INPUTS]; /* NODE_NONE where an optional input is absent */
    int inputs;
    tensor_type type;
    int64_t shape[3]; /* height, width, channels of one sample */
    op_settings set;
    int32_t first_param, params;
    int32_t block; /* see graph_block() */
} graph_op;

struct graph {
    graph_op *ops;
    int32_t count, room;
    param *params;
    int32_t param_count, param_room;
    int64_t total; /* floats of all parameters */
    int32_t block; /* of the next op */
    status fault;
    char message[256];
};

/* One op of a plan while it runs. */
typedef struct op_run {
    const graph_op *op;
    const kernels *engine;
    int64_t batch;
    bool training;
    int32_t index;         /* of the op in the graph */
    const plan_keys *keys; /* of the present run; may be NULL */
    tensor in[OP_INPUTS], out;
    /* Gradients have the type of their value. */
    void *grad_in[OP_INPUTS];  /* NULL where no gradient is wanted */
    bool grad_adds[OP_INPUTS]; /* grad_in is added to; only where the kind can */
    const void *grad_out;
    const float *param[OP_PARAMS];
    float *grad_param[OP_PARAMS]; /* added to */
    void *state;                  /* made by open, freed by close */
    void *saved;                  /* saved_bytes: kept from forward to backward */
    int64_t saved_bytes;
    void *scratch; /* scratch_bytes: shared by all ops of a plan, holds nothing between calls */
    int64_t scratch_bytes;
    void *packed; /* packed_bytes, the op's own: parameters as its kernel likes them */
    int64_t packed_bytes;
} op_run;

/* Which values backward reads, beyond grad_out: bits of the inputs, and of the output. */
enum { READS_IN0 = 1, READS_IN1 = 2, READS_IN2 = 4, READS_OUT = 8 };

struct op_kind {
    const char *name;
    unsigned backward_reads;
    /* Types. lowers: in a plan that computes in bf16 the output may be bf16. Bits of the inputs
     * that have the output's type, and of those that may have either; all others stay f32 (or u8).
     */
    bool lowers;
    unsigned typed, any_type;
    /* Only moves numbers about: quicker to do again for the backward pass than it is worth memory.
     */
    bool copies;
    /* Gradients: bits of the inputs whose gradient is grad_out itself, so that nothing is computed
     * and memory may be shared; and of those whose gradient backward can add in place. */
    unsigned passes, adds;
    /* Creates state and sets saved_bytes, scratch_bytes and packed_bytes; shapes are known,
     * pointers are not. NULL: nothing to do.
     */
    status (*open)(op_run *r);
    void (*close)(op_run *r);
    status (*pack)(op_run *r);         /* parameter values changed */
    status (*forward)(op_run *r);      /* NULL: an input */
    status (*backward)(op_run *r);     /* NULL: no gradient passes, but for `passes` */
    int64_t (*flops)(const op_run *r); /* forward, multiply-adds times two; NULL: a pass over
                                          memory, not counted, as is the custom */
    /* Whether, in this plan, the op only passes its first input on (it then shares its memory). */
    bool (*is_identity)(const graph_op *op, bool training);
};

/* For builders. A fault is kept (the first one) and NODE_NONE returned. */
node graph_fault(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The op behind a node of type f32, or NULL (with a fault) if there is none. */
const graph_op *graph_value(graph *g, node x, const char *reader);
/* Appends; the op's parameters must have been added just before. */
node graph_append(graph *g, graph_op *op);
/* A parameter <op->name>.<suffix>. */
void graph_param(graph *g, graph_op *op, const char *suffix, int rank, const int64_t *shape,
                 param_init init, int64_t fan_in, bool decay);
/* Copies a layer's name into the op. */
void graph_name(graph *g, graph_op *op, const char *name);

#endif
