/* Which ops are run for a few samples at a time, and which steps go together then.
 *
 * Maps of many pixels, of a whole batch, are too large for the cache: what one op writes the next
 * reads from memory. Where neighbouring ops have such maps, all of them are run for a sub-batch of
 * the batch before the next sub-batch comes: a segment. What lives within it needs memory for a
 * sub-batch only. Small maps stay whole: weight gradients, added up once a sub-batch, would cost
 * more than is gained.
 */
#include "model/nn/plan_private.h"

#include "io/alloc.h"
#include "model/nn/int_math.h"

#include <omp.h>

enum {
    PIXELS = 1024,     /* of a map that is worth it */
    ROOM = 2 * 1048576 /* bytes a thread of the largest map of a sub-batch */
};

static int64_t pixels_of(const tensor *t) { return t->shape[1] * t->shape[2]; }

/* The most pixels, and the most bytes a sample, of what an op reads and writes. */
static int64_t op_pixels(const plan_op *p) {
    int64_t pixels = pixels_of(&p->run.out);
    for (int k = 0; k < p->run.op->inputs; k++) pixels = max_i64(pixels, pixels_of(&p->run.in[k]));
    return pixels;
}

static int64_t op_bytes(const plan_op *p) {
    int64_t bytes = tensor_sample_bytes(&p->run.out);
    for (int k = 0; k < p->run.op->inputs; k++)
        bytes = max_i64(bytes, tensor_sample_bytes(&p->run.in[k]));
    return bytes;
}

/* An op between others does not part them if it has but vectors, or is not run. */
static bool joins(const plan *pl, node i, int64_t pixels) {
    int64_t own = op_pixels(&pl->ops[i]);
    return own == pixels || own == 1 || !plan_runs_forward(pl, i);
}

/* As many samples as there is room for, so that sub-batches are alike. */
static int64_t sub_batch_of(int64_t batch, int64_t bytes) {
    int64_t sub_batch = omp_get_max_threads() * (int64_t)ROOM / bytes;
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
        if (pixels < PIXELS || !plan_runs_forward(pl, first)) continue;
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

/* The segment around a step whose ops see a sub-batch only; NULL: it is whole. */
static const plan_segment *cut_around(const plan *pl, int32_t step) {
    for (int32_t k = 0; k < pl->segment_count; k++) {
        const plan_segment *g = &pl->segments[k];
        if (g->first <= step && step <= g->last) return g->sub_batch < pl->batch ? g : NULL;
    }
    return NULL;
}

/* A block of the segment that comes from before it, is done before step `next`, and so big. */
static arena_block *find_done(plan *pl, const plan_segment *g, int64_t bytes, int32_t next) {
    for (int64_t b = 0; b < pl->block_count; b++) {
        arena_block *x = &pl->blocks[b];
        if (x->bytes == bytes && x->first < g->first && x->last >= g->first && x->last < next)
            return x;
    }
    return NULL;
}

/* What leaves a segment takes the place of what came into it, sub-batch by sub-batch. */
static void succeed(plan *pl, const plan_segment *g) {
    for (int64_t b = 0; b < pl->block_count; b++) {
        arena_block *y = &pl->blocks[b];
        if (y->bytes == 0 || y->first < g->first || y->first > g->last || y->last <= g->last)
            continue;
        arena_block *x = find_done(pl, g, y->bytes, y->first);
        if (!x) continue;
        pl->about[b].place = x - pl->blocks;
        x->last = y->last;
        y->bytes = 0;
    }
}

/* Blocks that are alive within a segment only shrink to a sub-batch; others that begin or end in
 * one live as long as it lasts. */
static void fit(plan *pl, int64_t b) {
    arena_block *block = &pl->blocks[b];
    const plan_segment *from = cut_around(pl, block->first), *to = cut_around(pl, block->last);
    if (block->bytes == 0) return;
    if (from && from == to) {
        block->bytes /= pl->batch / from->sub_batch;
        pl->about[b].sub_batch = true;
        return;
    }
    if (from) block->first = from->first;
    if (to) block->last = to->last;
}

void plan_cut_blocks(plan *pl) {
    for (int32_t k = 0; k < pl->segment_count; k++)
        if (pl->segments[k].sub_batch < pl->batch) succeed(pl, &pl->segments[k]);
    for (int64_t b = 0; b < pl->block_count; b++) fit(pl, b);
}
