/* Every bucket passes these stations, always in the order of the buckets, so that all ranks begin
 * their collective operations alike:
 *
 *   ready     finished on this rank
 *   posted    the others' slices lie where the ranks of the node see them
 *   added     this rank's slice is summed over the node
 *   sent      its exchange between nodes has begun
 *   combined  this rank's piece is summed over the nodes, and its way back begun
 *   home      all of this rank's slice has come back
 *   given     the slice lies where the ranks of the node see it
 *   taken     the slices of the others lie in this rank's gradient
 *
 * When sharded, it is values that are given and taken, once they are updated.
 *
 * What ranks see of each other is little and used again and again: rings of SLOTS units, PARTS
 * units a bucket. The gradient itself stays in memory of the rank's own, in large pages, which
 * shared memory rarely has: on a machine where small pages are dear a step that wrote its gradient
 * to them was 10 % slower. How far each rank has come stands in shared memory too, counted from the
 * first step on, so that nothing need be reset; a slot is free when all have passed it.
 */
#include "pipeline/trainer/reduction.h"
#include "io/log.h"
#include "io/shared.h"
#include "io/alloc.h"
#include "model/nn/kernels/bf16.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

enum {
    BUCKET = 1 << 19, /* floats at most: small enough to leave little for the end */
    BUCKETS_MIN = 16,
    PARTS = 4, /* units of a bucket */
    SLOTS = 8, /* units of a ring */
    PAGE = 4096
};

/* The stations that others ask for. */
enum { POSTED, ADDED, GIVEN, TAKEN };

/* What the ranks of the node see of one. */
typedef struct window {
    _Atomic int64_t *units; /* by station: passed so far, on a page of its own */
    float *out;             /* SLOTS of a part of each slice: its own gradient */
    float *results;         /* SLOTS of a part of its own slice: sums, or values */
} window;

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
    comm *node, *across, *back; /* across: the ranks of the same place; back: for what returns */
    int local, locals;          /* place in the node */
    int slices;                 /* ranks of a node that carry: as many as the smallest node has */
    bool apart;                 /* memory could not be shared: every rank is a node */
    int nodes, at_node;
    int64_t owner; /* this rank's place among the owners; -1: it owns nothing */
    gradient_partition partition;
    int64_t room;          /* floats of the longest part of a slice */
    shared_memory *memory; /* NULL: this rank alone */
    window *window;        /* locals */
    float *grad;           /* of this step: the caller's */
    const float **from;    /* what is being added up: of each local or each node */
    traffic *traffic;      /* buckets; NULL on one node */
    int *layouts;
    float *scratch; /* pieces of all nodes, in f32 */
    comm_slots *exchange, *spread;
    const sum_stack *partial;
    int64_t *left;                       /* floats of each bucket that are not finished */
    int64_t ready, sent, combined, home; /* buckets of this step */
    int64_t begun, back_home;            /* likewise, of values on their way to all */
    int64_t posted, added, given, taken; /* units of this step */
    int64_t before_sums, before_results; /* units of all steps before */
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
    /* Within a place in their order in `across`. */
    r->owner = r->local < r->slices ? (int64_t)r->local * r->nodes + r->at_node : -1;
done:
    free(all);
    return st;
}

/* ---- memory ---- */

static span own_slice(const reduction *r, int64_t b, int local) {
    if (local >= r->slices) return (span){0};
    return partition_piece(&r->partition, b, (int64_t)local * r->nodes, r->nodes);
}

/* The part of a local's slice that belongs to a unit. */
static span part_of(const reduction *r, int64_t unit, int local) {
    span s = own_slice(r, unit / PARTS, local);
    int64_t part = unit % PARTS, from = s.count * part / PARTS;
    return (span){.at = s.at + from, .count = s.count * (part + 1) / PARTS - from};
}

static int64_t units_of(const reduction *r) { return r->partition.buckets * PARTS; }

static int64_t longest_part(const reduction *r) {
    int64_t most = 1;
    for (int64_t u = 0; u < units_of(r); u++)
        for (int l = 0; l < r->slices; l++) {
            int64_t count = part_of(r, u, l).count;
            if (count > most) most = count;
        }
    return most;
}

/* Collective on the node; *shared says whether its ranks see each other's memory. */
static status find_memory(reduction *r, bool *shared) {
    status st = ST_OK;
    const int64_t line = 16; /* floats of a cache line, and of whatever is copied at once */
    *shared = true;
    if (r->locals == 1) return ST_OK;
    r->room = (longest_part(r) + line - 1) / line * line;
    int64_t floats = SLOTS * r->room * (r->slices + 1);
    TRY(shared_memory_create(r->node, PAGE + floats * (int64_t)sizeof(float), &r->memory));
    *shared = r->memory != NULL;
done:
    return st;
}

static status lay_out_memory(reduction *r) {
    status st = ST_OK;
    TRY(array_alloc(&r->from, r->locals > r->nodes ? r->locals : r->nodes, sizeof *r->from,
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

/* Where a rank has put its part of another's slice, and of its own. */
static float *out_slot(const reduction *r, int from, int to, int64_t unit) {
    int64_t slot = (r->before_sums + unit) % SLOTS;
    return r->window[from].out + (slot * r->slices + to) * r->room;
}

static float *result_slot(const reduction *r, int from, int64_t unit) {
    return r->window[from].results + (r->before_results + unit) % SLOTS * r->room;
}

static void say(reduction *r, int station, int64_t units) {
    atomic_store_explicit(&r->window[r->local].units[station], units, memory_order_release);
}

/* What all ranks of the node have passed, counted from `before` on. */
static int64_t all_passed(const reduction *r, int station, int64_t before) {
    int64_t least = INT64_MAX;
    for (int l = 0; l < r->locals; l++) {
        int64_t units =
            atomic_load_explicit(&r->window[l].units[station], memory_order_acquire) - before;
        if (units < least) least = units;
    }
    return least;
}

/* ---- between nodes ---- */

static bool carries(const reduction *r) { return r->local < r->slices; }

static status lay_out_bucket(reduction *r, int64_t b, int *layout) {
    status st = ST_OK;
    traffic *t = &r->traffic[b];
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
    TRY(pages_alloc(&t->inbox, nodes * t->piece.count * unit, "gradients of other nodes"));
    if (r->set.bf16) TRY(pages_alloc(&t->wire, t->slice.count * unit, "gradients in bf16"));
done:
    return st;
}

static status lay_out_traffic(reduction *r) {
    status st = ST_OK;
    int64_t most = 0, nodes = r->nodes;
    if (nodes == 1 || !carries(r)) return ST_OK;
    TRY(array_alloc(&r->traffic, r->partition.buckets, sizeof *r->traffic, "a reduction"));
    TRY(array_alloc(&r->layouts, r->partition.buckets, 6 * nodes * (int64_t)sizeof(int),
                    "a reduction"));
    for (int64_t b = 0; b < r->partition.buckets; b++) {
        TRY(lay_out_bucket(r, b, r->layouts + 6 * nodes * b));
        if (r->traffic[b].piece.count > most) most = r->traffic[b].piece.count;
    }
    TRY(array_alloc(&r->scratch, nodes * most, sizeof(float), "gradients of other nodes"));
    TRY(comm_slots_create(r->across, r->partition.buckets, &r->exchange));
    TRY(comm_slots_create(r->back, r->partition.buckets, &r->spread));
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
    const float *slice = r->grad + t->slice.at;
    if (r->set.bf16) narrow(slice, t->wire, t->slice.count);
    broken(r, comm_all_to_all_begin(r->exchange, b, r->set.bf16 ? t->wire : (const void *)slice,
                                    &t->sent, t->inbox, &t->received));
}

/* Sums this rank's piece and begins to send it back. */
static void combine(reduction *r, int64_t b) {
    traffic *t = &r->traffic[b];
    int64_t n = t->piece.count;
    float *slice = r->grad + t->slice.at, *piece = r->grad + t->piece.at;
    const float *x = t->inbox;
    if (r->set.bf16) {
        widen(t->inbox, r->scratch, r->nodes * n);
        x = r->scratch;
    }
    for (int m = 0; m < r->nodes; m++) r->from[m] = x + m * n;
    tree_sum(r->from, r->nodes, n, piece);
    if (r->set.sharded) return;
    if (r->set.bf16) narrow(piece, (bf16 *)t->wire + (t->piece.at - t->slice.at), n);
    broken(r, comm_all_gather_begin(r->spread, b, r->set.bf16 ? t->wire : (void *)slice, &t->sent));
}

static bool arrived(reduction *r, comm_slots *slots, int64_t b) {
    bool done = false;
    broken(r, comm_slot_done(slots, b, &done));
    return done;
}

/* ---- in the node ---- */

/* As far as the ring has room: its oldest units are read by all. */
static void post(reduction *r) {
    int64_t end = r->ready * PARTS;
    int64_t room = all_passed(r, ADDED, r->before_sums) + SLOTS;
    for (; r->posted < end && r->posted < room; r->posted++)
        for (int l = 0; l < r->slices; l++) {
            span s = part_of(r, r->posted, l);
            if (l != r->local)
                memcpy(out_slot(r, r->local, l, r->posted), r->grad + s.at,
                       (size_t)s.count * sizeof *r->grad);
        }
    say(r, POSTED, r->before_sums + r->posted);
}

static void add(reduction *r) {
    int64_t ready = all_passed(r, POSTED, r->before_sums);
    for (; r->added < ready; r->added++) {
        span s = part_of(r, r->added, r->local);
        for (int l = 0; l < r->locals && s.count > 0; l++)
            r->from[l] = l == r->local ? r->grad + s.at : out_slot(r, l, r->local, r->added);
        if (s.count > 0) tree_sum(r->from, r->locals, s.count, r->grad + s.at);
    }
    say(r, ADDED, r->before_sums + r->added);
}

/* This rank's slices of `whole`, in the first `buckets`, go to the node, and those of others come
 * from there. */
static void hand_out(reduction *r, float *whole, int64_t buckets) {
    int64_t end = buckets * PARTS;
    if (!r->memory) {
        r->given = r->taken = end;
        return;
    }
    int64_t room = all_passed(r, TAKEN, r->before_results) + SLOTS;
    for (; r->given < end && r->given < room; r->given++) {
        span s = part_of(r, r->given, r->local);
        memcpy(result_slot(r, r->local, r->given), whole + s.at, (size_t)s.count * sizeof *whole);
    }
    say(r, GIVEN, r->before_results + r->given);
    int64_t ready = all_passed(r, GIVEN, r->before_results);
    for (; r->taken < ready; r->taken++)
        for (int l = 0; l < r->slices; l++) {
            span s = part_of(r, r->taken, l);
            if (l != r->local)
                memcpy(whole + s.at, result_slot(r, l, r->taken), (size_t)s.count * sizeof *whole);
        }
    say(r, TAKEN, r->before_results + r->taken);
}

/* All results are where they belong: the next ones begin. */
static void close_results(reduction *r) {
    r->before_results += units_of(r);
    r->given = r->taken = 0;
}

/* The slice as it came over the wire. */
static void give_back(reduction *r, int64_t b) {
    traffic *t = &r->traffic[b];
    if (!r->set.sharded && r->set.bf16) widen(t->wire, r->grad + t->slice.at, t->slice.count);
}

/* Moves every bucket on as far as it goes without waiting. */
static void progress(reduction *r) {
    if (r->memory) {
        post(r);
        add(r);
    } else {
        r->posted = r->added = r->ready * PARTS;
    }
    bool far = r->traffic != NULL;
    for (; r->sent < r->added / PARTS; r->sent++)
        if (far) begin_exchange(r, r->sent);
    if (!far) r->combined = r->home = r->sent;
    for (; r->combined < r->sent && arrived(r, r->exchange, r->combined); r->combined++)
        combine(r, r->combined);
    for (; r->home < r->combined && arrived(r, r->spread, r->home); r->home++)
        give_back(r, r->home);
    if (!r->set.sharded) hand_out(r, r->grad, r->home);
}

/* ---- the step ---- */

void reduction_begin(reduction *r, float *gradient, const sum_stack *partial) {
    r->seconds = 0;
    r->grad = gradient;
    r->partial = partial;
    r->ready = r->sent = r->combined = r->home = 0;
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
    progress(r);
    r->seconds += log_seconds() - began;
    return ST_OK;
}

double reduction_seconds(const reduction *r) { return r->seconds; }

/* Gives the processor away: ranks may share it. */
static void rest(void) { (void)sched_yield(); }

static bool finished(const reduction *r) {
    return r->set.sharded ? r->home == r->partition.buckets : r->taken == units_of(r);
}

void reduction_finish(reduction *r) {
    r->ready = r->partition.buckets;
    for (progress(r); !finished(r); progress(r)) rest();
    r->before_sums += units_of(r);
    if (!r->set.sharded) close_results(r);
}

/* Values on as far as they go without waiting. */
static void move_values(reduction *r, float *value, int64_t buckets) {
    for (; r->begun < buckets; r->begun++)
        if (r->traffic)
            broken(r,
                   comm_all_gather_begin(r->spread, r->begun, value + r->traffic[r->begun].slice.at,
                                         &r->traffic[r->begun].floats));
    while (r->back_home < r->begun && (!r->traffic || arrived(r, r->spread, r->back_home)))
        r->back_home++;
    hand_out(r, value, r->back_home);
}

void reduction_updated(reduction *r, float *value, int64_t buckets) {
    double began = log_seconds();
    move_values(r, value, buckets);
    r->seconds += log_seconds() - began;
}

void reduction_spread(reduction *r, float *value) {
    for (;; rest()) {
        move_values(r, value, r->partition.buckets);
        if (r->taken == units_of(r)) break;
    }
    r->begun = r->back_home = 0;
    close_results(r);
}

/* ---- its life ---- */

static int64_t bucket_of(int64_t n) {
    int64_t bucket = n / BUCKETS_MIN;
    return bucket < BUCKET ? bucket : BUCKET;
}

/* Everything but a place to share. */
static status set_up(reduction *r, int64_t n, int together, bool *shared) {
    status st;
    int64_t apart = 0;
    TRY(settle(r, together));
    r->partition = partition_of(n, (int64_t)r->slices * r->nodes, bucket_of(n));
    if (r->set.sharded == SHARDED_IN_NODE)
        r->set.sharded = r->nodes == 1 && r->locals > 1 ? SHARDED_YES : SHARDED_NO;
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
        r->apart = !shared;
        TRY(set_up(r, n, r->apart ? 1 : together, &shared));
    } while (!shared);
    *out = r;
    r = NULL;
done:
    reduction_destroy(r);
    return st;
}

void reduction_destroy(reduction *r) {
    if (!r) return;
    for (int64_t b = 0; r->traffic && b < r->partition.buckets; b++) {
        free(r->traffic[b].wire);
        free(r->traffic[b].inbox);
    }
    comm_slots_free(r->exchange);
    comm_slots_free(r->spread);
    comm_free(r->back);
    comm_free(r->across);
    comm_free(r->node);
    shared_memory_free(r->memory);
    free(r->traffic);
    free(r->layouts);
    free(r->scratch);
    free(r->window);
    free(r->from);
    free(r->left);
    free(r);
}

bool reduction_is_sharded(const reduction *r) { return r->set.sharded == SHARDED_YES; }
bool reduction_lacks_shared_memory(const reduction *r) { return r->apart; }
const gradient_partition *reduction_partition(const reduction *r) { return &r->partition; }
int64_t reduction_owner(const reduction *r) { return r->owner; }

span reduction_owned(const reduction *r, int64_t bucket) {
    if (r->owner < 0) return (span){0};
    return partition_piece(&r->partition, bucket, r->owner, 1);
}
