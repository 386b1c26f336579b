/* The state machine of the all-reduce. Every bucket passes these stages, always in the order of the
 * buckets, so that all ranks begin their collective operations in the same order:
 *
 *   ready      the bucket is final on this rank
 *   posted     the slices of the other local ranks are copied to shared memory
 *   added      this rank's slice is summed over the node
 *   sent       the exchange of this rank's slice between nodes has begun
 *   combined   this rank's piece is summed over the nodes, and its distribution has begun
 *   returned   all pieces of this rank's slice have arrived
 *   published  the slice is copied to shared memory
 *   collected  the slices of the other local ranks are copied to this rank's gradient
 *
 * When sharded, the last two stages apply to the updated values instead of the sums.
 *
 * Within a node ("local" ranks are those of a node) data pass through small rings in shared memory:
 * SLOTS units of 1 / UNITS of a bucket. The gradient itself is in private memory with large pages,
 * which are faster to write and which shared memory rarely has. The progress of every rank is in
 * shared memory too, counted from the first step on, so that it is never reset. A slot is free when
 * all local ranks have passed it.
 */
#include "pipeline/trainer/reduction.h"
#include "io/log.h"
#include "io/shared.h"
#include "io/alloc.h"
#include "model/nn/kernels/bf16.h"

#include <inttypes.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    BUCKET_MAX = 1 << 19, /* floats: small, because the last bucket is not overlapped */
    BUCKETS_MIN = 16,
    UNITS = 4, /* units of a bucket */
    SLOTS = 8, /* units of a ring */
    PAGE = 4096
};

/* The stages whose progress other ranks read. */
enum { POSTED, ADDED, PUBLISHED, COLLECTED };

/* The shared memory that one rank writes and the ranks of its node read. */
typedef struct window {
    _Atomic int64_t *units; /* by stage: units passed so far; on a page of its own */
    float *out;             /* [SLOTS][slices][room]: a unit of its gradient for each slice */
    float *results;         /* [SLOTS][room]: a unit of its own slice: sums, or updated values */
} window;

/* The exchange of one bucket between nodes. Offsets are in bytes from the beginning of this rank's
 * slice. */
typedef struct node_exchange {
    span slice, piece;
    comm_layout floats;   /* the pieces of the nodes in f32 */
    comm_layout sent;     /* the same in the type that is sent */
    comm_layout received; /* this rank's piece from each node */
    void *wire;           /* the slice in bf16; NULL if f32 is sent */
    void *received_data;  /* [nodes][piece] */
} node_exchange;

struct reduction {
    const comm *world;
    reduction_settings set;
    comm *node;            /* the local ranks */
    comm *across;          /* the ranks of all nodes with the same local rank */
    comm *across_back;     /* the same, for the distribution of sums and values */
    int local, locals;     /* local rank, number of local ranks */
    int slices;            /* ranks of a node that own a slice: the size of the smallest node */
    bool no_shared_memory; /* sharing failed: every rank is a node of its own */
    int nodes, at_node;    /* number of nodes, index of this one in `across` */
    int64_t owner;         /* index of this rank among the owners; -1: it owns nothing */
    gradient_partition partition;
    int64_t room;                  /* floats of the largest unit of a slice */
    shared_memory *memory;         /* NULL: the node has one rank */
    window *window;                /* [locals] */
    float *grad;                   /* of this step; the caller's */
    const float **terms;           /* of the current sum: one for each local rank or each node */
    node_exchange *exchanges;      /* [buckets]; NULL on one node, or if this rank owns no slice */
    int *layouts;                  /* the memory of their comm_layouts */
    float *scratch;                /* the pieces of all nodes in f32 */
    comm_slots *exchange, *spread; /* operations on `across` and on `across_back` */
    const sum_stack *partial;
    int64_t *left;                               /* [buckets]: floats that are not final yet */
    int64_t ready, sent, combined, returned;     /* buckets of this step that passed the stage */
    int64_t values_sent, values_returned;        /* likewise, of updated values */
    int64_t posted, added, published, collected; /* units of this step that passed the stage */
    int64_t before_sums, before_results;         /* units of all earlier steps */
    double seconds;
};

/* ---- grouping of the ranks ---- */

/* The place of a rank in its node. */
typedef struct placement {
    int64_t root, local, locals; /* root: the lowest rank of the node */
} placement;

/* Whether the tree over nodes of the trees within nodes is the tree over all ranks in order. */
static bool in_order(const placement *all, int ranks) {
    bool fits = (all[0].locals & (all[0].locals - 1)) == 0;
    for (int r = 0; r < ranks; r++)
        fits &= all[r].locals == all[0].locals && all[r].local == r % all[0].locals &&
                all[r].root == r - all[r].local;
    return fits;
}

/* Makes groups of at most `together` ranks that share memory; *all = the placements of all ranks,
 * which the caller frees with free(). Collective. */
static status find_placements(reduction *r, int together, placement **all) {
    status st;
    int64_t bytes = 0;
    placement mine = {.root = comm_rank(r->world)};
    TRY(comm_split_node(r->world, together, &r->node));
    mine.local = r->local = comm_rank(r->node);
    mine.locals = r->locals = comm_size(r->node);
    TRY(comm_broadcast(r->node, &mine.root, sizeof mine.root, 0));
    TRY(comm_all_gather(r->world, &mine, sizeof mine, (void **)all, &bytes, NULL));
done:
    return st;
}

/* Groups the ranks within and across nodes. If the groups do not give the ordered tree, every rank
 * is a node of its own. Collective. */
static status group_ranks(reduction *r, int together) {
    status st;
    placement *all = NULL;
    int ranks = comm_size(r->world);
    TRY(find_placements(r, together, &all));
    if (r->set.ordered && !in_order(all, ranks)) {
        comm_free(r->node);
        r->node = NULL;
        free(all);
        all = NULL;
        TRY(find_placements(r, 1, &all));
    }
    r->slices = (int)all[0].locals;
    for (int i = 0; i < ranks; i++) {
        r->nodes += all[i].local == 0;
        if (all[i].locals < r->slices) r->slices = (int)all[i].locals;
    }
    int colour = r->local < r->slices ? r->local : r->slices;
    TRY(comm_split(r->world, colour, &r->across));
    TRY(comm_split(r->world, colour, &r->across_back));
    r->at_node = comm_rank(r->across);
    /* Owners are numbered by local rank, then by node. */
    r->owner = r->local < r->slices ? (int64_t)r->local * r->nodes + r->at_node : -1;
done:
    free(all);
    return st;
}

/* ---- memory ---- */

/* The slice of bucket b that a local rank sums; empty if it owns none. */
static span slice_of(const reduction *r, int64_t b, int local) {
    if (local >= r->slices) return (span){0};
    return partition_piece(&r->partition, b, (int64_t)local * r->nodes, r->nodes);
}

/* A unit of the slice of a local rank. */
static span unit_of(const reduction *r, int64_t unit, int local) {
    span s = slice_of(r, unit / UNITS, local);
    int64_t k = unit % UNITS, from = s.count * k / UNITS;
    return (span){.at = s.at + from, .count = s.count * (k + 1) / UNITS - from};
}

static int64_t unit_count(const reduction *r) { return r->partition.buckets * UNITS; }

static int64_t largest_unit(const reduction *r) {
    int64_t max = 1;
    for (int64_t u = 0; u < unit_count(r); u++)
        for (int l = 0; l < r->slices; l++) {
            int64_t count = unit_of(r, u, l).count;
            if (count > max) max = count;
        }
    return max;
}

/* Creates the shared memory of the node; *shared: its ranks can share memory. Collective on the
 * node.
 */
static status create_memory(reduction *r, bool *shared) {
    status st = ST_OK;
    const int64_t line = 16; /* floats of a cache line */
    *shared = true;
    if (r->locals == 1) return ST_OK;
    r->room = (largest_unit(r) + line - 1) / line * line;
    int64_t floats = SLOTS * r->room * (r->slices + 1);
    TRY(shared_memory_create(r->node, PAGE + floats * (int64_t)sizeof(float), &r->memory));
    *shared = r->memory != NULL;
done:
    return st;
}

static status lay_out_memory(reduction *r) {
    status st = ST_OK;
    TRY(array_alloc(&r->terms, r->locals > r->nodes ? r->locals : r->nodes, sizeof *r->terms,
                    "a reduction"));
    TRY(array_alloc(&r->left, r->partition.buckets, sizeof *r->left, "a reduction"));
    if (!r->memory) goto done;
    TRY(array_alloc(&r->window, r->locals, sizeof *r->window, "a reduction"));
    for (int l = 0; l < r->locals; l++) {
        char *at = shared_memory_of(r->memory, l);
        float *out = (float *)(void *)(at + PAGE);
        r->window[l] =
            (window){.units = (void *)at, .out = out, .results = out + SLOTS * r->room * r->slices};
    }
done:
    return st;
}

/* Where local rank `from` writes a unit of its gradient for the slice of local rank `to`. */
static float *out_slot(const reduction *r, int from, int to, int64_t unit) {
    int64_t slot = (r->before_sums + unit) % SLOTS;
    return r->window[from].out + (slot * r->slices + to) * r->room;
}

/* Where local rank `from` writes a unit of its results. */
static float *result_slot(const reduction *r, int from, int64_t unit) {
    return r->window[from].results + (r->before_results + unit) % SLOTS * r->room;
}

/* Publishes this rank's progress. Its writes before the call are visible to a rank that reads it.
 */
static void set_progress(reduction *r, int stage, int64_t units) {
    atomic_store_explicit(&r->window[r->local].units[stage], units, memory_order_release);
}

/* The units that all local ranks have passed, counted from `before` on. */
static int64_t min_progress(const reduction *r, int stage, int64_t before) {
    int64_t min = INT64_MAX;
    for (int l = 0; l < r->locals; l++) {
        int64_t units =
            atomic_load_explicit(&r->window[l].units[stage], memory_order_acquire) - before;
        if (units < min) min = units;
    }
    return min;
}

/* ---- between nodes ---- */

/* Whether this rank owns a slice. */
static bool has_slice(const reduction *r) { return r->local < r->slices; }

/* layout: 6 arrays of r->nodes ints, the memory of the three comm_layouts. */
static status lay_out_bucket(reduction *r, int64_t b, int *layout) {
    status st = ST_OK;
    node_exchange *t = &r->exchanges[b];
    const int float_bytes = sizeof(float), unit = r->set.bf16 ? sizeof(bf16) : sizeof(float);
    int nodes = r->nodes;
    t->slice = partition_piece(&r->partition, b, (int64_t)r->local * nodes, nodes);
    t->piece = partition_piece(&r->partition, b, (int64_t)r->local * nodes + r->at_node, 1);
    for (int m = 0; m < nodes; m++) {
        span p = partition_piece(&r->partition, b, (int64_t)r->local * nodes + m, 1);
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
    TRY(pages_alloc(&t->received_data, nodes * t->piece.count * unit, "gradients of other nodes"));
    if (r->set.bf16) TRY(pages_alloc(&t->wire, t->slice.count * unit, "gradients in bf16"));
done:
    return st;
}

static status lay_out_exchanges(reduction *r) {
    status st = ST_OK;
    int64_t max = 0, nodes = r->nodes;
    if (nodes == 1 || !has_slice(r)) return ST_OK;
    TRY(array_alloc(&r->exchanges, r->partition.buckets, sizeof *r->exchanges, "a reduction"));
    TRY(array_alloc(&r->layouts, r->partition.buckets, 6 * nodes * (int64_t)sizeof(int),
                    "a reduction"));
    for (int64_t b = 0; b < r->partition.buckets; b++) {
        TRY(lay_out_bucket(r, b, r->layouts + 6 * nodes * b));
        if (r->exchanges[b].piece.count > max) max = r->exchanges[b].piece.count;
    }
    TRY(array_alloc(&r->scratch, nodes * max, sizeof(float), "gradients of other nodes"));
    TRY(comm_slots_create(r->across, r->partition.buckets, &r->exchange));
    TRY(comm_slots_create(r->across_back, r->partition.buckets, &r->spread));
done:
    return st;
}

/* Aborts all ranks if an operation between nodes failed, with the operation, the bucket and the
 * message of the failure. A status would not help: the partners of this rank would wait for ever,
 * and an agreement needs the connection that has just failed. */
static void abort_on_failure(const reduction *r, status st, const char *operation, int64_t bucket) {
    if (st == ST_OK) return;
    char reason[1024];
    snprintf(reason, sizeof reason,
             "all-reduce of gradients, %s bucket %" PRId64 " of %" PRId64 ": %s", operation, bucket,
             r->partition.buckets, status_message());
    comm_abort(r->world, reason);
}

static void round_to_bf16(const float *x, bf16 *y, int64_t n) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = bf16_from_f32(x[i]);
}

static void expand_from_bf16(const bf16 *x, float *y, int64_t n) {
#pragma omp parallel for simd schedule(static)
    for (int64_t i = 0; i < n; i++) y[i] = bf16_to_f32(x[i]);
}

/* Begins to send this rank's slice to the other nodes. */
static void begin_exchange(reduction *r, int64_t b) {
    node_exchange *t = &r->exchanges[b];
    const float *slice = r->grad + t->slice.at;
    if (r->set.bf16) round_to_bf16(slice, t->wire, t->slice.count);
    status st = comm_all_to_all_begin(r->exchange, b, r->set.bf16 ? t->wire : (const void *)slice,
                                      &t->sent, t->received_data, &t->received);
    abort_on_failure(r, st, "sending", b);
}

/* Sums this rank's piece over the nodes and, unless sharded, begins to distribute it. */
static void combine(reduction *r, int64_t b) {
    node_exchange *t = &r->exchanges[b];
    int64_t n = t->piece.count;
    float *slice = r->grad + t->slice.at, *piece = r->grad + t->piece.at;
    const float *x = t->received_data;
    if (r->set.bf16) {
        expand_from_bf16(t->received_data, r->scratch, r->nodes * n);
        x = r->scratch;
    }
    for (int m = 0; m < r->nodes; m++) r->terms[m] = x + m * n;
    tree_sum(r->terms, r->nodes, n, piece);
    if (r->set.sharded) return;
    if (r->set.bf16) round_to_bf16(piece, (bf16 *)t->wire + (t->piece.at - t->slice.at), n);
    status st =
        comm_all_gather_begin(r->spread, b, r->set.bf16 ? t->wire : (void *)slice, &t->sent);
    abort_on_failure(r, st, "distributing", b);
}

/* Whether the operation of a bucket has ended. */
static bool arrived(reduction *r, comm_slots *slots, int64_t b) {
    bool done = false;
    abort_on_failure(r, comm_slot_done(slots, b, &done), "receiving", b);
    return done;
}

/* ---- within the node ---- */

/* Copies finished units to shared memory while the ring has free slots: a slot is free when all
 * local ranks have added its unit. */
static void post(reduction *r) {
    int64_t end = r->ready * UNITS;
    int64_t room = min_progress(r, ADDED, r->before_sums) + SLOTS;
    for (; r->posted < end && r->posted < room; r->posted++)
        for (int l = 0; l < r->slices; l++) {
            span s = unit_of(r, r->posted, l);
            if (l != r->local)
                memcpy(out_slot(r, r->local, l, r->posted), r->grad + s.at,
                       (size_t)s.count * sizeof *r->grad);
        }
    set_progress(r, POSTED, r->before_sums + r->posted);
}

/* Sums the units of this rank's slice that all local ranks have posted. */
static void add_slices(reduction *r) {
    int64_t ready = min_progress(r, POSTED, r->before_sums);
    for (; r->added < ready; r->added++) {
        span s = unit_of(r, r->added, r->local);
        for (int l = 0; l < r->locals && s.count > 0; l++)
            r->terms[l] = l == r->local ? r->grad + s.at : out_slot(r, l, r->local, r->added);
        if (s.count > 0) tree_sum(r->terms, r->locals, s.count, r->grad + s.at);
    }
    set_progress(r, ADDED, r->before_sums + r->added);
}

/* Publishes this rank's slices of the first `buckets` buckets of `whole` in shared memory, and
 * copies those that the other local ranks have published to `whole`. */
static void share_results(reduction *r, float *whole, int64_t buckets) {
    int64_t end = buckets * UNITS;
    if (!r->memory) {
        r->published = r->collected = end;
        return;
    }
    int64_t room = min_progress(r, COLLECTED, r->before_results) + SLOTS;
    for (; r->published < end && r->published < room; r->published++) {
        span s = unit_of(r, r->published, r->local);
        memcpy(result_slot(r, r->local, r->published), whole + s.at,
               (size_t)s.count * sizeof *whole);
    }
    set_progress(r, PUBLISHED, r->before_results + r->published);
    int64_t ready = min_progress(r, PUBLISHED, r->before_results);
    for (; r->collected < ready; r->collected++)
        for (int l = 0; l < r->slices; l++) {
            span s = unit_of(r, r->collected, l);
            if (l != r->local)
                memcpy(whole + s.at, result_slot(r, l, r->collected),
                       (size_t)s.count * sizeof *whole);
        }
    set_progress(r, COLLECTED, r->before_results + r->collected);
}

/* All results of this round are collected; starts the next round. */
static void end_results(reduction *r) {
    r->before_results += unit_count(r);
    r->published = r->collected = 0;
}

/* Converts a slice that has returned in bf16. */
static void unpack_slice(reduction *r, int64_t b) {
    node_exchange *t = &r->exchanges[b];
    if (!r->set.sharded && r->set.bf16)
        expand_from_bf16(t->wire, r->grad + t->slice.at, t->slice.count);
}

/* Advances every bucket as far as possible without waiting. */
static void advance(reduction *r) {
    if (r->memory) {
        post(r);
        add_slices(r);
    } else {
        r->posted = r->added = r->ready * UNITS;
    }
    bool remote = r->exchanges != NULL;
    for (; r->sent < r->added / UNITS; r->sent++)
        if (remote) begin_exchange(r, r->sent);
    if (!remote) r->combined = r->returned = r->sent;
    for (; r->combined < r->sent && arrived(r, r->exchange, r->combined); r->combined++)
        combine(r, r->combined);
    for (; r->returned < r->combined && arrived(r, r->spread, r->returned); r->returned++)
        unpack_slice(r, r->returned);
    if (!r->set.sharded) share_results(r, r->grad, r->returned);
}

/* ---- the step ---- */

void reduction_begin(reduction *r, float *gradient, const sum_stack *partial) {
    r->seconds = 0;
    r->grad = gradient;
    r->partial = partial;
    r->ready = r->sent = r->combined = r->returned = 0;
    r->posted = r->added = 0;
    for (int64_t b = 0; b < r->partition.buckets; b++)
        r->left[b] = partition_bucket(&r->partition, b).count;
}

status reduction_ready(void *reduction_, int64_t offset, int64_t count) {
    reduction *r = reduction_;
    int64_t end = offset + count;
    double began = log_seconds();
    for (int64_t at = offset; at < end;) {
        int64_t b = partition_bucket_at(&r->partition, at);
        span s = partition_bucket(&r->partition, b);
        int64_t to = s.at + s.count < end ? s.at + s.count : end;
        r->left[b] -= to - at;
        at = to;
    }
    for (; r->ready < r->partition.buckets && r->left[r->ready] == 0; r->ready++) {
        span s = partition_bucket(&r->partition, r->ready);
        if (r->partial) sum_stack_add_to(r->partial, r->grad, s.at, s.count);
    }
    advance(r);
    r->seconds += log_seconds() - began;
    return ST_OK;
}

double reduction_seconds(const reduction *r) { return r->seconds; }

/* Lets other ranks run, which may share the processor. */
static void yield_processor(void) { (void)sched_yield(); }

static bool finished(const reduction *r) {
    return r->set.sharded ? r->returned == r->partition.buckets : r->collected == unit_count(r);
}

void reduction_finish(reduction *r) {
    r->ready = r->partition.buckets;
    for (advance(r); !finished(r); advance(r)) yield_processor();
    r->before_sums += unit_count(r);
    if (!r->set.sharded) end_results(r);
}

/* Advances updated values as far as possible without waiting. */
static void advance_values(reduction *r, float *value, int64_t buckets) {
    for (; r->values_sent < buckets; r->values_sent++)
        if (r->exchanges)
            abort_on_failure(r,
                             comm_all_gather_begin(r->spread, r->values_sent,
                                                   value + r->exchanges[r->values_sent].slice.at,
                                                   &r->exchanges[r->values_sent].floats),
                             "distributing the values of", r->values_sent);
    while (r->values_returned < r->values_sent &&
           (!r->exchanges || arrived(r, r->spread, r->values_returned)))
        r->values_returned++;
    share_results(r, value, r->values_returned);
}

void reduction_updated(reduction *r, float *value, int64_t buckets) {
    double began = log_seconds();
    advance_values(r, value, buckets);
    r->seconds += log_seconds() - began;
}

void reduction_distribute(reduction *r, float *value) {
    for (;; yield_processor()) {
        advance_values(r, value, r->partition.buckets);
        if (r->collected == unit_count(r)) break;
    }
    r->values_sent = r->values_returned = 0;
    end_results(r);
}

/* ---- creation and destruction ---- */

/* Floats of a bucket for a buffer of n floats. */
static int64_t bucket_size(int64_t n) {
    int64_t bucket = n / BUCKETS_MIN;
    return bucket < BUCKET_MAX ? bucket : BUCKET_MAX;
}

/* Sets up *r. *shared: all nodes can share memory; otherwise *r is incomplete. Collective. */
static status set_up(reduction *r, int64_t n, int together, bool *shared) {
    status st;
    int64_t failures = 0;
    TRY(group_ranks(r, together));
    r->partition = partition_of(n, (int64_t)r->slices * r->nodes, bucket_size(n));
    if (r->set.sharded == SHARDED_IN_NODE)
        r->set.sharded = r->nodes == 1 && r->locals > 1 ? SHARDED_YES : SHARDED_NO;
    TRY(comm_agree(r->world, create_memory(r, shared)));
    failures = *shared ? 0 : 1;
    TRY(comm_sum_i64(r->world, &failures, 1));
    *shared = failures == 0;
    if (!*shared) goto done;
    st = lay_out_memory(r);
    if (st == ST_OK) st = lay_out_exchanges(r);
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
    do { /* if memory cannot be shared, a second time with every rank as a node of its own */
        reduction_destroy(r);
        r = NULL;
        TRY(comm_agree(c, array_alloc(&r, 1, sizeof *r, "a reduction")));
        r->world = c;
        r->set = *settings;
        r->no_shared_memory = !shared;
        TRY(set_up(r, n, r->no_shared_memory ? 1 : together, &shared));
    } while (!shared);
    *out = r;
    r = NULL;
done:
    reduction_destroy(r);
    return st;
}

void reduction_destroy(reduction *r) {
    if (!r) return;
    for (int64_t b = 0; r->exchanges && b < r->partition.buckets; b++) {
        free(r->exchanges[b].wire);
        free(r->exchanges[b].received_data);
    }
    comm_slots_free(r->exchange);
    comm_slots_free(r->spread);
    comm_free(r->across_back);
    comm_free(r->across);
    comm_free(r->node);
    shared_memory_free(r->memory);
    free(r->exchanges);
    free(r->layouts);
    free(r->scratch);
    free(r->window);
    free(r->terms);
    free(r->left);
    free(r);
}

bool reduction_is_sharded(const reduction *r) { return r->set.sharded == SHARDED_YES; }
bool reduction_lacks_shared_memory(const reduction *r) { return r->no_shared_memory; }
const gradient_partition *reduction_partition(const reduction *r) { return &r->partition; }
int64_t reduction_owner(const reduction *r) { return r->owner; }

span reduction_owned(const reduction *r, int64_t bucket) {
    if (r->owner < 0) return (span){0};
    return partition_piece(&r->partition, bucket, r->owner, 1);
}
