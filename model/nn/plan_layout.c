/* Who has which type, what is done in which order, and who is alive when.
 *
 * Time is the list of steps: every op forward, then the ops backward from the last to the first.
 * Before the first op of a block goes backward, ops of it that only copy are run again, as far as
 * its backward reads them, and with recompute all others too; what leaves a block is kept. A value
 * lives from its op to its last reader, and one that is computed again has two lives in two places.
 * A gradient lives from its first sender to its own op's backward.
 *
 * Where an op passes its gradient on unchanged (an addition), its inputs' gradients begin as the
 * very same memory. Adding to memory that others still read is never done: then the sum goes to a
 * new place. When several ops send a gradient to one value, the first writes it; a later one adds
 * to it if it can, or else writes to a buffer of its own that is added.
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

/* One round of the rules; whether anything had to be widened to f32. low: of root i. */
static bool widen(const plan *pl, bool *low) {
    bool changed = false;
    for (node i = 0; i < pl->count; i++) {
        const plan_op *p = &pl->ops[i];
        for (int k = 0; k < p->run.op->inputs; k++) {
            const op_kind *kind = p->run.op->kind;
            bool *in = &low[pl->ops[p->run.op->in[k]].root], *out = &low[p->root];
            bool typed = (kind->typed & (1u << k)) != 0;
            if (kind->any_type & (1u << k)) continue;
            if (typed && *in == *out) continue;
            if (!*in && !typed) continue;
            changed |= *in || (typed && *out);
            *in = false;
            if (typed) *out = false;
        }
    }
    return changed;
}

status plan_choose_types(plan *pl, const plan_options *options) {
    bool *low = NULL;
    status st = array_alloc(&low, pl->count, sizeof *low, "a plan");
    if (st != ST_OK) return st;
    for (node i = 0; i < pl->count; i++)
        low[i] = options->compute == TYPE_BF16 && pl->ops[i].run.op->kind->lowers &&
                 !is_output(pl, options, i);
    while (widen(pl, low)) {
    }
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        if (low[p->root]) p->run.out.type = TYPE_BF16;
        for (int k = 0; k < p->run.op->inputs; k++)
            p->run.in[k].type = pl->ops[p->run.op->in[k]].run.out.type;
    }
    free(low);
    return ST_OK;
}

/* Which values have to be kept, and which are computed again: from the last op to the first, what a
 * backward in its block reads, and what is needed to compute that. */
static void choose_again(plan *pl, const plan_options *options) {
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        /* A vector is not worth it. */
        p->kept |= !(options->recompute || p->run.op->kind->copies) || p->run.op->block == 0 ||
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
        if (back && (p->run.op->kind->backward_reads & READS_OUT)) p->again = true;
        if (p->kept) p->again = false;
        for (int k = 0; k < p->run.op->inputs; k++)
            if (p->again || (back && (p->run.op->kind->backward_reads & (1u << k))))
                pl->ops[pl->ops[p->run.op->in[k]].root].again = true;
    }
    for (node i = 0; i < pl->count; i++)
        pl->ops[i].again &= !pl->ops[i].kept && plan_runs_forward(pl, i);
}

static void add_step(plan *pl, node i, phase phase) {
    pl->ops[i].at[phase] = pl->step_count;
    pl->steps[pl->step_count++] = (plan_step){i, phase};
}

/* pl->steps. */
static status order(plan *pl, const plan_options *options) {
    status st = array_alloc(&pl->steps, 3 * (int64_t)pl->count, sizeof *pl->steps, "a plan");
    if (st != ST_OK) return st;
    for (node i = 0; i < pl->count; i++)
        if (plan_runs_forward(pl, i)) add_step(pl, i, FORWARD);
    pl->first_back = pl->step_count;
    if (!pl->training) return ST_OK;
    choose_again(pl, options);
    for (node i = pl->count - 1; i >= 0; i--) {
        int32_t block = pl->graph->ops[i].block;
        if (i == pl->count - 1 || block != pl->graph->ops[i + 1].block) {
            node first = i;
            while (first > 0 && pl->graph->ops[first - 1].block == block) first--;
            for (node k = first; k <= i; k++)
                if (pl->ops[k].again) add_step(pl, k, AGAIN);
        }
        add_step(pl, i, BACKWARD);
    }
    return ST_OK;
}

/* Of a value of the whole batch. */
static int64_t value_bytes(const plan *pl, const plan_op *p) {
    return pl->batch * tensor_sample_bytes(&p->run.out);
}

static int64_t new_block(plan *pl, int64_t bytes, int32_t first, int32_t last) {
    const int64_t block = pl->block_count++;
    pl->blocks[block] = (arena_block){.bytes = bytes, .first = first, .last = last};
    pl->about[block] = (plan_block){.place = block};
    return block;
}

static void extend(plan *pl, int64_t block, int32_t to) {
    if (pl->blocks[block].last < to) pl->blocks[block].last = to;
}

/* Value and saved blocks of one op. */
static void open_values(plan *pl, plan_op *p) {
    int64_t bytes = value_bytes(pl, p), saved = pl->batch / p->sub_batch * plan_saved_bytes(p);
    int32_t forward = p->at[FORWARD], again = p->at[AGAIN];
    p->value[0] = p->value[1] = new_block(pl, bytes, forward, forward);
    if (p->again) p->value[1] = new_block(pl, bytes, again, again);
    if (p->run.saved_bytes == 0) return;
    p->saved[0] = p->saved[1] = new_block(pl, saved, forward, forward);
    if (p->again) p->saved[1] = new_block(pl, saved, again, again);
}

/* Lifetimes of what op i reads. */
static void hold_read(plan *pl, node i) {
    plan_op *p = &pl->ops[i];
    unsigned reads = p->run.op->kind->backward_reads;
    bool back = plan_runs_backward(pl, i);
    if (back && p->saved[1] != NO_BLOCK) extend(pl, p->saved[1], p->at[BACKWARD]);
    if (back && (reads & READS_OUT)) extend(pl, p->value[1], p->at[BACKWARD]);
    for (int k = 0; k < p->run.op->inputs; k++) {
        const plan_op *from = root_of(pl, p, k);
        extend(pl, from->value[0], p->at[FORWARD]);
        if (p->again) extend(pl, from->value[1], p->at[AGAIN]);
        if (back && (reads & (1u << k))) extend(pl, from->value[1], p->at[BACKWARD]);
    }
}

static void place_values(plan *pl, const plan_options *options) {
    int32_t end = pl->step_count;
    for (node i = 0; i < pl->count; i++) {
        plan_op *p = &pl->ops[i];
        if (!p->run.op->kind->forward)
            p->value[0] = p->value[1] = new_block(pl, value_bytes(pl, p), 0, end);
        else if (plan_runs_forward(pl, i))
            open_values(pl, p);
    }
    for (node i = 0; i < pl->count; i++)
        if (plan_runs_forward(pl, i)) hold_read(pl, i);
    for (int64_t k = 0; k < options->output_count; k++)
        extend(pl, pl->ops[pl->ops[options->outputs[k]].root].value[0], end);
    if (pl->training) extend(pl, pl->ops[pl->loss].value[0], end);
}

/* Whether another value than `root` still needs `block` as its gradient at step `now` or later. */
static bool is_shared(const plan *pl, int64_t block, node root, int32_t now) {
    for (node i = 0; i < pl->count; i++)
        if (i != root && pl->ops[i].grad == block && pl->ops[i].at[BACKWARD] >= now) return true;
    return false;
}

/* Where the gradient that op p sends to its input k goes. */
static void place_sent(plan *pl, plan_op *p, int k) {
    node root = pl->ops[p->run.op->in[k]].root;
    plan_op *to = &pl->ops[root];
    int32_t now = p->at[BACKWARD], last = to->at[BACKWARD];
    int64_t bytes = value_bytes(pl, to);
    bool passes = p->run.op->kind->passes & (1u << k), adds = p->run.op->kind->adds & (1u << k);
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
    /* It is there for the whole batch before the first step. */
    loss->grad = new_block(pl, value_bytes(pl, loss), pl->first_back - 1, loss->at[BACKWARD]);
    for (node i = pl->loss; i >= 0; i--) {
        plan_op *p = &pl->ops[i];
        if (!plan_runs_backward(pl, i)) continue;
        for (int k = 0; k < p->run.op->inputs; k++)
            if (root_of(pl, p, k)->needs_grad) place_sent(pl, p, k);
    }
}

status plan_lay_out(plan *pl, const plan_options *options) {
    status st = ST_OK;
    /* Two values, two saved blocks, a gradient, and one block an input at most. */
    const int64_t most = (int64_t)pl->count * (5 + OP_INPUTS);
    TRY(array_alloc(&pl->blocks, most, sizeof *pl->blocks, "a plan"));
    TRY(array_alloc(&pl->about, most, sizeof *pl->about, "a plan"));
    TRY(order(pl, options));
    TRY(plan_find_segments(pl));
    place_values(pl, options);
    if (pl->training) place_gradients(pl);
    plan_cut_blocks(pl);
    TRY(arena_layout(pl->blocks, pl->block_count, &pl->arena_bytes));
done:
    return st;
}
