/* The only file that uses MPI: communicators, errors of MPI as statuses, messages of any length.
 *
 * MPI counts are ints, so long messages are sent in pieces of PIECE elements. The sums here use
 * MPI_Allreduce, which returns identical results on all processes of the group (MPI 3.1, 5.9.6);
 * tests/test_comm.c checks that of the installed library. Gradients are summed by
 * pipeline/trainer/reduction.c, which uses this file only to move them.
 */
#include "io/comm.h"
#include "io/activity.h"
#include "io/alloc.h"
#include "io/printable.h"

#include <inttypes.h>
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PIECE = 1 << 29, MESSAGE = 1024 };

struct comm {
    MPI_Comm world;
    MPI_Op max_nan; /* maximum; NaN if any rank has NaN */
    int rank, size, local_size;
};

struct comm_slots {
    MPI_Comm world;
    MPI_Request *request;
};

/* Turns the return code of an MPI call into a status with MPI's text. MPI_Error_string() itself may
 * be called only between MPI_Init_thread() and MPI_Finalize(). */
static status check(int code, const char *call) {
    if (code == MPI_SUCCESS) return ST_OK;
    char text[MPI_MAX_ERROR_STRING] = "";
    int length = 0, begun = 0, ended = 0;
    bool running = MPI_Initialized(&begun) == MPI_SUCCESS && begun &&
                   MPI_Finalized(&ended) == MPI_SUCCESS && !ended;
    if (!running || MPI_Error_string(code, text, &length) != MPI_SUCCESS || !text[0])
        snprintf(text, sizeof text, "error code %d", code);
    return status_fail(ST_INTERNAL, "%s failed: %s", call, text);
}

/* check() of a call in which this rank waits for others. */
static status wait_ended(int code, const char *call) {
    activity_wait_end();
    return check(code, call);
}
#define WAITED(code, call) (activity_wait_begin(), wait_ended(code, call))

/* For calls that release something: their failure is printed and leaves the status of the operation
 * before them as it is. */
static void warn(int code, const char *call) {
    if (code == MPI_SUCCESS) return;
    char before[MESSAGE];
    snprintf(before, sizeof before, "%s", status_message());
    status st = check(code, call);
    char safe[4 * MESSAGE];
    printable(status_message(), true, safe, sizeof safe);
    fprintf(stderr, "warning: %s\n", safe);
    (void)status_fail(st, "%s", before);
}

/* MPI_MAX leaves the result undefined if an argument is NaN: ranks could disagree. */
static void max_nan(void *in, void *inout, int *count, MPI_Datatype *type) {
    (void)type;
    const double *a = in;
    double *b = inout;
    for (int i = 0; i < *count; i++)
        if (isnan(a[i]) || a[i] > b[i]) b[i] = a[i];
}

static status find_local_size(comm *c) {
    status st;
    MPI_Comm node = MPI_COMM_NULL;
    TRY(WAITED(MPI_Comm_split_type(c->world, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &node),
               "MPI_Comm_split_type"));
    TRY(check(MPI_Comm_size(node, &c->local_size), "MPI_Comm_size"));
    TRY(check(MPI_Comm_free(&node), "MPI_Comm_free"));
done:
    return st;
}

/* A comm that owns the communicator, which is freed on failure. */
static status wrap(MPI_Comm world, comm **out) {
    status st;
    comm *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "a communicator"));
    c->world = world;
    world = MPI_COMM_NULL;
    c->max_nan = MPI_OP_NULL;
    TRY(check(MPI_Comm_set_errhandler(c->world, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler"));
    TRY(check(MPI_Comm_rank(c->world, &c->rank), "MPI_Comm_rank"));
    TRY(check(MPI_Comm_size(c->world, &c->size), "MPI_Comm_size"));
    TRY(check(MPI_Op_create(max_nan, 1, &c->max_nan), "MPI_Op_create"));
    TRY(find_local_size(c));
    *out = c;
    c = NULL;
done:
    comm_free(c);
    if (world != MPI_COMM_NULL) warn(MPI_Comm_free(&world), "MPI_Comm_free");
    return st;
}

status comm_start(int *argc, char ***argv, comm **out) {
    status st;
    int given = 0;
    bool started = false;
    MPI_Comm world = MPI_COMM_NULL;
    *out = NULL;
    TRY(check(MPI_Init_thread(argc, argv, MPI_THREAD_FUNNELED, &given), "MPI_Init_thread"));
    started = true;
    if (given < MPI_THREAD_FUNNELED)
        TRY(status_fail(ST_INTERNAL, "this MPI library does not support threads "
                                     "(MPI_THREAD_FUNNELED)"));
    TRY(check(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN),
              "MPI_Comm_set_errhandler"));
    TRY(check(MPI_Comm_dup(MPI_COMM_WORLD, &world), "MPI_Comm_dup"));
    TRY(wrap(world, out));
done:
    if (st != ST_OK && started) warn(MPI_Finalize(), "MPI_Finalize");
    return st;
}

void comm_free(comm *c) {
    if (!c) return;
    if (c->max_nan != MPI_OP_NULL) warn(MPI_Op_free(&c->max_nan), "MPI_Op_free");
    if (c->world != MPI_COMM_NULL) warn(MPI_Comm_free(&c->world), "MPI_Comm_free");
    free(c);
}

void comm_stop(comm *c) {
    if (!c) return;
    comm_free(c);
    warn(MPI_Finalize(), "MPI_Finalize");
}

status comm_split(const comm *c, int colour, comm **out) {
    status st;
    MPI_Comm part = MPI_COMM_NULL;
    *out = NULL;
    TRY(WAITED(MPI_Comm_split(c->world, colour, c->rank, &part), "MPI_Comm_split"));
    TRY(comm_agree(c, wrap(part, out)));
done:
    if (st != ST_OK) {
        comm_free(*out);
        *out = NULL;
    }
    return st;
}

status comm_split_node(const comm *c, int max_ranks, comm **out) {
    status st;
    MPI_Comm node = MPI_COMM_NULL;
    comm *whole = NULL;
    *out = NULL;
    TRY(WAITED(MPI_Comm_split_type(c->world, MPI_COMM_TYPE_SHARED, c->rank, MPI_INFO_NULL, &node),
               "MPI_Comm_split_type"));
    TRY(comm_agree(c, wrap(node, &whole)));
    TRY(comm_agree(c, comm_split(whole, max_ranks > 0 ? whole->rank / max_ranks : 0, out)));
done:
    comm_free(whole);
    return st;
}

int comm_rank(const comm *c) { return c->rank; }
int comm_size(const comm *c) { return c->size; }
int comm_local_size(const comm *c) { return c->local_size; }

status comm_agree(const comm *c, status local) {
    status st;
    char text[MESSAGE] = "";
    struct {
        int code, rank;
    } mine = {(int)local, c->rank}, worst = {0, 0};
    /* MPI_MAXLOC: the largest code and, among equal codes, the lowest rank. */
    TRY(WAITED(MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MAXLOC, c->world), "MPI_Allreduce"));
    if (worst.code == ST_OK) goto done;
    if (worst.rank == c->rank) snprintf(text, sizeof text, "%s", status_message());
    TRY(WAITED(MPI_Bcast(text, sizeof text, MPI_CHAR, worst.rank, c->world), "MPI_Bcast"));
    /* Rank 0 also passes on a message that an earlier agreement prefixed. */
    if (worst.rank == 0)
        st = status_fail((status)worst.code, "%s", text);
    else
        st = status_fail((status)worst.code, "rank %d: %s", worst.rank, text);
done:
    return st;
}

static status reduce(const comm *c, void *data, int64_t n, int64_t size, MPI_Datatype type,
                     MPI_Op op) {
    status st = ST_OK;
    char *at = data;
    for (int64_t i = 0; i < n; i += PIECE) {
        int piece = (int)(n - i < PIECE ? n - i : PIECE);
        TRY(WAITED(MPI_Allreduce(MPI_IN_PLACE, at + i * size, piece, type, op, c->world),
                   "MPI_Allreduce"));
    }
done:
    return st;
}

status comm_sum_f64(const comm *c, double *data, int64_t n) {
    return reduce(c, data, n, sizeof *data, MPI_DOUBLE, MPI_SUM);
}

status comm_sum_i64(const comm *c, int64_t *data, int64_t n) {
    return reduce(c, data, n, sizeof *data, MPI_INT64_T, MPI_SUM);
}

status comm_max_f64(const comm *c, double *data, int64_t n) {
    return reduce(c, data, n, sizeof *data, MPI_DOUBLE, c->max_nan);
}

status comm_broadcast(const comm *c, void *data, int64_t bytes, int root) {
    status st = ST_OK;
    char *at = data;
    for (int64_t i = 0; i < bytes; i += PIECE) {
        int piece = (int)(bytes - i < PIECE ? bytes - i : PIECE);
        TRY(WAITED(MPI_Bcast(at + i, piece, MPI_BYTE, root, c->world), "MPI_Bcast"));
    }
done:
    return st;
}

status comm_broadcast_block(const comm *c, void **data, int64_t *bytes, int root) {
    status st, local = ST_OK;
    bool receives = c->rank != root;
    if (receives) *data = NULL;
    TRY(comm_broadcast(c, bytes, sizeof *bytes, root));
    if (receives) local = array_alloc(data, *bytes, 1, "a broadcast");
    TRY(comm_agree(c, local));
    TRY(comm_broadcast(c, *data, *bytes, root));
done:
    if (st != ST_OK && receives) {
        free(*data);
        *data = NULL;
    }
    return st;
}

status comm_all_gather(const comm *c, const void *mine, int64_t bytes, void **all, int64_t *total,
                       int64_t **sizes) {
    status st, local;
    int64_t *size = NULL, sum = 0, at = 0;
    char *joined = NULL;
    *all = NULL;
    if (sizes) *sizes = NULL;
    TRY(comm_agree(c, array_alloc(&size, c->size, sizeof *size, "gathered sizes")));
    TRY(WAITED(MPI_Allgather(&bytes, 1, MPI_INT64_T, size, 1, MPI_INT64_T, c->world),
               "MPI_Allgather"));
    local = ST_OK;
    for (int r = 0; r < c->size && local == ST_OK; r++)
        if (!size_add(sum, size[r], &sum))
            local = status_fail(ST_INTERNAL, "rank %d gathers %" PRId64 " bytes", r, size[r]);
    if (local == ST_OK) local = array_alloc(&joined, sum, 1, "gathered blocks");
    TRY(comm_agree(c, local));
    for (int r = 0; r < c->size; at += size[r++]) {
        if (r == c->rank && bytes > 0) memcpy(joined + at, mine, (size_t)bytes);
        TRY(comm_broadcast(c, joined + at, size[r], r));
    }
    *all = joined;
    *total = sum;
    joined = NULL;
    if (sizes) {
        *sizes = size;
        size = NULL;
    }
done:
    free(joined);
    free(size);
    return st;
}

status comm_all_equal(const comm *c, uint64_t value, bool *equal) {
    status st;
    /* min(~x) is ~max(x): one reduction gives minimum and maximum. */
    uint64_t ends[2] = {value, ~value};
    TRY(WAITED(MPI_Allreduce(MPI_IN_PLACE, ends, 2, MPI_UINT64_T, MPI_MIN, c->world),
               "MPI_Allreduce"));
    *equal = ends[0] == ~ends[1];
done:
    return st;
}

const char *comm_library_version(void) {
    static _Thread_local char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return "";
    text[strcspn(text, ",\n")] = 0; /* what follows the comma describes the package */
    return text;
}

status comm_barrier(const comm *c) { return WAITED(MPI_Barrier(c->world), "MPI_Barrier"); }

status comm_wait(const comm *c) {
    status st;
    const struct timespec nap = {.tv_nsec = 1000000};
    MPI_Request request;
    int done = 0;
    activity_wait_begin();
    TRY(check(MPI_Ibarrier(c->world, &request), "MPI_Ibarrier"));
    for (;;) {
        TRY(check(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test"));
        if (done) break;
        (void)nanosleep(&nap, NULL);
    }
done:
    activity_wait_end();
    return st;
}

status comm_slots_create(const comm *c, int64_t count, comm_slots **out) {
    status st;
    comm_slots *s = NULL;
    *out = NULL;
    TRY(array_alloc(&s, 1, sizeof *s, "nonblocking operations"));
    TRY(array_alloc(&s->request, count, sizeof *s->request, "nonblocking operations"));
    s->world = c->world;
    for (int64_t i = 0; i < count; i++) s->request[i] = MPI_REQUEST_NULL;
    *out = s;
    s = NULL;
done:
    comm_slots_free(s);
    return st;
}

void comm_slots_free(comm_slots *s) {
    if (!s) return;
    free(s->request);
    free(s);
}

status comm_all_to_all_begin(comm_slots *s, int64_t slot, const void *from, const comm_layout *sent,
                             void *to, const comm_layout *received) {
    return check(MPI_Ialltoallv(from, sent->bytes, sent->at, MPI_BYTE, to, received->bytes,
                                received->at, MPI_BYTE, s->world, &s->request[slot]),
                 "MPI_Ialltoallv");
}

status comm_all_gather_begin(comm_slots *s, int64_t slot, void *data, const comm_layout *parts) {
    return check(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_BYTE, data, parts->bytes, parts->at, MPI_BYTE,
                                 s->world, &s->request[slot]),
                 "MPI_Iallgatherv");
}

status comm_slot_done(comm_slots *s, int64_t slot, bool *done) {
    int flag = 0;
    status st = check(MPI_Test(&s->request[slot], &flag, MPI_STATUS_IGNORE), "MPI_Test");
    *done = flag != 0;
    return st;
}

_Noreturn void comm_abort(const comm *c, const char *why) {
    fprintf(stderr, "ctaug: rank %d: broken invariant: %s\n", c->rank, why);
    (void)MPI_Abort(c->world, ST_INTERNAL);
    abort();
}
