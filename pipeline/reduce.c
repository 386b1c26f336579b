/* Every bucket passes these stations, always in the order of the buckets, so that all ranks begin
 * their collective operations alike:
 *
 *   ready     finished on this rank
 *   summed    this rank's slice is summed over the node, and its exchange between nodes begun
 *   combined  this rank's piece is summed over the nodes, and its way back begun
 *   done      the sums lie in the memory of all ranks of the node
 *
 * How far each rank of the node has come (ready, done) stands in shared memory, counted from the
 * first step on, so that nothing need be reset.
 */
#include "pipeline/reduce.h"
#include "io/log.h"
#include "io/shared.h"
#include "io/span.h"
#include "model/nn/bf16.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum {
    BUCKET = 1 << 19, /* floats at most: small enough to leave little for the end */
    BUCKETS_LEAST = 16,
    PAGE = 4096
};

/* One rank's, on a page of its own. */
typedef struct flags {
    _Atomic int64_t ready, done;
    _Atomic int64_t values; /* steps whose updated values lie ready */
} flags;

/* One bucket between nodes. Places are in bytes from the beginning of this rank's slice. */
typedef struct traffic {
    span slice, piece;
    comm_layout floats;   /* of the nodes' pieces, in f32 */
    comm_layout sent;     /* the same as the wire has them */
    comm_layout received; /* this rank's piece, from each node */
    void *wire;           /* the slice in bf16; NULL in f32 */
    void *inbox;
} traffic;

struct reduction {
    const comm *world;
    reduction_settings set;
    comm *node, *across, *back; /* across: the ranks of the same place; back: for sums' way back */
    int local, locals;          /* place in the node */
    int slices;                 /* ranks of a node that carry: as many as the smallest node has */
    int nodes, at_node;
    int64_t *owner_of; /* ranks of the world */
    shards shards;
    shared_memory *memory; /* NULL: this rank alone */
    char *own;
    flags **flags; /* locals */
    float **grad, **value;
    const float **from; /* what is being added up: of each local or each node */
    traffic *traffic;   /* buckets; NULL on one node */
    int *layouts;
    float *scratch; /* pieces of all nodes, in f32 */
    comm_slots *exchange, *spread;
    const sum_stack *partial;
    int64_t *left; /* floats of each bucket that are not finished */
    int64_t step, ready, summed, combined, done;
    double seconds;
};

/* ---- who is where ---- */

typedef struct seat {
    int64_t root, local, locals; /* the node's lowest rank */
} seat;

/* Whether the tree over nodes of trees in nodes is the tree over ranks. */
static bool in_order(const seat *all, int ranks) {
    bool fits = (all[0].locals & (all[0].locals - 1)) == 0;
    for (int r = 0; r < ranks; r++)
        fits &= all[r].locals == all[0].locals && all[r].local == r % all[0].locals &&
                all[r].root == r - all[r].local;
    return fits;
}

/* Splits off the ranks that share memory, at most `together`, and says who they are. */
static status find_seats(reduction *r, int together, seat **all) {
    status st;
    int64_t bytes = 0;
    seat mine = {.root = comm_rank(r->world)};
    TRY(comm_split_node(r->world, together, &r->node));
    mine.local = r->local = comm_rank(r->node);
    mine.locals = r->locals = comm_size(r->node);
    TRY(comm_broadcast(r->node, &mine.root, sizeof mine.root, 0));
    TRY(comm_all_gather(r->world, &mine, sizeof mine, (void **)all, &bytes, NULL));
done:
    return st;
}

static status settle(reduction *r, int together) {
    status st;
    seat *all = NULL;
    int ranks = comm_size(r->world);
    TRY(find_seats(r, together, &all));
    if (r->set.ordered && !in_order(all, ranks)) {
        comm_free(r->node);
        r->node = NULL;
        free(all);
        all = NULL;
        TRY(find_seats(r, 1, &all));
    }
    r->slices = (int)all[0].locals;
    for (int i = 0; i < ranks; i++) {
        r->nodes += all[i].local == 0;
        if (all[i].locals < r->slices) r->slices = (int)all[i].locals;
    }
    int colour = r->local < r->slices ? r->local : r->slices;
    TRY(comm_split(r->world, colour, &r->across));
    TRY(comm_split(r->world, colour, &r->back));
    r->at_node = comm_rank(r->across);
    TRY(comm_agree(r->world, array_alloc(&r->owner_of, ranks, sizeof *r->owner_of, "owners")));
    for (int i = 0; i < ranks; i++) {
        int before = 0; /* nodes whose lowest rank is lower: their order in `across` */
        for (int k = 0; k < i; k++) before += all[k].local == all[i].local;
        r->owner_of[i] = all[i].local < r->slices ? all[i].local * r->nodes + before : -1;
    }
done:
    free(all);
    return st;
}

/* ---- memory ---- */

static void place(reduction *r, int local, char *at) {
    int64_t room = (r->shards.n * (int64_t)sizeof(float) + PAGE - 1) / PAGE * PAGE;
    r->flags[local] = (flags *)(void *)at;
    r->grad[local] = (float *)(void *)(at + PAGE);
    r->value[local] = r->set.sharded ? (float *)(void *)(at + PAGE + room) : NULL;
}

/* Collective on the node; *shared says whether its ranks see each other's memory. */
static status find_memory(reduction *r, bool *shared) {
    status st = ST_OK;
    /* Values only where others look at them. */
    int64_t room = r->shards.n * (int64_t)sizeof(float) + PAGE;
    int64_t bytes = PAGE + (r->set.sharded ? 2 : 1) * room;
    *shared = true;
    if (r->locals > 1) {
        TRY(shared_memory_create(r->node, bytes, &r->memory));
        *shared = r->memory != NULL;
    } else {
        TRY(pages_zeroed(&r->own, bytes, "parameters and their gradient"));
    }
done:
    return st;
}

static status lay_out_memory(reduction *r) {
    status st = ST_OK;
    TRY(array_alloc(&r->flags, r->locals, sizeof *r->flags, "a reduction"));
    TRY(array_alloc(&r->grad, r->locals, sizeof *r->grad, "a reduction"));
    TRY(array_alloc(&r->value, r->locals, sizeof *r->value, "a reduction"));
    TRY(array_alloc(&r->from, r->locals > r->nodes ? r->locals : r->nodes, sizeof *r->from,
                    "a reduction"));
    TRY(array_alloc(&r->left, r->shards.buckets, sizeof *r->left, "a reduction"));
    for (int l = 0; l < r->locals; l++)
        place(r, l, r->memory ? shared_memory_of(r->memory, l) : r->own);
done:
    return st;
}

/* ---- between nodes ---- */

static bool carries(const reduction *r) { return r->local < r->slices; }

static status lay_out_bucket(reduction *r, int64_t b, int *layout) {
    status st = ST_OK;
    traffic *t = &r->traffic[b];
    const int float_bytes = sizeof(float), unit = r->set.bf16 ? sizeof(bf16) : sizeof(float);
    int nodes = r->nodes;
    t->slice = shards_piece(&r->shards, b, (int64_t)r->local * nodes, nodes);
    t->piece = shards_piece(&r->shards, b, (int64_t)r->local * nodes + r->at_node, 1);
    for (int m = 0; m < nodes; m++) {
        span p = shards_piece(&r->shards, b, (int64_t)r->local * nodes + m, 1);
        int count = (int)p.count, at = (int)(p.at - t->slice.at);
        layout[m] = count * float_bytes;
        layout[nodes + m] = at * float_bytes;
        layout[2 * nodes + m] = count * unit;
        layout[3 * nodes + m] = at * unit;
        layout[4 * nodes + m] = (int)t->piece.count * unit;
        layout[5 * nodes + m] = m * (int)t->piece.count * unit;
    }
    t->floats = (comm_layout){layout, layout + nodes};
    t->sent = (comm_layout){layout + 2 * nodes, layout + 3 * nodes};
    t->received = (comm_layout){layout + 4 * nodes, layout + 5 * nodes};
    TRY(pages_alloc(&t->inbox, nodes * t->piece.count * unit, "gradients of other nodes"));
    if (r->set.bf16) TRY(pages_alloc(&t->wire, t->slice.count * unit, "gradients in bf16"));
done:
    return st;
}

static status lay_out_traffic(reduction *r) {
    status st = ST_OK;
    int64_t most = 0, nodes = r->nodes;
    if (nodes == 1 || !carries(r)) return ST_OK;
    TRY(array_alloc(&r->traffic, r->shards.buckets, sizeof *r->traffic, "a reduction"));
    TRY(array_alloc(&r->layouts, r->shards.buckets, 6 * nodes * (int64_t)sizeof(int),
                    "a reduction"));
    for (int64_t b = 0; b < r->shards.buckets; b++) {
        TRY(lay_out_bucket(r, b, r->layouts + 6 * nodes * b));
        if (r->traffic[b].piece.count > most) most = r->traffic[b].piece.count;
    }
    TRY(array_alloc(&r->scratch, nodes * most, sizeof(float), "gradients of other nodes"));
    TRY(comm_slots_create(r->across, r->shards.buckets, &r->exchange));
    TRY(comm_slots_create(r->back, r->shards.buckets, &r->spread));
done:
    return st;
}

static void broken(const reduction *r, status st) {
    if (st != ST_OK) comm_abort(r->world, status_message());
}

static void narrow(const float *x, bf16 *y, int64_t n) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from_f32(x[i]);
}

static void widen(const bf16 *x, float *y, int64_t n) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = bf16_to_f32(x[i]);
}

static void begin_exchange(reduction *r, int64_t b) {
    traffic *t = &r->traffic[b];
    const float *slice = r->grad[r->local] + t->slice.at;
    if (r->set.bf16) narrow(slice, t->wire, t->slice.count);
    broken(r, comm_exchange_begin(r->exchange, b, r->set.bf16 ? t->wire : (const void *)slice,
                                  &t->sent, t->inbox, &t->received));
}

/* Sums this rank's piece and begins to send it back. */
static void combine(reduction *r, int64_t b) {
    traffic *t = &r->traffic[b];
    int64_t n = t->piece.count;
    float *slice = r->grad[r->local] + t->slice.at, *piece = r->grad[r->local] + t->piece.at;
    const float *x = t->inbox;
    if (r->set.bf16) {
        widen(t->inbox, r->scratch, r->nodes * n);
        x = r->scratch;
    }
    for (int m = 0; m < r->nodes; m++) r->from[m] = x + m * n;
    tree_sum(r->from, r->nodes, n, piece);
    if (r->set.sharded) return;
    if (r->set.bf16) narrow(piece, (bf16 *)t->wire + (t->piece.at - t->slice.at), n);
    broken(r, comm_spread_begin(r->spread, b, r->set.bf16 ? t->wire : (void *)slice, &t->sent));
}

/* ---- in the node ---- */

static void copy_to_node(reduction *r, span s) {
    for (int l = 0; l < r->locals; l++)
        if (l != r->local)
            memcpy(r->grad[l] + s.at, r->grad[r->local] + s.at, (size_t)s.count * sizeof(float));
}

static span own_slice(const reduction *r, int64_t b, int local) {
    if (local >= r->slices) return (span){0};
    return shards_piece(&r->shards, b, (int64_t)local * r->nodes, r->nodes);
}

static void sum_in_node(reduction *r, int64_t b) {
    span s = own_slice(r, b, r->local);
    for (int l = 0; l < r->locals; l++) r->from[l] = r->grad[l] + s.at;
    if (r->locals > 1) tree_sum(r->from, r->locals, s.count, r->grad[r->local] + s.at);
    if (r->nodes == 1 && !r->set.sharded) copy_to_node(r, s);
}

static void give_back(reduction *r, int64_t b) {
    traffic *t = &r->traffic[b];
    if (r->set.sharded) return;
    if (r->set.bf16) widen(t->wire, r->grad[r->local] + t->slice.at, t->slice.count);
    copy_to_node(r, t->slice);
}

/* The furthest bucket that all ranks of the node have finished. */
static int64_t node_ready(const reduction *r) {
    int64_t least = r->ready, begun = r->step * r->shards.buckets;
    for (int l = 0; l < r->locals; l++) {
        int64_t ready = atomic_load_explicit(&r->flags[l]->ready, memory_order_acquire) - begun;
        if (ready < least) least = ready;
    }
    return least;
}

static bool arrived(reduction *r, comm_slots *slots, int64_t b) {
    bool done = false;
    broken(r, comm_slot_done(slots, b, &done));
    return done;
}

/* Moves every bucket on as far as it goes without waiting. */
static void progress(reduction *r) {
    bool far = r->traffic != NULL;
    for (int64_t ready = node_ready(r); r->summed < ready; r->summed++) {
        sum_in_node(r, r->summed);
        if (far) begin_exchange(r, r->summed);
    }
    if (!far) r->combined = r->done = r->summed;
    for (; r->combined < r->summed && arrived(r, r->exchange, r->combined); r->combined++)
        combine(r, r->combined);
    for (; r->done < r->combined && arrived(r, r->spread, r->done); r->done++)
        give_back(r, r->done);
    atomic_store_explicit(&r->flags[r->local]->done, r->step * r->shards.buckets + r->done,
                          memory_order_release);
}

/* ---- the step ---- */

void reduction_begin(reduction *r, const sum_stack *partial) {
    r->seconds = 0;
    r->partial = partial;
    r->ready = r->summed = r->combined = r->done = 0;
    for (int64_t b = 0; b < r->shards.buckets; b++) r->left[b] = shards_bucket(&r->shards, b).count;
}

static void say_ready(reduction *r) {
    atomic_store_explicit(&r->flags[r->local]->ready, r->step * r->shards.buckets + r->ready,
                          memory_order_release);
}

status reduction_ready(void *reduction_, int64_t offset, int64_t count) {
    reduction *r = reduction_;
    int64_t end = offset + count, before = r->ready;
    double began = log_seconds();
    for (int64_t at = offset; at < end;) {
        int64_t b = shards_bucket_at(&r->shards, at);
        span s = shards_bucket(&r->shards, b);
        int64_t to = s.at + s.count < end ? s.at + s.count : end;
        r->left[b] -= to - at;
        at = to;
    }
    for (; r->ready < r->shards.buckets && r->left[r->ready] == 0; r->ready++) {
        span s = shards_bucket(&r->shards, r->ready);
        if (r->partial) sum_stack_add_to(r->partial, r->grad[r->local], s.at, s.count);
    }
    if (r->ready > before) say_ready(r);
    progress(r);
    r->seconds += log_seconds() - began;
    return ST_OK;
}

double reduction_seconds(const reduction *r) { return r->seconds; }

/* Gives the processor away: ranks may share it. */
static void rest(void) { (void)sched_yield(); }

void reduction_finish(reduction *r) {
    r->ready = r->shards.buckets;
    say_ready(r);
    for (progress(r); r->done < r->shards.buckets; progress(r)) rest();
    r->step++;
    for (int l = 0; l < r->locals; l++)
        while (atomic_load_explicit(&r->flags[l]->done, memory_order_acquire) <
               r->step * r->shards.buckets)
            rest();
}

void reduction_spread(reduction *r) {
    float *value = r->value[r->local];
    if (r->traffic) {
        for (int64_t b = 0; b < r->shards.buckets; b++)
            broken(r, comm_spread_begin(r->spread, b, value + r->traffic[b].slice.at,
                                        &r->traffic[b].floats));
        for (int64_t b = 0; b < r->shards.buckets; b++)
            while (!arrived(r, r->spread, b)) rest();
    }
    atomic_store_explicit(&r->flags[r->local]->values, r->step, memory_order_release);
    for (int l = 0; l < r->locals; l++) {
        if (l == r->local) continue;
        while (atomic_load_explicit(&r->flags[l]->values, memory_order_acquire) < r->step) rest();
        for (int64_t b = 0; b < r->shards.buckets; b++) {
            span s = own_slice(r, b, l);
            memcpy(value + s.at, r->value[l] + s.at, (size_t)s.count * sizeof *value);
        }
    }
}

status reduction_gather(const reduction *r, const float *owned, float *whole) {
    status st;
    int64_t owner = reduction_owner(r), total = 0;
    int64_t mine = owner >= 0 ? shards_owned(&r->shards, owner) : 0;
    float *all = NULL;
    TRY(comm_all_gather(r->world, owned, mine * (int64_t)sizeof *owned, (void **)&all, &total,
                        NULL));
    const float *at = all;
    for (int i = 0; i < comm_size(r->world); i++) {
        if (r->owner_of[i] < 0) continue;
        shards_put(&r->shards, r->owner_of[i], at, whole);
        at += shards_owned(&r->shards, r->owner_of[i]);
    }
done:
    free(all);
    return st;
}

/* ---- its life ---- */

static int64_t bucket_of(int64_t n) {
    int64_t bucket = n / BUCKETS_LEAST;
    return bucket < BUCKET ? bucket : BUCKET;
}

/* Everything but a place to share. */
static status set_up(reduction *r, int64_t n, int together, bool *shared) {
    status st;
    int64_t apart = 0;
    TRY(settle(r, together));
    r->shards = shards_of(n, (int64_t)r->slices * r->nodes, bucket_of(n));
    TRY(comm_agree(r->world, find_memory(r, shared)));
    apart = *shared ? 0 : 1;
    TRY(comm_sum_i64(r->world, &apart, 1));
    *shared = apart == 0;
    if (!*shared) goto done;
    st = lay_out_memory(r);
    if (st == ST_OK) st = lay_out_traffic(r);
    TRY(comm_agree(r->world, st));
done:
    return st;
}

status reduction_create(const comm *c, int64_t n, const reduction_settings *settings,
                        reduction **out) {
    status st = ST_OK;
    reduction *r = NULL;
    bool shared = true;
    int together = settings->together;
    *out = NULL;
    do { /* a second time, each rank for itself, where memory cannot be shared */
        reduction_destroy(r);
        r = NULL;
        TRY(comm_agree(c, array_alloc(&r, 1, sizeof *r, "a reduction")));
        r->world = c;
        r->set = *settings;
        TRY(set_up(r, n, shared ? together : 1, &shared));
    } while (!shared);
    *out = r;
    r = NULL;
done:
    reduction_destroy(r);
    return st;
}

void reduction_destroy(reduction *r) {
    if (!r) return;
    for (int64_t b = 0; r->traffic && b < r->shards.buckets; b++) {
        free(r->traffic[b].wire);
        free(r->traffic[b].inbox);
    }
    comm_slots_free(r->exchange);
    comm_slots_free(r->spread);
    comm_free(r->back);
    comm_free(r->across);
    comm_free(r->node);
    shared_memory_free(r->memory);
    free(r->own);
    free(r->traffic);
    free(r->layouts);
    free(r->scratch);
    free(r->owner_of);
    free(r->flags);
    free(r->grad);
    free(r->value);
    free(r->from);
    free(r->left);
    free(r);
}

float *reduction_gradient(reduction *r) { return r->grad[r->local]; }
float *reduction_values(reduction *r) { return r->value[r->local]; }
const shards *reduction_shards(const reduction *r) { return &r->shards; }
int64_t reduction_owner(const reduction *r) { return r->owner_of[comm_rank(r->world)]; }
