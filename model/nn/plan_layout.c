/* Layout of a plan: the type of every value, the order of steps, and the lifetime of every block of
 * memory.
 *
 * Steps are the time axis of lifetimes. All ops run forward in the order of the graph, then
 * backward in reverse order. Before the backward steps of a graph block, the plan recomputes those
 * of its values that these steps read and that were not kept: outputs of ops that only copy, or
 * with plan_options.recompute all values that are not read outside the block.
 *
 * A value lives from the forward step of its op to its last reader. A recomputed value has two
 * copies in two blocks of memory, one for the forward readers and one for the backward readers. A
 * gradient lives from the first backward step that writes it to the backward step of its own op.
 *
 * When several ops send a gradient to one value, the first one writes the buffer. A later one adds
 * to it in place if its kind can, or else writes a buffer of its own, which is then added. An op
 * that passes its gradient on unchanged (an addition) shares the memory of its gradient with those
 * of its inputs. Memory that is still the gradient of another value is not added to: the sum goes
 * to a new block.
 */
#include "model/nn/plan_private.h"

#include "io/alloc.h"

static const plan_op *root_of(const plan *pl, const plan_op *p, int k) {
    return &pl->ops[pl->ops[p->run.op->in[k]].root];
}

static bool is_output(const plan *pl, const plan_options *options, node i) {
    bool found = i == pl->loss;
    for (int64_t k = 0; k < options->output_count; k++)
        found |= pl->ops[options->outputs[k]].root == pl->ops[i].root;
    return found;
}

/* One pass over the type rules of op_kind: sets values to f32 where a rule forbids bf16, and
 * returns whether it did. is_bf16: by root. */
static bool widen(const plan *pl, bool *is_bf16) {
    bool changed = false;
    for (node i = 0; i < pl->count; i++) {
        const plan_op *p = &pl->ops[i];
        for (int k = 0; k < p->run.op->inputs; k++) {
            const op_kind *kind = p->run.op->kind;
            bool *in = &is_bf16[pl->ops[p->run.op->in[k]].root], *out = &is_bf16[p->root];
            bool same_type = (kind->same_type & (1u << k)) != 0;
            if (kind->any_type & (1u << k)) continue;
            if (same_type && *in == *out) continue;
            if (!*in && !same_type) continue;
            changed |= *in || (same_type && *out);
            *in = false;
            if (same_type) *out = false;
        }
    }
    return changed;
}

status plan_choose_types(plan *pl, const plan_options *options) {
    bool *is_bf16 = NULL;
    status st = array_alloc(&is_bf16, pl->count, sizeof *is_bf16, "a plan");
    if (st != ST_OK) return st;
    for (node i = 0; i < pl->count; i++)
        is_bf16[i] = options->compute == TYPE_BF16 && pl->ops[i].run.op->kind->may_be_bf16 &&
                     !is_output(pl, options, i);
    while (widen(pl, is_bf16)) {
    }
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        if (is_bf16[p->root]) p->run.out.type = TYPE_BF16;
        for (int k = 0; k < p->run.op->inputs; k++)
            p->run.in[k].type = pl->ops[p->run.op->in[k]].run.out.type;
    }
    free(is_bf16);
    return ST_OK;
}

/* Sets kept and recomputed. Of the values that are not kept, those are recomputed that a backward
 * step reads or that another recomputation needs; hence the walk from the last op to the first. */
static void choose_recomputed(plan *pl, const plan_options *options) {
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        /* A vector takes too little memory to be worth recomputing. */
        p->kept |= !(options->recompute || p->run.op->kind->only_copies) || p->run.op->block == 0 ||
                   is_output(pl, options, i) || p->run.op->shape[0] * p->run.op->shape[1] == 1;
        for (int k = 0; k < p->run.op->inputs; k++) {
            node root = pl->ops[p->run.op->in[k]].root;
            if (pl->ops[root].run.op->block != p->run.op->block) pl->ops[root].kept = true;
        }
    }
    for (node i = pl->count - 1; i >= 0; i--) {
        plan_op *p = &pl->ops[i];
        bool back = plan_runs_backward(pl, i);
        if (!plan_runs_forward(pl, i)) continue;
        if (back && (p->run.op->kind->backward_reads & BIT_OUT)) p->recomputed = true;
        if (p->kept) p->recomputed = false;
        for (int k = 0; k < p->run.op->inputs; k++)
            if (p->recomputed || (back && (p->run.op->kind->backward_reads & (1u << k))))
                pl->ops[pl->ops[p->run.op->in[k]].root].recomputed = true;
    }
    for (node i = 0; i < pl->count; i++)
        pl->ops[i].recomputed &= !pl->ops[i].kept && plan_runs_forward(pl, i);
}

static void add_step(plan *pl, node i, phase phase) {
    pl->ops[i].step[phase] = pl->step_count;
    pl->steps[pl->step_count++] = (plan_step){i, phase};
}

/* Makes pl->steps. */
static status order_steps(plan *pl, const plan_options *options) {
    status st = array_alloc(&pl->steps, 3 * (int64_t)pl->count, sizeof *pl->steps, "a plan");
    if (st != ST_OK) return st;
    for (node i = 0; i < pl->count; i++)
        if (plan_runs_forward(pl, i)) add_step(pl, i, FORWARD);
    pl->first_back = pl->step_count;
    if (!pl->training) return ST_OK;
    choose_recomputed(pl, options);
    for (node i = pl->count - 1; i >= 0; i--) {
        int32_t block = pl->graph->ops[i].block;
        if (i == pl->count - 1 || block != pl->graph->ops[i + 1].block) {
            node first = i;
            while (first > 0 && pl->graph->ops[first - 1].block == block) first--;
            for (node k = first; k <= i; k++)
                if (pl->ops[k].recomputed) add_step(pl, k, RECOMPUTE);
        }
        add_step(pl, i, BACKWARD);
    }
    return ST_OK;
}

/* Bytes of a value of the whole batch. */
static int64_t value_bytes(const plan *pl, const plan_op *p) {
    return pl->batch * tensor_sample_bytes(&p->run.out);
}

static int64_t new_block(plan *pl, int64_t bytes, int32_t first, int32_t last) {
    const int64_t block = pl->block_count++;
    pl->blocks[block] = (arena_block){.bytes = bytes, .first = first, .last = last};
    pl->block_info[block] = (plan_block){.memory_of = block};
    return block;
}

static void extend(plan *pl, int64_t block, int32_t to) {
    if (pl->blocks[block].last < to) pl->blocks[block].last = to;
}

/* Makes the value and saved blocks of one op, alive in the steps that write them. */
static void new_value_blocks(plan *pl, plan_op *p) {
    int64_t bytes = value_bytes(pl, p), saved = pl->batch / p->sub_batch * plan_saved_bytes(p);
    int32_t forward = p->step[FORWARD], recompute = p->step[RECOMPUTE];
    p->value[COPY_FORWARD] = p->value[COPY_BACKWARD] = new_block(pl, bytes, forward, forward);
    if (p->recomputed) p->value[COPY_BACKWARD] = new_block(pl, bytes, recompute, recompute);
    if (p->run.saved_bytes == 0) return;
    p->saved[COPY_FORWARD] = p->saved[COPY_BACKWARD] = new_block(pl, saved, forward, forward);
    if (p->recomputed) p->saved[COPY_BACKWARD] = new_block(pl, saved, recompute, recompute);
}

/* Extends the lifetimes of the blocks that op i reads to the steps that read them. */
static void extend_to_reads(plan *pl, node i) {
    plan_op *p = &pl->ops[i];
    unsigned reads = p->run.op->kind->backward_reads;
    bool back = plan_runs_backward(pl, i);
    if (back && p->saved[COPY_BACKWARD] != NO_BLOCK)
        extend(pl, p->saved[COPY_BACKWARD], p->step[BACKWARD]);
    if (back && (reads & BIT_OUT)) extend(pl, p->value[COPY_BACKWARD], p->step[BACKWARD]);
    for (int k = 0; k < p->run.op->inputs; k++) {
        const plan_op *from = root_of(pl, p, k);
        extend(pl, from->value[COPY_FORWARD], p->step[FORWARD]);
        if (p->recomputed) extend(pl, from->value[COPY_BACKWARD], p->step[RECOMPUTE]);
        if (back && (reads & (1u << k))) extend(pl, from->value[COPY_BACKWARD], p->step[BACKWARD]);
    }
}

static void place_values(plan *pl, const plan_options *options) {
    int32_t end = pl->step_count;
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        if (!p->run.op->kind->forward)
            p->value[COPY_FORWARD] = p->value[COPY_BACKWARD] =
                new_block(pl, value_bytes(pl, p), 0, end);
        else if (plan_runs_forward(pl, i))
            new_value_blocks(pl, p);
    }
    for (node i = 0; i < pl->count; i++)
        if (plan_runs_forward(pl, i)) extend_to_reads(pl, i);
    for (int64_t k = 0; k < options->output_count; k++)
        extend(pl, pl->ops[pl->ops[options->outputs[k]].root].value[COPY_FORWARD], end);
    if (pl->training) extend(pl, pl->ops[pl->loss].value[COPY_FORWARD], end);
}

/* Whether another value than `root` still needs `block` as its gradient at step `now` or later. */
static bool is_shared(const plan *pl, int64_t block, node root, int32_t now) {
    for (node i = 0; i < pl->count; i++)
        if (i != root && pl->ops[i].grad == block && pl->ops[i].step[BACKWARD] >= now) return true;
    return false;
}

/* Chooses the block for the gradient that op p sends to its input k. */
static void place_input_gradient(plan *pl, plan_op *p, int k) {
    node root = pl->ops[p->run.op->in[k]].root;
    plan_op *to = &pl->ops[root];
    int32_t now = p->step[BACKWARD], last = to->step[BACKWARD];
    int64_t bytes = value_bytes(pl, to);
    bool passes = p->run.op->kind->passes_gradient & (1u << k);
    bool adds = p->run.op->kind->adds_gradient & (1u << k);
    int64_t own = pl->ops[p->root].grad;
    if (to->grad == NO_BLOCK) {
        to->grad = passes ? own : new_block(pl, bytes, now, last);
        if (!passes) p->sent[k] = to->grad;
    } else if (!is_shared(pl, to->grad, root, now)) {
        if (passes)
            p->sum[k] = (plan_sum){to->grad, to->grad, own};
        else if (adds)
            p->sent[k] = to->grad, p->back.grad_adds[k] = true;
        else
            p->sent[k] = new_block(pl, bytes, now, now),
            p->sum[k] = (plan_sum){to->grad, to->grad, p->sent[k]};
    } else {
        int64_t joined = new_block(pl, bytes, now, last);
        if (!passes) p->sent[k] = joined;
        p->sum[k] = (plan_sum){joined, to->grad, passes ? own : joined};
        extend(pl, to->grad, now);
        to->grad = joined;
    }
    extend(pl, to->grad, last);
}

static void place_gradients(plan *pl) {
    plan_op *loss = &pl->ops[pl->loss];
    /* plan_backward() fills it for the whole batch before the first backward step. */
    loss->grad = new_block(pl, value_bytes(pl, loss), pl->first_back - 1, loss->step[BACKWARD]);
    for (node i = pl->loss; i >= 0; i--) {
        plan_op *p = &pl->ops[i];
        if (!plan_runs_backward(pl, i)) continue;
        for (int k = 0; k < p->run.op->inputs; k++)
            if (root_of(pl, p, k)->needs_grad) place_input_gradient(pl, p, k);
    }
}

status plan_lay_out(plan *pl, const plan_options *options) {
    status st = ST_OK;
    /* Per op at most two values, two saved blocks, one gradient, and one block per input. */
    const int64_t max = (int64_t)pl->count * (5 + OP_INPUTS);
    TRY(array_alloc(&pl->blocks, max, sizeof *pl->blocks, "a plan"));
    TRY(array_alloc(&pl->block_info, max, sizeof *pl->block_info, "a plan"));
    TRY(order_steps(pl, options));
    TRY(plan_find_segments(pl));
    place_values(pl, options);
    if (pl->training) place_gradients(pl);
    plan_fit_blocks_to_segments(pl);
    TRY(arena_layout(pl->blocks, pl->block_count, &pl->arena_bytes));
done:
    return st;
}
