/* Creation of a plan from a graph, and its execution: which ops run, with which memory, and the
 * loops over them. plan_layout.c finds types, order and lifetimes. */
#include "model/nn/plan_private.h"

#include "io/alloc.h"
#include "model/nn/clock.h"
#include "model/nn/kernels/elementwise.h"

#include <string.h>

/* Sets shapes and roots, and finds which ops run and which are reached by gradients. */
static status trace_graph(plan *pl, const plan_options *options) {
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
        p->sub_batch = options->batch;
        p->root = plan_is_identity(pl, i) ? pl->ops[op->in[0]].root : i;
        p->needs_grad = op->params > 0;
        p->step[FORWARD] = p->step[RECOMPUTE] = p->step[BACKWARD] = -1;
        p->value[COPY_FORWARD] = p->value[COPY_BACKWARD] = NO_BLOCK;
        p->saved[COPY_FORWARD] = p->saved[COPY_BACKWARD] = NO_BLOCK;
        p->grad = NO_BLOCK;
        for (int k = 0; k < OP_INPUTS; k++) {
            p->sent[k] = NO_BLOCK;
            p->sum[k] = (plan_sum){NO_BLOCK, NO_BLOCK, NO_BLOCK};
        }
        for (int k = 0; k < op->inputs; k++) {
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
        return status_fail(ST_INTERNAL, "a training plan needs a loss of one value per sample");
    pl->ops[pl->loss].reached = true;
    for (node i = pl->loss; i >= 0; i--) {
        plan_op *p = &pl->ops[i];
        if (!p->reached || !p->needs_grad) continue;
        if (!p->run.op->kind->backward && !p->run.op->kind->passes_gradient &&
            !plan_is_identity(pl, i))
            return status_fail(ST_INTERNAL, "op %s has no backward and cannot be trained through",
                               p->run.op->kind->name);
        for (int k = 0; k < p->run.op->inputs; k++)
            if (pl->ops[p->run.op->in[k]].needs_grad) pl->ops[p->run.op->in[k]].reached = true;
    }
    return ST_OK;
}

/* Address in a block of the samples that begin `offset` bytes into the batch; NULL for NO_BLOCK. */
static void *block_at(plan *pl, int64_t block, int64_t offset) {
    if (block == NO_BLOCK) return NULL;
    const plan_block *b = &pl->block_info[block];
    return pl->arena + pl->blocks[b->memory_of].offset + (b->sub_batch ? 0 : offset);
}

/* Sets the pointers of one op to its samples from `from` on. copy: COPY_FORWARD or COPY_BACKWARD,
 * of its values and those of its inputs. */
static void connect(plan *pl, plan_op *p, op_run *run, int copy, int64_t from) {
    const graph_op *op = p->run.op;
    const int64_t out_offset = from * tensor_sample_bytes(&run->out);
    run->out.at = block_at(pl, pl->ops[p->root].value[copy], out_offset);
    run->saved = block_at(pl, p->saved[copy], from / p->sub_batch * plan_saved_bytes(p));
    run->scratch = pl->scratch;
    run->grad_out = block_at(pl, pl->ops[p->root].grad, out_offset);
    for (int k = 0; k < op->inputs; k++) {
        const int64_t in_offset = from * tensor_sample_bytes(&run->in[k]);
        run->in[k].at = block_at(pl, pl->ops[pl->ops[op->in[k]].root].value[copy], in_offset);
        run->grad_in[k] = block_at(pl, p->sent[k], in_offset);
    }
    for (int k = 0; k < op->params; k++) {
        const param *q = &pl->params->list[op->first_param + k];
        run->param[k] = pl->params->value + q->offset;
        run->grad_param[k] = pl->params->grad && !q->frozen ? pl->params->grad + q->offset : NULL;
    }
}

static void connect_all(plan *pl) {
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        bool adds[OP_INPUTS];
        memcpy(adds, p->back.grad_adds, sizeof adds);
        p->back = p->run;
        memcpy(p->back.grad_adds, adds, sizeof adds);
        connect(pl, p, &p->run, COPY_FORWARD, 0);
        connect(pl, p, &p->back, COPY_BACKWARD, 0);
        /* Inputs that the caller does not fill are 0. */
        if (!p->run.op->kind->forward) memset(p->run.out.at, 0, (size_t)tensor_bytes(&p->run.out));
    }
}

/* Opens the ops, and allocates memory for their packed parameters and the largest scratch. */
static status open_ops(plan *pl) {
    status st = ST_OK;
    int64_t scratch = 0, packed = 0, at = 0;
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        if (!plan_runs_forward(pl, i) || !p->run.op->kind->open) continue;
        TRY(p->run.op->kind->open(&p->run));
        p->opened = true;
        if (p->run.scratch_bytes > scratch) scratch = p->run.scratch_bytes;
        packed += round_up_to_cache_line(p->run.packed_bytes);
    }
    TRY(pages_alloc(&pl->scratch, scratch, "scratch of kernels"));
    TRY(pages_alloc(&pl->packed, packed, "packed weights"));
    for (node i = 0; i < pl->count; i++) {
        pl->ops[i].run.packed = pl->packed + at;
        at += round_up_to_cache_line(pl->ops[i].run.packed_bytes);
    }
done:
    return st;
}

status plan_create(const graph *g, params *p, const plan_options *options, plan **out) {
    status st = ST_OK;
    plan *pl = NULL;
    *out = NULL;
    TRY(graph_check(g));
    TRY(array_alloc(&pl, 1, sizeof *pl, "a plan"));
    pl->graph = g;
    pl->params = p;
    pl->count = g->count;
    pl->batch = options->batch;
    pl->training = options->training;
    pl->loss = options->training ? options->loss : NODE_NONE;
    pl->params_changed = true;
    TRY(array_alloc(&pl->ops, g->count, sizeof *pl->ops, "a plan"));
    TRY(trace_graph(pl, options));
    TRY(plan_choose_types(pl, options));
    plan_choose_sub_batches(pl);
    TRY(open_ops(pl));
    TRY(plan_lay_out(pl, options));
    TRY(pages_alloc(&pl->arena, pl->arena_bytes, "activations and gradients"));
    connect_all(pl);
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
    free(pl->steps);
    free(pl->segments);
    free(pl->blocks);
    free(pl->block_info);
    free(pl->arena);
    free(pl->scratch);
    free(pl->packed);
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

tensor plan_output(plan *pl, node x) {
    tensor out = pl->ops[x].run.out;
    out.shape[0] = pl->batch;
    out.at = block_at(pl, pl->ops[pl->ops[x].root].value[COPY_FORWARD], 0);
    return out;
}

void plan_params_changed(plan *pl) { pl->params_changed = true; }

/* Adds the time since *from to *sum and sets *from to now. */
static void lap(double *from, double *sum) {
    double now = monotonic_seconds();
    *sum += now - *from;
    *from = now;
}

static status run_forward(plan_op *p, bool pack, double *clock) {
    const op_kind *kind = p->run.op->kind;
    status st = ST_OK;
    if (pack && kind->pack) st = kind->pack(&p->run);
    lap(clock, &p->took.pack);
    if (st == ST_OK) st = kind->forward(&p->run);
    lap(clock, &p->took.forward);
    return st;
}

static status run_recompute(plan_op *p, double *clock) {
    status st = p->run.op->kind->forward(&p->back);
    lap(clock, &p->took.recompute);
    return st;
}

/* Computes the gradients that one op sends for its samples from `from` on, and adds them to those
 * that other ops have sent. */
static status run_backward(plan *pl, plan_op *p, int64_t from, double *clock) {
    status st = ST_OK;
    if (p->run.op->kind->backward) st = p->run.op->kind->backward(&p->back);
    lap(clock, &p->took.backward);
    for (int k = 0; st == ST_OK && k < p->run.op->inputs; k++) {
        const plan_sum *s = &p->sum[k];
        const tensor *in = &p->run.in[k];
        const int64_t offset = from * tensor_sample_bytes(in);
        if (s->to == NO_BLOCK) continue;
        elementwise_add(in->type, block_at(pl, s->a, offset), block_at(pl, s->b, offset),
                        block_at(pl, s->to, offset), tensor_count(in));
    }
    lap(clock, &p->took.add);
    return st;
}

/* The callback of plan_backward(). */
typedef struct listener {
    plan_ready ready; /* or NULL */
    void *context;
} listener;

/* Reports the gradients of an op's parameters, which are contiguous: one range. They are finished
 * after the last sub-batch; before, the count is 0. */
static status report_gradients(const plan *pl, const graph_op *op, bool last, const listener *to) {
    int64_t count = 0;
    if (!to->ready || op->params == 0) return ST_OK;
    for (int k = 0; last && k < op->params; k++)
        count += pl->params->list[op->first_param + k].count;
    return to->ready(to->context, pl->params->list[op->first_param].offset, count);
}

/* Runs one step for the samples from `from` on. */
static status run_step(plan *pl, const plan_step *step, int64_t from, const listener *to) {
    status st = ST_OK;
    plan_op *p = &pl->ops[step->op];
    op_run *run = step->phase == FORWARD ? &p->run : &p->back;
    double clock = monotonic_seconds();
    const int copy = step->phase == FORWARD ? COPY_FORWARD : COPY_BACKWARD;
    if (p->sub_batch < pl->batch) connect(pl, p, run, copy, from);
    run->keys = pl->has_keys ? &pl->keys[1] : NULL;
    if (step->phase == FORWARD) return run_forward(p, pl->params_changed && from == 0, &clock);
    if (step->phase == RECOMPUTE) return run_recompute(p, &clock);
    if (plan_runs_backward(pl, step->op)) st = run_backward(pl, p, from, &clock);
    if (st == ST_OK) st = report_gradients(pl, p->run.op, from + p->sub_batch == pl->batch, to);
    return st;
}

/* Runs the segments that begin in steps [first, end). */
static status run_segments(plan *pl, int32_t first, int32_t end, const listener *to) {
    status st = ST_OK;
    for (int32_t k = 0; k < pl->segment_count; k++) {
        const plan_segment *g = &pl->segments[k];
        if (g->first < first || g->first >= end) continue;
        for (int64_t from = 0; from < pl->batch; from += g->sub_batch) {
            pl->keys[1] = pl->keys[0];
            if (pl->has_keys) pl->keys[1].sample += from;
            for (int32_t i = g->first; i <= g->last && st == ST_OK; i++)
                st = run_step(pl, &pl->steps[i], from, to);
        }
    }
    return st;
}

status plan_forward(plan *pl, const plan_keys *keys) {
    status st;
    const listener nobody = {0};
    pl->has_keys = keys != NULL;
    if (keys) pl->keys[0] = *keys;
    st = run_segments(pl, 0, pl->first_back, &nobody);
    if (st == ST_OK) pl->params_changed = false;
    return st;
}

status plan_backward(plan *pl, plan_ready ready, void *context) {
    const listener to = {ready, context};
    if (!pl->training)
        return status_fail(ST_INTERNAL, "backward on a plan that is not for training");
    float *seed = block_at(pl, pl->ops[pl->loss].grad, 0);
    for (int64_t b = 0; b < pl->batch; b++) seed[b] = 1.0f;
    return run_segments(pl, pl->first_back, pl->step_count, &to);
}

int64_t plan_arena_bytes(const plan *pl) { return pl->arena_bytes; }

int64_t plan_forward_flops(const plan *pl) {
    int64_t sum = 0;
    for (node i = 0; i < pl->count; i++)
        if (pl->ops[i].run.op->kind->flops)
            sum +=
                pl->batch / pl->ops[i].sub_batch * pl->ops[i].run.op->kind->flops(&pl->ops[i].run);
    return sum;
}

void plan_times(const plan *pl, plan_visit_times visit, void *context) {
    for (node i = 0; i < pl->count; i++)
        visit(context, pl->ops[i].run.op->kind->name, pl->ops[i].run.op->name, &pl->ops[i].took);
}
