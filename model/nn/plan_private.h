/* The members of a plan, for plan.c (creation and execution), plan_layout.c (types, order of steps,
 * lifetimes) and plan_sub_batches.c (which steps run for a sub-batch at a time). */
#ifndef CTAUG_MODEL_NN_PLAN_PRIVATE_H
#define CTAUG_MODEL_NN_PLAN_PRIVATE_H

#include "model/nn/arena.h"
#include "model/nn/int_math.h"
#include "model/nn/op.h"

/* Blocks of the arena are referred to by index. */
enum { NO_BLOCK = -1 };

/* What the plan knows about a block beside its arena_block. */
typedef struct plan_block {
    int64_t memory_of; /* the block whose memory it uses: itself, or the block it replaces */
    bool sub_batch;    /* holds one sub-batch instead of the whole batch */
} plan_block;

/* An op runs forward once, in some plans a second time (RECOMPUTE) before the backward steps of its
 * graph block, and then backward. */
typedef enum phase { FORWARD, RECOMPUTE, BACKWARD } phase;

typedef struct plan_step {
    node op;
    phase phase;
} plan_step;

/* Addition of gradients after a backward step: to = a + b. */
typedef struct plan_sum {
    int64_t to, a, b; /* blocks; to is NO_BLOCK where there is nothing to add */
} plan_sum;

/* A segment: consecutive steps that run for one sub-batch of the batch after another
 * (plan_sub_batches.c). Every step is in exactly one segment. */
typedef struct plan_segment {
    int32_t first, last;
    int64_t sub_batch; /* samples */
} plan_segment;

/* Indices of value[] and saved[]: the copy that FORWARD writes, and the one that BACKWARD reads.
 * Both are the same block unless the op is recomputed. */
enum { COPY_FORWARD, COPY_BACKWARD, COPIES };

typedef struct plan_op {
    op_run run;        /* arguments in FORWARD */
    op_run back;       /* arguments in RECOMPUTE and BACKWARD */
    int64_t sub_batch; /* samples per call; run and back have this batch size */
    node root;         /* op whose memory holds the value: itself, or the input of an identity */
    bool needs_grad;   /* the op or one that it depends on has parameters */
    bool needed;       /* an output depends on it */
    bool reached;      /* the gradient of the loss arrives here */
    bool kept; /* never recomputed: an output of the plan, or read outside its graph block */
    bool recomputed;
    int32_t step[3]; /* of each phase; -1: none */
    int64_t value[COPIES], saved[COPIES];
    int64_t grad;
    int64_t sent[OP_INPUTS]; /* blocks that its backward writes, one per input */
    plan_sum sum[OP_INPUTS];
    bool opened;
    plan_seconds took;
} plan_op;

struct plan {
    const graph *graph;
    params *params;
    plan_op *ops;
    int32_t count;
    int64_t batch;
    bool training;
    node loss;
    bool params_changed;
    plan_step *steps;
    int32_t step_count, first_back; /* FORWARD steps come before first_back */
    plan_segment *segments;
    int32_t segment_count;
    bool has_keys;
    plan_keys keys[2]; /* of the run, and of the current sub-batch */
    arena_block *blocks;
    plan_block *block_info; /* by the same index */
    int64_t block_count;
    char *arena;
    int64_t arena_bytes;
    void *scratch; /* of the op that needs most */
    char *packed;  /* of all ops */
};

/* Bytes that an op saves of one sub-batch, rounded up to whole cache lines. */
static inline int64_t plan_saved_bytes(const plan_op *p) {
    return round_up_to_cache_line(p->run.saved_bytes);
}

/* Whether the op returns its first input unchanged and shares its memory. */
static inline bool plan_is_identity(const plan *pl, node i) {
    const graph_op *op = &pl->graph->ops[i];
    return op->kind->is_identity && op->kind->is_identity(op, pl->training);
}

/* Whether the op runs forward in this plan. Inputs of the graph do not, but always have memory, so
 * that callers may fill inputs that a plan does not read. */
static inline bool plan_runs_forward(const plan *pl, node i) {
    return pl->ops[i].needed && pl->ops[i].root == i && pl->ops[i].run.op->kind->forward;
}

static inline bool plan_runs_backward(const plan *pl, node i) {
    return pl->training && pl->ops[i].reached && pl->ops[i].needs_grad && !plan_is_identity(pl, i);
}

/* Sets the type of every value: run.out.type and run.in[].type. */
status plan_choose_types(plan *pl, const plan_options *options);

/* Sets plan_op.sub_batch, and the batch sizes in plan_op.run, from the types. */
void plan_choose_sub_batches(plan *pl);

/* Makes pl->segments from the order of steps. */
status plan_find_segments(plan *pl);

/* Adapts the sizes and lifetimes of blocks, made for the whole batch, to the segments. */
void plan_fit_blocks_to_segments(plan *pl);

/* Makes pl->steps, and pl->blocks with their lifetimes and offsets. Ops must be open. */
status plan_lay_out(plan *pl, const plan_options *options);

#endif
