/* What an op is, for the files of model/nn alone: the description that a builder leaves in the
 * graph, and what a plan hands to the op's functions when it runs.
 *
 * Every op has one file ops/op_<name>.c with its builder (which checks shapes) and its functions
 * open, forward, backward and flops. Backward overwrites the gradients of the inputs. Where several
 * ops read one value, the plan gives each of them a gradient buffer of its own and adds the buffers
 * up, so that no op needs to know of the other readers. An op that can add to a gradient in place
 * says so (adds_gradient), which saves a pass over memory. grad_out may be memory that other values
 * still read (passes_gradient), so backward must not write to it.
 */
#ifndef CTAUG_MODEL_NN_OP_H
#define CTAUG_MODEL_NN_OP_H

#include "model/nn/graph.h"
#include "model/nn/kernels.h"
#include "model/nn/params.h"
#include "model/nn/plan.h"

enum { OP_INPUTS = 3, OP_PARAMS = 3 };

typedef struct op_kind op_kind;

/* What distinguishes two ops of one kind; each kind uses the members it needs. */
typedef struct op_settings {
    int kernel, stride;
    int64_t groups, heads, rows;
    int levels;
    bool silu, given;
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
    bool frozen;   /* the next parameters */
    bool given;    /* the statistics of the next norms */
    status fault;
    char message[256];
};

/* The arguments of an op's functions: one op of a plan with its memory. Gradients have the type of
 * their value. open sets the sizes saved_bytes, scratch_bytes and packed_bytes. */
typedef struct op_run {
    const graph_op *op;
    const kernels *engine;
    int64_t batch;
    bool training;
    int32_t index;         /* of the op in the graph */
    const plan_keys *keys; /* of the current run; may be NULL */
    tensor in[OP_INPUTS], out;
    void *grad_in[OP_INPUTS];  /* NULL where no gradient is wanted */
    bool grad_adds[OP_INPUTS]; /* add to grad_in (only set where the kind has adds_gradient) */
    const void *grad_out;
    const float *param[OP_PARAMS];
    float *grad_param[OP_PARAMS]; /* added to; NULL: frozen */
    void *state;                  /* created by open, freed by close */
    void *saved;                  /* written by forward, read by backward */
    int64_t saved_bytes;
    void *scratch; /* shared by all ops of a plan; its content is lost between calls */
    int64_t scratch_bytes;
    void *packed; /* the op's own: parameters in the layout of the kernel */
    int64_t packed_bytes;
} op_run;

/* Bits of sets of an op's inputs and output. */
enum { BIT_IN0 = 1, BIT_IN1 = 2, BIT_IN2 = 4, BIT_OUT = 8 };

struct op_kind {
    const char *name;

    /* Values that backward reads besides grad_out. */
    unsigned backward_reads;

    /* In a plan that computes in bf16 the output may be bf16. */
    bool may_be_bf16;

    /* Inputs that have the type of the output, and inputs that may have either type. All other
     * inputs are f32 (or u8). */
    unsigned same_type, any_type;

    /* Forward only copies values. Inside a block (graph_block()) a training plan then recomputes
     * the output before backward, which costs less than keeping it in memory. */
    bool only_copies;

    /* Inputs whose gradient is grad_out itself: nothing is computed, and the two gradients may
     * share memory. */
    unsigned passes_gradient;

    /* Inputs whose gradient backward can add in place. */
    unsigned adds_gradient;

    /* Creates state and sets saved_bytes, scratch_bytes and packed_bytes. Shapes are set at this
     * time, pointers are not. NULL: the op needs none of these. */
    status (*open)(op_run *r);
    void (*close)(op_run *r);

    /* Called before forward when parameter values have changed. */
    status (*pack)(op_run *r);

    /* NULL: an input of the graph. */
    status (*forward)(op_run *r);

    /* NULL: the op sends no gradient, except through passes_gradient. */
    status (*backward)(op_run *r);

    /* Multiply-adds of forward times two. NULL: a pass over memory, which by convention is not
     * counted. */
    int64_t (*flops)(const op_run *r);

    /* Whether the op returns its first input unchanged in such a plan; the two then share
     * memory. */
    bool (*is_identity)(const graph_op *op, bool training);
};

/* The rest is for builders. */

/* Keeps the first fault of a graph; returns NODE_NONE. */
node graph_fault(graph *g, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The op behind a node of type f32; NULL, with a fault, if there is no such node. */
const graph_op *graph_value(graph *g, node x, const char *reader);

/* Appends an op. The op's parameters must have been added just before. */
node graph_append(graph *g, graph_op *op);

/* Adds a parameter <op->name>.<suffix>. */
void graph_param(graph *g, graph_op *op, const char *suffix, int rank, const int64_t *shape,
                 param_init init, int64_t fan_in, bool decay);

/* Copies a layer's name into the op. */
void graph_name(graph *g, graph_op *op, const char *name);

#endif
