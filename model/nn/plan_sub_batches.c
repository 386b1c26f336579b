/* Sub-batches: which ops run for a few samples at a time, and which steps form a segment.
 *
 * Activations of many pixels do not fit the cache for a whole batch: what one op writes, the next
 * one reads from memory. Consecutive ops with such activations therefore form a segment: all its
 * steps run for one sub-batch before they run for the next. Blocks that are alive within a segment
 * only need memory for one sub-batch. Ops on small activations run for the whole batch, because
 * their weight gradients would have to be added up once per sub-batch.
 */
#include "model/nn/plan_private.h"

#include "io/alloc.h"
#include "model/nn/int_math.h"

#include <omp.h>

enum {
    PIXELS_MIN = 1024,             /* of activations that are processed in sub-batches */
    BYTES_PER_THREAD = 2 * 1048576 /* of the largest activation of a sub-batch */
};

static int64_t pixels_of(const tensor *t) { return t->shape[1] * t->shape[2]; }

/* The maximum over an op's inputs and output of their pixels. */
static int64_t op_pixels(const plan_op *p) {
    int64_t pixels = pixels_of(&p->run.out);
    for (int k = 0; k < p->run.op->inputs; k++) pixels = max_i64(pixels, pixels_of(&p->run.in[k]));
    return pixels;
}

/* Likewise of their bytes per sample. */
static int64_t op_bytes(const plan_op *p) {
    int64_t bytes = tensor_sample_bytes(&p->run.out);
    for (int k = 0; k < p->run.op->inputs; k++)
        bytes = max_i64(bytes, tensor_sample_bytes(&p->run.in[k]));
    return bytes;
}

/* Whether the group of ops with so many pixels may continue beyond op i: it has as many itself, or
 * works on vectors only, or does not run. */
static bool joins(const plan *pl, node i, int64_t pixels) {
    int64_t own = op_pixels(&pl->ops[i]);
    return own == pixels || own == 1 || !plan_runs_forward(pl, i);
}

/* The largest divisor of the batch whose activations of `bytes` per sample fit the caches. */
static int64_t sub_batch_of(int64_t batch, int64_t bytes) {
    int64_t sub_batch = omp_get_max_threads() * (int64_t)BYTES_PER_THREAD / bytes;
    if (sub_batch >= batch) return batch;
    if (sub_batch < 1) sub_batch = 1;
    while (batch % sub_batch != 0) sub_batch--;
    return sub_batch;
}

static void set_sub_batch(plan_op *p, int64_t sub_batch, bool runs) {
    p->sub_batch = sub_batch;
    if (!runs) return;
    p->run.batch = p->run.out.shape[0] = sub_batch;
    for (int k = 0; k < p->run.op->inputs; k++) p->run.in[k].shape[0] = sub_batch;
}

void plan_choose_sub_batches(plan *pl) {
    for (node first = 0, end; first < pl->count; first = end) {
        const int64_t pixels = op_pixels(&pl->ops[first]);
        int64_t bytes = 0;
        end = first + 1;
        if (pixels < PIXELS_MIN || !plan_runs_forward(pl, first)) continue;
        for (node i = first; i < pl->count && joins(pl, i, pixels); i++) {
            if (op_pixels(&pl->ops[i]) != pixels || !plan_runs_forward(pl, i)) continue;
            bytes = max_i64(bytes, op_bytes(&pl->ops[i]));
            end = i + 1;
        }
        for (node i = first; i < end; i++)
            set_sub_batch(&pl->ops[i], sub_batch_of(pl->batch, bytes), plan_runs_forward(pl, i));
    }
}

status plan_find_segments(plan *pl) {
    status st = array_alloc(&pl->segments, pl->step_count, sizeof *pl->segments, "a plan");
    for (int32_t i = 0; st == ST_OK && i < pl->step_count; i++) {
        const int64_t sub_batch = pl->ops[pl->steps[i].op].sub_batch;
        if (i == 0 || i == pl->first_back ||
            sub_batch != pl->segments[pl->segment_count - 1].sub_batch)
            pl->segments[pl->segment_count++] = (plan_segment){.first = i, .sub_batch = sub_batch};
        pl->segments[pl->segment_count - 1].last = i;
    }
    return st;
}

/* The segment of a step if it has sub-batches; NULL if it runs for the whole batch. */
static const plan_segment *sub_batch_segment(const plan *pl, int32_t step) {
    for (int32_t k = 0; k < pl->segment_count; k++) {
        const plan_segment *g = &pl->segments[k];
        if (g->first <= step && step <= g->last) return g->sub_batch < pl->batch ? g : NULL;
    }
    return NULL;
}

/* A block of `bytes` that was written before segment g and is read last within it, before step
 * `next`; NULL if there is none. */
static arena_block *find_free_input(plan *pl, const plan_segment *g, int64_t bytes, int32_t next) {
    for (int64_t b = 0; b < pl->block_count; b++) {
        arena_block *x = &pl->blocks[b];
        if (x->bytes == bytes && x->first < g->first && x->last >= g->first && x->last < next)
            return x;
    }
    return NULL;
}

/* Lets outputs of a segment overwrite inputs of it that are no longer needed, sub-batch by
 * sub-batch. */
static void reuse_inputs(plan *pl, const plan_segment *g) {
    for (int64_t b = 0; b < pl->block_count; b++) {
        arena_block *y = &pl->blocks[b];
        if (y->bytes == 0 || y->first < g->first || y->first > g->last || y->last <= g->last)
            continue;
        arena_block *x = find_free_input(pl, g, y->bytes, y->first);
        if (!x) continue;
        pl->block_info[b].memory_of = x - pl->blocks;
        x->last = y->last;
        y->bytes = 0;
    }
}

/* Blocks that are alive within one segment only shrink to a sub-batch. Those that begin or end in a
 * segment with sub-batches are alive during all of it, because its steps run repeatedly. */
static void fit_block(plan *pl, int64_t b) {
    arena_block *block = &pl->blocks[b];
    const plan_segment *from = sub_batch_segment(pl, block->first);
    const plan_segment *to = sub_batch_segment(pl, block->last);
    if (block->bytes == 0) return;
    if (from && from == to) {
        block->bytes /= pl->batch / from->sub_batch;
        pl->block_info[b].sub_batch = true;
        return;
    }
    if (from) block->first = from->first;
    if (to) block->last = to->last;
}

void plan_fit_blocks_to_segments(plan *pl) {
    for (int32_t k = 0; k < pl->segment_count; k++)
        if (pl->segments[k].sub_batch < pl->batch) reuse_inputs(pl, &pl->segments[k]);
    for (int64_t b = 0; b < pl->block_count; b++) fit_block(pl, b);
}
