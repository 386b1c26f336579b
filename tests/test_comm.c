/* Communication between ranks: sums with the same bits on every rank, blocks of any length, one
 * failure that all ranks agree on.
 *
 * The program starts itself again under mpirun with 1, 2 and 3 ranks, and once without mpirun.
 */
#include "io/alloc.h"
#include "tests/ranks.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Values without a short binary form, so that the last bits of a sum depend on its order. */
static double some(int rank, int64_t i) {
    uint64_t h = hash(&(int64_t[2]){rank, i}, 16);
    return ldexp((double)(h >> 11), -53) * (h & 1 ? 1e-3 : 1e3) - 1;
}

static void sums(const comm *c) {
    const int64_t sizes[] = {0, 1, 2, 3, 7, 127, 1000, 4097, 65537, 300007};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        int64_t n = sizes[k];
        double *d = malloc(n * sizeof *d + 1);
        bool same = false, right = true;
        for (int64_t i = 0; i < n; i++) d[i] = some(comm_rank(c), i);
        expect(c, comm_sum_f64(c, d, n) == ST_OK, "comm_sum_f64");
        expect(c, comm_all_equal(c, hash(d, n * sizeof *d), &same) == ST_OK && same,
               "double sums differ between ranks");
        for (int64_t i = 0; i < n; i++) {
            double sum = 0, size = 0;
            for (int r = 0; r < comm_size(c); r++) {
                sum += some(r, i);
                size += fabs(some(r, i));
            }
            right &= fabs(d[i] - sum) <= 1e-15 * size * 4;
        }
        expect(c, right, "a sum is wrong");
        free(d);
    }
    int64_t whole[2] = {INT64_C(1) << 60, comm_rank(c)};
    int64_t n = comm_size(c);
    expect(c, comm_sum_i64(c, whole, 2) == ST_OK, "comm_sum_i64");
    expect(c, whole[0] == n << 60 && whole[1] == n * (n - 1) / 2, "integer sum");
}

static void maximum(const comm *c) {
    int last = comm_size(c) - 1;
    double x[4] = {comm_rank(c), -comm_rank(c), comm_rank(c) == last ? NAN : 5, -INFINITY};
    expect(c, comm_max_f64(c, x, 4) == ST_OK, "comm_max_f64");
    expect(c, x[0] == last && x[1] == 0 && x[3] == -INFINITY, "maximum");
    expect(c, isnan(x[2]), "a NaN on one rank is not NaN on all");
}

static void blocks(const comm *c) {
    int root = comm_size(c) - 1, rank = comm_rank(c);
    int64_t bytes = rank == root ? 70001 : -5, total = 0, *sizes = NULL;
    void *data = NULL, *all = NULL;
    if (rank == root) memset(data = malloc(bytes), 'x', bytes);
    expect(c, comm_broadcast_block(c, &data, &bytes, root) == ST_OK, "comm_broadcast_block");
    expect(c, bytes == 70001 && ((char *)data)[0] == 'x' && ((char *)data)[70000] == 'x',
           "broadcast block");
    free(data);

    bytes = rank == root ? 0 : 10;
    data = rank == root ? malloc(1) : NULL;
    expect(c, comm_broadcast_block(c, &data, &bytes, root) == ST_OK && bytes == 0,
           "an empty block");
    free(data);

    /* Rank 0 gives nothing, rank 1 "1", rank 2 "22". */
    const char *mine[] = {NULL, "1", "22"};
    expect(c, comm_all_gather(c, mine[rank], rank, &all, &total, &sizes) == ST_OK,
           "comm_all_gather");
    expect(c, total == comm_size(c) * (comm_size(c) - 1) / 2, "gathered size");
    expect(c, !memcmp(all, "122", total < 3 ? total : 3), "gathered bytes");
    for (int r = 0; r < comm_size(c); r++) expect(c, sizes[r] == r, "sizes of ranks");
    free(all);
    free(sizes);
}

static void equality(const comm *c) {
    bool same = false;
    expect(c, comm_all_equal(c, UINT64_MAX, &same) == ST_OK && same, "equal values");
    expect(c, comm_all_equal(c, comm_rank(c) == 0 ? 7 : 8, &same) == ST_OK, "comm_all_equal");
    expect(c, same == (comm_size(c) == 1), "unequal values");
}

static void agreement(const comm *c) {
    int rank = comm_rank(c), last = comm_size(c) - 1;
    char want[64];
    expect(c, comm_agree(c, ST_OK) == ST_OK, "agreed without a failure");

    status local = rank == last ? status_fail(ST_STORAGE, "disk of %d", rank) : ST_OK;
    snprintf(want, sizeof want, last ? "rank %d: disk of %d" : "disk of 0", last, last);
    status st = comm_agree(c, local);
    expect(c, st == ST_STORAGE && !strcmp(status_message(), want), "one failure");
    st = comm_agree(c, st);
    expect(c, st == ST_STORAGE && !strcmp(status_message(), want), "agreed a second time");

    /* The largest code wins, and among equal codes the lowest rank. */
    local = status_fail(rank == 0 ? ST_INPUT : ST_INTEGRITY, "fault on %d", rank);
    st = comm_agree(c, local);
    expect(c, st == (last ? ST_INTEGRITY : ST_INPUT), "the worst code");
    expect(c, !strcmp(status_message(), last ? "rank 1: fault on 1" : "fault on 0"),
           "the lowest rank's message");
    expect(c, comm_agree(c, ST_OK) == ST_OK, "agreed after failures");
}

/* A failed call of MPI is a status that says why. */
static void errors_of_mpi(const comm *c) {
    int64_t x = 0;
    expect(c, comm_broadcast(c, &x, sizeof x, comm_size(c)) == ST_INTERNAL, "no such root");
    expect(c, strstr(status_message(), "MPI_Bcast failed: MPI_ERR_ROOT") != NULL, "MPI's reason");
    expect(c, comm_barrier(c) == ST_OK, "a barrier after a failed call");
}

static double clock_of(clockid_t which) {
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The last rank arrives half a second late: the others leave no earlier, and sleep until then. */
static void sleep_of_those_who_wait(const comm *c) {
    const struct timespec late = {.tv_nsec = 500000000};
    bool last = comm_rank(c) == comm_size(c) - 1;
    /* Before the barrier: on a busy machine this rank may be the last to leave it. */
    double began = clock_of(CLOCK_MONOTONIC);
    expect(c, comm_barrier(c) == ST_OK, "comm_barrier");
    double worked = clock_of(CLOCK_PROCESS_CPUTIME_ID);
    if (last) nanosleep(&late, NULL);
    expect(c, comm_wait(c) == ST_OK, "comm_wait");
    expect(c, clock_of(CLOCK_MONOTONIC) - began > 0.49, "left before the last rank came");
    expect(c, clock_of(CLOCK_PROCESS_CPUTIME_ID) - worked < 0.25, "worked while it waited");
}

static int ranks(int argc, char **argv) {
    comm *c = NULL;
    if (comm_start(&argc, &argv, &c) != ST_OK) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    int wanted = argc > 2 ? atoi(argv[2]) : 1;
    expect(c, comm_size(c) == wanted, "number of ranks");
    expect(c, comm_local_size(c) == wanted, "ranks on this node");
    expect(c, comm_rank(c) >= 0 && comm_rank(c) < wanted, "rank");
    sums(c);
    maximum(c);
    blocks(c);
    equality(c);
    agreement(c);
    errors_of_mpi(c);
    sleep_of_those_who_wait(c);
    bool passed = none_failed(c) && comm_barrier(c) == ST_OK;
    if (wanted > 1 && getenv("CTAUG_TEST_ABORT") && comm_rank(c) == 1) comm_abort(c, "a test");
    passed &= comm_barrier(c) == ST_OK;
    comm_stop(c);
    return !passed;
}

static int run(const char *before, int n) {
    char command[8192];
    snprintf(command, sizeof command, "%s '%s' ranks %d", before, self, n);
    return system(command);
}

static void without_mpirun(void **state) {
    (void)state;
    assert_int_equal(run("timeout 60", 1), 0);
}

#define MPIRUN "timeout 60 mpirun --oversubscribe -n "

static void one_rank(void **state) {
    (void)state;
    assert_int_equal(run(MPIRUN "1", 1), 0);
}

static void two_ranks(void **state) {
    (void)state;
    assert_int_equal(run(MPIRUN "2", 2), 0);
}

static void three_ranks(void **state) {
    (void)state;
    assert_int_equal(run(MPIRUN "3", 3), 0);
}

/* The other ranks wait in a barrier. The abort must end them, or mpirun would run into the timeout
 * (exit code 124). */
static void abort_ends_all(void **state) {
    (void)state;
    int code = run("CTAUG_TEST_ABORT=1 " MPIRUN "2 2>/dev/null", 2);
    assert_int_not_equal(code, 0);
    assert_int_not_equal(WEXITSTATUS(code), 124);
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "ranks")) return ranks(argc, argv);
    if (!find_self()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_mpirun), cmocka_unit_test(one_rank),
        cmocka_unit_test(two_ranks),      cmocka_unit_test(three_ranks),
        cmocka_unit_test(abort_ends_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
