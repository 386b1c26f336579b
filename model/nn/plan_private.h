/* What a plan holds, for plan.c (making and running) and plan_layout.c (types, order of work,
 * lifetimes). */
#ifndef CTAUG_MODEL_NN_PLAN_PRIVATE_H
#define CTAUG_MODEL_NN_PLAN_PRIVATE_H

#include "model/nn/arena.h"
#include "model/nn/op.h"

/* Blocks of the arena are named by their index; NO_BLOCK: none. */
enum { NO_BLOCK = -1 };

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

typedef struct plan_op {
    op_run run;      /* as FORWARD sees the world */
    op_run back;     /* as AGAIN and BACKWARD see it */
    node root;       /* whose memory holds the value: itself, or what an identity passes on */
    bool needs_grad; /* parameters are at it or below it */
    bool needed;     /* an output depends on it */
    bool reached;    /* backward from the loss arrives here */
    bool kept;       /* an output of the plan, or read outside its block: never computed again */
    bool again;      /* computed again */
    int32_t at[3];   /* step of each phase; -1: none */
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
    bool training;
    node loss;
    bool params_changed;
    plan_step *steps;
    int32_t step_count, first_back; /* FORWARD steps come before first_back */
    arena_block *blocks;
    int64_t block_count;
    char *arena;
    int64_t arena_bytes;
    void *scratch; /* the most any op wants */
    char *packed;  /* of all ops */
};

/* Whether the op is run, in this plan, forward and backward. */
bool plan_runs_forward(const plan *pl, node i);
bool plan_runs_backward(const plan *pl, node i);

/* Sets the type of every value: run.out.type and run.in[].type. */
status plan_choose_types(plan *pl, const plan_options *options);

/* Makes pl->steps and pl->blocks with their lifetimes, once ops are open. */
status plan_lay_out(plan *pl, const plan_options *options);

#endif
