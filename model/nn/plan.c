/* From a description to something that runs: who is alive when, where everything lies, and the two
 * loops over the ops.
 *
 * Time: op i runs forward at step i and backward at step 2n-1-i of n ops. A value lives from its op
 * to its last reader, which in training may be a backward; a gradient lives from its first sender
 * to its own op's backward. When several ops send a gradient to one value, the first writes it, the
 * others write to a buffer of their own that is added to it.
 */
#include "model/nn/arena.h"
#include "model/nn/op.h"

#include "io/span.h"

#include <string.h>
#include <time.h>

/* Blocks of the arena are named by their index; NO_BLOCK: none. */
enum { NO_BLOCK = -1 };

typedef struct plan_op {
    op_run run;
    node root;       /* whose memory holds the value: itself, or what an identity passes on */
    bool needs_grad; /* parameters are at it or below it */
    bool needed;     /* an output depends on it */
    bool reached;    /* backward from the loss arrives here */
    int64_t value, grad, saved; /* blocks */
    int64_t sent[OP_INPUTS];    /* blocks its backward writes, one an input */
    float *add_to[OP_INPUTS]; /* where a block of its own is added; NULL: it was written in place */
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
    arena_block *blocks;
    int64_t block_count;
    char *arena;
    int64_t arena_bytes;
    void *scratch; /* the most any op wants */
};

static bool is_identity(const plan *pl, node i) {
    const graph_op *op = &pl->graph->ops[i];
    return op->kind->is_identity && op->kind->is_identity(op, pl->training);
}

/* Shapes, roots, and which ops gradients pass through. */
static status trace(plan *pl, const plan_options *options) {
    const graph *g = pl->graph;
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        const graph_op *op = &g->ops[i];
        p->run = (op_run){.op = op,
                          .engine = options->engine,
                          .batch = options->batch,
                          .training = pl->training,
                          .index = i};
        p->run.out = (tensor){.type = op->type,
                              .shape = {options->batch, op->shape[0], op->shape[1], op->shape[2]}};
        p->root = is_identity(pl, i) ? pl->ops[op->in[0]].root : i;
        p->needs_grad = op->params > 0;
        p->value = p->grad = p->saved = NO_BLOCK;
        for (int k = 0; k < op->inputs; k++) {
            p->sent[k] = NO_BLOCK;
            p->run.in[k] = pl->ops[op->in[k]].run.out;
            p->needs_grad |= pl->ops[op->in[k]].needs_grad;
        }
    }
    for (int64_t k = 0; k < options->output_count; k++) {
        if (options->outputs[k] < 0 || options->outputs[k] >= pl->count)
            return status_fail(ST_INTERNAL, "a plan was asked for an output that does not exist");
        pl->ops[options->outputs[k]].needed = true;
    }
    if (pl->training && pl->loss >= 0 && pl->loss < pl->count) pl->ops[pl->loss].needed = true;
    for (node i = pl->count - 1; i >= 0; i--)
        for (int k = 0; k < g->ops[i].inputs; k++)
            pl->ops[g->ops[i].in[k]].needed |= pl->ops[i].needed;
    if (!pl->training) return ST_OK;
    if (pl->loss < 0 || pl->loss >= pl->count || tensor_sample(&pl->ops[pl->loss].run.out) != 1)
        return status_fail(ST_INTERNAL, "a training plan needs a loss of one number a sample");
    pl->ops[pl->loss].reached = true;
    for (node i = pl->loss; i >= 0; i--) {
        plan_op *p = &pl->ops[i];
        if (!p->reached || !p->needs_grad) continue;
        if (!p->run.op->kind->backward && !is_identity(pl, i))
            return status_fail(ST_INTERNAL, "op %s has no backward and cannot be trained through",
                               p->run.op->kind->name);
        for (int k = 0; k < p->run.op->inputs; k++)
            if (pl->ops[p->run.op->in[k]].needs_grad) pl->ops[p->run.op->in[k]].reached = true;
    }
    return ST_OK;
}

/* Inputs always have their memory, so that callers may fill what a plan does not read. */
static bool runs_forward(const plan *pl, node i) {
    return pl->ops[i].needed && pl->ops[i].root == i && pl->ops[i].run.op->kind->forward;
}

static bool runs_backward(const plan *pl, node i) {
    return pl->training && pl->ops[i].reached && pl->ops[i].needs_grad && !is_identity(pl, i);
}

static int64_t new_block(plan *pl, int64_t bytes, int32_t first, int32_t last) {
    pl->blocks[pl->block_count] = (arena_block){.bytes = bytes, .first = first, .last = last};
    return pl->block_count++;
}

static void extend(plan *pl, int64_t block, int32_t to) {
    if (pl->blocks[block].last < to) pl->blocks[block].last = to;
}

/* Value and saved blocks with their lifetimes. */
static void place_values(plan *pl, const plan_options *options) {
    int32_t n = pl->count, end = 2 * n;
    for (node i = 0; i < n; i++) {
        plan_op *p = &pl->ops[i];
        const graph_op *op = p->run.op;
        int64_t unit = op->type == TYPE_U8 ? 1 : 4, bytes = tensor_count(&p->run.out) * unit;
        int32_t back = runs_backward(pl, i) ? 2 * n - 1 - i : i;
        if (!op->kind->forward) p->value = new_block(pl, bytes, 0, end);
        if (!runs_forward(pl, i)) continue;
        p->value = new_block(pl, bytes, i, i);
        if (op->kind->backward_reads & READS_OUT) extend(pl, p->value, back);
        if (p->run.saved_floats > 0) p->saved = new_block(pl, p->run.saved_floats * 4, i, back);
        for (int k = 0; k < op->inputs; k++) {
            int64_t from = pl->ops[pl->ops[op->in[k]].root].value;
            extend(pl, from, op->kind->backward_reads & (1u << k) ? back : i);
        }
    }
    for (int64_t k = 0; k < options->output_count; k++)
        extend(pl, pl->ops[pl->ops[options->outputs[k]].root].value, end);
    if (pl->training) extend(pl, pl->ops[pl->loss].value, end);
}

/* Gradient blocks: walking backward, the first sender to a value opens its gradient. */
static void place_gradients(plan *pl) {
    int32_t n = pl->count;
    if (!pl->training) return;
    plan_op *loss = &pl->ops[pl->loss];
    loss->grad = new_block(pl, loss->run.batch * 4, n, 2 * n - 1 - pl->loss);
    for (node i = pl->loss; i >= 0; i--) {
        plan_op *p = &pl->ops[i];
        int32_t now = 2 * n - 1 - i;
        if (!runs_backward(pl, i)) continue;
        for (int k = 0; k < p->run.op->inputs; k++) {
            node root = pl->ops[p->run.op->in[k]].root;
            plan_op *to = &pl->ops[root];
            int64_t bytes = tensor_count(&to->run.out) * 4;
            if (!to->needs_grad) continue;
            if (to->grad == NO_BLOCK)
                p->sent[k] = to->grad = new_block(pl, bytes, now, 2 * n - 1 - root);
            else
                p->sent[k] = new_block(pl, bytes, now, now);
        }
    }
}

static void *block_at(plan *pl, int64_t block) {
    return block == NO_BLOCK ? NULL : pl->arena + pl->blocks[block].offset;
}

/* Pointers, once the arena exists. */
static void connect(plan *pl) {
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        const graph_op *op = p->run.op;
        p->run.out.at = block_at(pl, pl->ops[p->root].value);
        p->run.saved = block_at(pl, p->saved);
        p->run.scratch = pl->scratch;
        /* What nobody fills reads as 0. */
        if (!op->kind->forward) memset(p->run.out.at, 0, (size_t)tensor_bytes(&p->run.out));
        p->run.grad_out = block_at(pl, pl->ops[p->root].grad);
        for (int k = 0; k < op->inputs; k++) {
            plan_op *from = &pl->ops[pl->ops[op->in[k]].root];
            p->run.in[k].at = block_at(pl, from->value);
            p->run.grad_in[k] = block_at(pl, p->sent[k]);
            if (p->sent[k] != NO_BLOCK && p->sent[k] != from->grad)
                p->add_to[k] = block_at(pl, from->grad);
        }
        for (int k = 0; k < op->params; k++) {
            int64_t offset = pl->params->list[op->first_param + k].offset;
            p->run.param[k] = pl->params->value + offset;
            p->run.grad_param[k] = pl->params->grad + offset;
        }
    }
}

status plan_create(const graph *g, params *p, const plan_options *options, plan **out) {
    status st = ST_OK;
    plan *pl = NULL;
    int64_t scratch = 0;
    *out = NULL;
    TRY(graph_check(g));
    TRY(array_alloc(&pl, 1, sizeof *pl, "a plan"));
    pl->graph = g;
    pl->params = p;
    pl->count = g->count;
    pl->training = options->training;
    pl->loss = options->training ? options->loss : NODE_NONE;
    pl->params_changed = true;
    TRY(array_alloc(&pl->ops, g->count, sizeof *pl->ops, "a plan"));
    TRY(trace(pl, options));
    for (node i = 0; i < pl->count; i++) {
        plan_op *o = &pl->ops[i];
        if (!runs_forward(pl, i) || !o->run.op->kind->open) continue;
        TRY(o->run.op->kind->open(&o->run));
        o->opened = true;
        if (o->run.scratch_bytes > scratch) scratch = o->run.scratch_bytes;
    }
    TRY(pages_alloc(&pl->scratch, scratch, "scratch of kernels"));
    /* A value, a saved block, a gradient, and one block an input at most. */
    TRY(array_alloc(&pl->blocks, (int64_t)g->count * (3 + OP_INPUTS), sizeof *pl->blocks,
                    "a plan"));
    place_values(pl, options);
    place_gradients(pl);
    TRY(arena_layout(pl->blocks, pl->block_count, &pl->arena_bytes));
    TRY(pages_alloc(&pl->arena, pl->arena_bytes, "activations and gradients"));
    connect(pl);
    *out = pl;
    pl = NULL;
done:
    plan_destroy(pl);
    return st;
}

void plan_destroy(plan *pl) {
    if (!pl) return;
    for (node i = 0; pl->ops && i < pl->count; i++)
        if (pl->ops[i].opened && pl->ops[i].run.op->kind->close)
            pl->ops[i].run.op->kind->close(&pl->ops[i].run);
    free(pl->ops);
    free(pl->blocks);
    free(pl->arena);
    free(pl->scratch);
    free(pl);
}

status plan_input(plan *pl, const char *name, tensor *out) {
    for (node i = 0; i < pl->count; i++)
        if (!pl->graph->ops[i].kind->forward && strcmp(pl->graph->ops[i].name, name) == 0) {
            *out = pl->ops[i].run.out;
            return ST_OK;
        }
    return status_fail(ST_INTERNAL, "the network has no input called %s", name);
}

tensor plan_output(plan *pl, node x) { return pl->ops[x].run.out; }

void plan_params_changed(plan *pl) { pl->params_changed = true; }

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Adds the time since *from to *sum and moves *from on. */
static void lap(double *from, double *sum) {
    double now = seconds();
    *sum += now - *from;
    *from = now;
}

status plan_forward(plan *pl, const plan_keys *keys) {
    double clock = seconds();
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        const op_kind *kind = p->run.op->kind;
        status st = ST_OK;
        if (!runs_forward(pl, i)) continue;
        p->run.keys = keys;
        if (pl->params_changed && kind->pack) st = kind->pack(&p->run);
        lap(&clock, &p->took.pack);
        if (st == ST_OK) st = kind->forward(&p->run);
        lap(&clock, &p->took.forward);
        if (st != ST_OK) return st;
    }
    pl->params_changed = false;
    return ST_OK;
}

static void add_sent(const plan_op *p) {
    for (int k = 0; k < p->run.op->inputs; k++) {
        const float *from = p->run.grad_in[k];
        float *to = p->add_to[k];
        if (!to) continue;
        int64_t n = tensor_count(&p->run.in[k]);
#pragma omp parallel for simd schedule(static)
        for (int64_t i = 0; i < n; i++) to[i] += from[i];
    }
}

/* The op's parameters lie side by side: one range. */
static status report(const plan *pl, const graph_op *op, plan_ready ready, void *context) {
    int64_t count = 0;
    if (!ready || op->params == 0) return ST_OK;
    for (int k = 0; k < op->params; k++) count += pl->params->list[op->first_param + k].count;
    return ready(context, pl->params->list[op->first_param].offset, count);
}

status plan_backward(plan *pl, plan_ready ready, void *context) {
    status st = ST_OK;
    if (!pl->training)
        return status_fail(ST_INTERNAL, "backward on a plan that is not for training");
    double clock = seconds();
    float *seed = block_at(pl, pl->ops[pl->loss].grad);
    for (int64_t b = 0; b < pl->ops[pl->loss].run.batch; b++) seed[b] = 1.0f;
    for (node i = pl->count - 1; i >= 0 && st == ST_OK; i--) {
        plan_op *p = &pl->ops[i];
        if (runs_backward(pl, i)) {
            st = p->run.op->kind->backward(&p->run);
            lap(&clock, &p->took.backward);
            if (st == ST_OK) add_sent(p);
            lap(&clock, &p->took.add);
        }
        if (st == ST_OK) st = report(pl, p->run.op, ready, context);
    }
    return st;
}

int64_t plan_forward_flops(const plan *pl) {
    int64_t sum = 0;
    for (node i = 0; i < pl->count; i++)
        if (pl->ops[i].run.op->kind->flops) sum += pl->ops[i].run.op->kind->flops(&pl->ops[i].run);
    return sum;
}

void plan_times(const plan *pl, plan_visit_times visit, void *context) {
    for (node i = 0; i < pl->count; i++)
        visit(context, pl->ops[i].run.op->kind->name, pl->ops[i].run.op->name, &pl->ops[i].took);
}
