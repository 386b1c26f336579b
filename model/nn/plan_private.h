/* What a plan holds, for plan.c (making and running), plan_layout.c (types, order of work,
 * lifetimes) and plan_sub_batches.c (what is done for a few samples at a time). */
#ifndef CTAUG_MODEL_NN_PLAN_PRIVATE_H
#define CTAUG_MODEL_NN_PLAN_PRIVATE_H

#include "model/nn/arena.h"
#include "model/nn/int_math.h"
#include "model/nn/op.h"

/* Blocks of the arena are named by their index; NO_BLOCK: none. */
enum { NO_BLOCK = -1 };

/* What the arena does not know of a block. */
typedef struct plan_block {
    int64_t place;  /* the block whose memory it is in: its own, or that of one it succeeds */
    bool sub_batch; /* of a sub-batch of the batch only */
} plan_block;

/* An op runs forward once, perhaps again before its block's backward, and then backward. */
typedef enum phase { FORWARD, AGAIN, BACKWARD } phase;

typedef struct plan_step {
    node op;
    phase phase;
} plan_step;

/* Gradients to be joined after a backward: to = a + b. */
typedef struct plan_sum {
    int64_t to, a, b; /* blocks; to is NO_BLOCK where there is nothing to add */
} plan_sum;

/* Steps that run for one sub-batch of the batch after another (plan_sub_batches.c); all steps are
 * in one. */
typedef struct plan_segment {
    int32_t first, last;
    int64_t sub_batch; /* samples */
} plan_segment;

typedef struct plan_op {
    op_run run;        /* as FORWARD sees the world */
    op_run back;       /* as AGAIN and BACKWARD see it */
    int64_t sub_batch; /* samples that a call has; run and back see so many */
    node root;         /* whose memory holds the value: itself, or what an identity passes on */
    bool needs_grad;   /* parameters are at it or below it */
    bool needed;       /* an output depends on it */
    bool reached;      /* backward from the loss arrives here */
    bool kept;         /* an output of the plan, or read outside its block: never computed again */
    bool again;        /* computed again */
    int32_t at[3];     /* step of each phase; -1: none */
    int64_t value[2], saved[2]; /* blocks: of FORWARD, and of AGAIN and BACKWARD */
    int64_t grad;
    int64_t sent[OP_INPUTS]; /* blocks its backward writes, one an input */
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
    plan_keys keys[2]; /* of the run, and from the first sample of the sub-batch on */
    arena_block *blocks;
    plan_block *about; /* by the same index */
    int64_t block_count;
    char *arena;
    int64_t arena_bytes;
    void *scratch; /* the most any op wants */
    char *packed;  /* of all ops */
};

/* What an op keeps of a sub-batch, in whole lines. */
static inline int64_t plan_saved_bytes(const plan_op *p) { return whole_lines(p->run.saved_bytes); }

/* Whether the op only passes its first input on, and shares its memory. */
static inline bool plan_is_identity(const plan *pl, node i) {
    const graph_op *op = &pl->graph->ops[i];
    return op->kind->is_identity && op->kind->is_identity(op, pl->training);
}

/* Whether the op is run forward in this plan. Inputs are not, but always have their memory, so that
 * callers may fill what a plan does not read. */
static inline bool plan_runs_forward(const plan *pl, node i) {
    return pl->ops[i].needed && pl->ops[i].root == i && pl->ops[i].run.op->kind->forward;
}

static inline bool plan_runs_backward(const plan *pl, node i) {
    return pl->training && pl->ops[i].reached && pl->ops[i].needs_grad && !plan_is_identity(pl, i);
}

/* Sets the type of every value: run.out.type and run.in[].type. */
status plan_choose_types(plan *pl, const plan_options *options);

/* Sets plan_op.sub-batch, and what run says of it, once types are known. */
void plan_choose_sub_batches(plan *pl);

/* Makes pl->segments from the order of steps. */
status plan_find_segments(plan *pl);

/* What segments do to the blocks of the whole batch, see there. */
void plan_cut_blocks(plan *pl);

/* Makes pl->steps and pl->blocks with their lifetimes, once ops are open. */
status plan_lay_out(plan *pl, const plan_options *options);

#endif
