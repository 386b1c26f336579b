/* Which ops are run for a few samples at a time, and which steps go together then.
 *
 * Maps of many pixels, of a whole batch, are too large for the cache: what one op writes the next
 * reads from memory. Where neighbouring ops have such maps, all of them are run for a portion of
 * the batch before the next portion comes: a passage. What lives within it needs memory for a
 * portion only. Small maps stay whole: weight gradients, added up once a portion, would cost more
 * than is gained.
 */
#include "model/nn/plan_private.h"

#include "io/alloc.h"
#include "model/nn/int_math.h"

#include <omp.h>

enum {
    PIXELS = 1024,     /* of a map that is worth it */
    ROOM = 2 * 1048576 /* bytes a thread of the largest map of a portion */
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

/* As many samples as there is room for, so that portions are alike. */
static int64_t portion_of(int64_t batch, int64_t bytes) {
    int64_t portion = omp_get_max_threads() * (int64_t)ROOM / bytes;
    if (portion >= batch) return batch;
    if (portion < 1) portion = 1;
    while (batch % portion != 0) portion--;
    return portion;
}

static void set_portion(plan_op *p, int64_t portion, bool runs) {
    p->portion = portion;
    if (!runs) return;
    p->run.batch = p->run.out.shape[0] = portion;
    for (int k = 0; k < p->run.op->inputs; k++) p->run.in[k].shape[0] = portion;
}

void plan_choose_portions(plan *pl) {
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
            set_portion(&pl->ops[i], portion_of(pl->batch, bytes), plan_runs_forward(pl, i));
    }
}

status plan_find_passages(plan *pl) {
    status st = array_alloc(&pl->passages, pl->step_count, sizeof *pl->passages, "a plan");
    for (int32_t i = 0; st == ST_OK && i < pl->step_count; i++) {
        const int64_t portion = pl->ops[pl->steps[i].op].portion;
        if (i == 0 || i == pl->first_back || portion != pl->passages[pl->passage_count - 1].portion)
            pl->passages[pl->passage_count++] = (plan_passage){.first = i, .portion = portion};
        pl->passages[pl->passage_count - 1].last = i;
    }
    return st;
}

/* The passage around a step whose ops see a portion only; NULL: it is whole. */
static const plan_passage *cut_around(const plan *pl, int32_t step) {
    for (int32_t k = 0; k < pl->passage_count; k++) {
        const plan_passage *g = &pl->passages[k];
        if (g->first <= step && step <= g->last) return g->portion < pl->batch ? g : NULL;
    }
    return NULL;
}

/* A block of the passage that comes from before it, is done before step `next`, and so big. */
static arena_block *find_done(plan *pl, const plan_passage *g, int64_t bytes, int32_t next) {
    for (int64_t b = 0; b < pl->block_count; b++) {
        arena_block *x = &pl->blocks[b];
        if (x->bytes == bytes && x->first < g->first && x->last >= g->first && x->last < next)
            return x;
    }
    return NULL;
}

/* What leaves a passage takes the place of what came into it, portion by portion. */
static void succeed(plan *pl, const plan_passage *g) {
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

/* Blocks that are alive within a passage only shrink to a portion; others that begin or end in one
 * live as long as it lasts. */
static void fit(plan *pl, int64_t b) {
    arena_block *block = &pl->blocks[b];
    const plan_passage *from = cut_around(pl, block->first), *to = cut_around(pl, block->last);
    if (block->bytes == 0) return;
    if (from && from == to) {
        block->bytes /= pl->batch / from->portion;
        pl->about[b].portion = true;
        return;
    }
    if (from) block->first = from->first;
    if (to) block->last = to->last;
}

void plan_cut_blocks(plan *pl) {
    for (int32_t k = 0; k < pl->passage_count; k++)
        if (pl->passages[k].portion < pl->batch) succeed(pl, &pl->passages[k]);
    for (int64_t b = 0; b < pl->block_count; b++) fit(pl, b);
}
