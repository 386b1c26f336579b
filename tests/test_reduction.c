/* The all-reduce of a gradient that runs while the backward pass computes it: the plain sum, with
 * the same bits on all ranks, in every mode and for every grouping of ranks to nodes; sums in the
 * fixed tree; a rank that fails; memory that cannot be shared.
 *
 * The program starts itself again under mpirun with 1, 2, 3, 4 and 8 ranks.
 */
#include "io/alloc.h"
#include "model/nn/kernels/bf16.h"
#include "model/optim.h"
#include "pipeline/trainer/reduction.h"
#include "tests/ranks.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LEAVES = 8, STEPS = 3 };

/* Element i of the gradient of micro-batch k of a step. The bits of a sum depend on its order. */
static float some(int64_t step, int64_t k, int64_t i) {
    uint64_t h = ((uint64_t)i * 8 + (uint64_t)k) * 0x9e3779b97f4a7c15u + (uint64_t)step;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return (float)(ldexp((double)(h >> 11), -53) - 0.5) * (h & 1 ? 1e-3f : 1e3f);
}

/* Reports finished ranges as a backward pass does: from the end, in uneven ranges. */
static status report_ready(reduction *r, int64_t n, int64_t until) {
    status st = ST_OK;
    for (int64_t end = n, width = 1; end > until; end -= width, width = width * 3 % 1009 + 1) {
        if (width > end) width = end;
        TRY(reduction_ready(r, end - width, width));
    }
done:
    return st;
}

/* One step, in which every rank has one leaf or, if ordered, its share of the LEAVES. */
static void step(const comm *c, reduction *r, float *grad, sum_stack *stack, int64_t n,
                 int64_t at) {
    int rank = comm_rank(c), leaves = stack ? LEAVES / comm_size(c) : 1;
    if (stack) sum_stack_clear(stack);
    reduction_begin(r, grad, stack);
    for (int k = 0; k < leaves; k++) {
        for (int64_t i = 0; i < n; i++) grad[i] = some(at, rank * leaves + k, i);
        if (k < leaves - 1) sum_stack_push(stack, grad);
    }
    expect(c, report_ready(r, n, 0) == ST_OK, "reduction_ready");
    reduction_finish(r);
}

/* Whether the elements of span s are the sum, within the rounding of the transfer type. */
static bool is_sum(const comm *c, const reduction_settings *set, const float *grad, span s,
                   int64_t at) {
    bool right = true;
    int count = set->ordered ? LEAVES : comm_size(c);
    for (int64_t i = s.at; i < s.at + s.count; i++) {
        double sum = 0, size = 0;
        float leaf[LEAVES];
        const float *leaves[LEAVES];
        for (int k = 0; k < count; k++) {
            sum += (leaf[k] = some(at, k, i));
            size += fabs(leaf[k]);
            leaves[k] = &leaf[k];
        }
        right &= fabs(grad[i] - sum) <= size * (set->bf16 ? 1.0 / 128 : 1e-6);
        if (!set->ordered) continue;
        float tree = 0;
        tree_sum(leaves, LEAVES, 1, &tree);
        right &= grad[i] == tree;
    }
    return right;
}

/* Whether the buckets, or this rank's parts of them, hold the sums. */
static bool are_sums(const comm *c, const reduction *r, const reduction_settings *set,
                     const float *grad, int64_t at) {
    const gradient_partition *who = reduction_partition(r);
    bool right = true;
    for (int64_t b = 0; b < who->buckets; b++) {
        span held = set->sharded ? reduction_owned(r, b) : partition_bucket(who, b);
        right &= is_sum(c, set, grad, held, at);
    }
    return right;
}

/* Every element has exactly one owner. */
static void owners(const comm *c, const reduction *r, int64_t n) {
    const gradient_partition *who = reduction_partition(r);
    int64_t owner = reduction_owner(r), at = n, mine = 0;
    for (int64_t b = 0; b < who->buckets; b++) {
        span s = partition_bucket(who, b);
        int64_t from = s.at;
        expect(c, s.count > 0 && s.at + s.count == at, "buckets do not follow each other");
        for (int64_t q = 0; q < who->owners; q++) {
            span p = partition_piece(who, b, q, 1);
            expect(c, p.at == from && p.at % gradient_part(n) == 0,
                   "pieces do not follow each other");
            from += p.count;
            if (q == owner) mine += p.count;
        }
        expect(c, from == at, "pieces do not fill their bucket");
        at = s.at;
    }
    expect(c, at == 0, "buckets do not fill the buffer");
    expect(c, mine == (owner < 0 ? 0 : partition_owned(who, owner)), "what is owned");
    expect(c, comm_sum_i64(c, &mine, 1) == ST_OK && mine == n, "not everything is owned once");
}

/* Owners mark their values, bucket by bucket. A part that is reported as updated may be sent at
 * once, and the last half need not be reported. After the exchange every rank has all marks, which
 * differ in every step. */
static void values(const comm *c, reduction *r, int64_t n, int64_t at) {
    int64_t buckets = reduction_partition(r)->buckets;
    float *value = malloc((size_t)n * sizeof *value);
    memset(value, 0xff, (size_t)n * sizeof *value);
    for (int64_t b = 0; b < buckets; b++) {
        span p = reduction_owned(r, b);
        for (int64_t i = p.at; i < p.at + p.count; i++) value[i] = (float)(i + at * n);
        if (b < buckets / 2) reduction_updated(r, value, b + 1);
    }
    reduction_distribute(r, value);
    bool right = true;
    for (int64_t i = 0; i < n; i++) right &= value[i] == (float)(i + at * n);
    expect(c, right, "values of all owners");
    free(value);
}

static void one_mode(const comm *c, int64_t n, const reduction_settings *set) {
    reduction *r = NULL;
    sum_stack *stack = NULL;
    bool right = true, same = true;
    status st = reduction_create(c, n, set, &r);
    expect(c, st == ST_OK, status_message());
    if (st != ST_OK) return;
    if (set->ordered)
        expect(c, sum_stack_create(n, LEAVES / comm_size(c), &stack) == ST_OK, "a stack");
    owners(c, r, n);
    float *grad = malloc((size_t)n * sizeof *grad);
    for (int64_t at = 0; at < STEPS; at++) {
        step(c, r, grad, stack, n, at);
        right &= are_sums(c, r, set, grad, at);
        bool equal = false;
        expect(c, comm_all_equal(c, hash(grad, n * 4), &equal) == ST_OK, "comm_all_equal");
        same &= equal || set->sharded;
        if (set->sharded) values(c, r, n, at);
    }
    expect(c, right, set->ordered ? "not the tree" : "a sum is wrong");
    expect(c, same, "the ranks hold different sums");
    free(grad);
    sum_stack_destroy(stack);
    reduction_destroy(r);
}

/* Between nodes values are sent as bf16; the ranks of a node sum in shared memory, in f32. */
static void what_travels_is_rounded(const comm *c) {
    enum { N = 1000 };
    for (int together = 0; together <= 1; together++) {
        const reduction_settings set = {.bf16 = true, .together = together};
        reduction *r = NULL;
        bool rounded = true;
        expect(c, reduction_create(c, N, &set, &r) == ST_OK, "reduction_create");
        float grad[N];
        step(c, r, grad, NULL, N, 0);
        for (int i = 0; i < N; i++) rounded &= bf16_to_f32(bf16_from_f32(grad[i])) == grad[i];
        expect(c, rounded == (comm_size(c) > 1 && together == 1), "what is bf16");
        reduction_destroy(r);
    }
}

/* The last rank fails during a step: no rank waits for ever, and the next step is correct. */
static void a_rank_that_fails_holds_nobody_up(const comm *c, int together, sharding sharded) {
    const reduction_settings set = {.together = together, .sharded = sharded};
    enum { N = 20000 };
    reduction *r = NULL;
    expect(c, reduction_create(c, N, &set, &r) == ST_OK, "reduction_create");
    float *grad = malloc(N * sizeof *grad);
    for (int i = 0; i < N; i++) grad[i] = 0;
    reduction_begin(r, grad, NULL);
    expect(c, report_ready(r, N, comm_rank(c) == comm_size(c) - 1 ? N / 2 : 0) == ST_OK,
           "reduction_ready");
    reduction_finish(r);
    step(c, r, grad, NULL, N, 1);
    expect(c, are_sums(c, r, &set, grad, 1), "the step after a failure");
    if (sharded) values(c, r, N, 1);
    free(grad);
    reduction_destroy(r);
}

static void ranks_that_share_memory_share_the_update(const comm *c) {
    for (int together = 0; together <= 1; together++) {
        const reduction_settings set = {.together = together, .sharded = SHARDED_IN_NODE};
        reduction *r = NULL;
        expect(c, reduction_create(c, 100, &set, &r) == ST_OK, "reduction_create");
        expect(c, reduction_is_sharded(r) == (comm_size(c) > 1 && together == 0),
               "whether it is sharded");
        reduction_destroy(r);
    }
}

/* One rank may create no file, not even one without a name: all ranks then send messages. */
static void memory_that_cannot_be_shared(const comm *c, sharding sharded) {
    const reduction_settings set = {.sharded = sharded};
    enum { N = 20000 };
    struct rlimit before;
    reduction *r = NULL;
    (void)getrlimit(RLIMIT_FSIZE, &before);
    if (comm_rank(c) == comm_size(c) - 1) {
        (void)signal(SIGXFSZ, SIG_IGN);
        (void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){.rlim_max = before.rlim_max});
    }
    status st = reduction_create(c, N, &set, &r);
    (void)setrlimit(RLIMIT_FSIZE, &before);
    expect(c, st == ST_OK, status_message());
    if (st != ST_OK) return;
    expect(c, reduction_lacks_shared_memory(r) == (comm_size(c) > 1),
           "whether the ranks are apart");
    float *grad = malloc(N * sizeof *grad);
    step(c, r, grad, NULL, N, 0);
    expect(c, are_sums(c, r, &set, grad, 0), "sums by messages");
    if (sharded) values(c, r, N, 0);
    free(grad);
    reduction_destroy(r);
}

static int ranks(int argc, char **argv) {
    static const int64_t sizes[] = {1, 100, 20011};
    comm *c = NULL;
    if (comm_start(&argc, &argv, &c) != ST_OK) return 1;
    int size = comm_size(c);
    bool power = (size & (size - 1)) == 0;
    for (int together = 0; together <= 2; together++) {
        for (int mode = 0; mode < 8; mode++) {
            const reduction_settings set = {.sharded = mode & 1 ? SHARDED_YES : SHARDED_NO,
                                            .bf16 = mode & 2,
                                            .ordered = mode & 4,
                                            .together = together};
            if (set.ordered && (set.bf16 || !power)) continue;
            for (int k = 0; k < 3; k++) one_mode(c, sizes[k], &set);
        }
        a_rank_that_fails_holds_nobody_up(c, together, SHARDED_NO);
        a_rank_that_fails_holds_nobody_up(c, together, SHARDED_YES);
    }
    ranks_that_share_memory_share_the_update(c);
    what_travels_is_rounded(c);
    memory_that_cannot_be_shared(c, SHARDED_NO);
    memory_that_cannot_be_shared(c, SHARDED_YES);
    bool passed = none_failed(c);
    comm_stop(c);
    return !passed;
}

static void on(int n) {
    char command[8192];
    snprintf(command, sizeof command, "timeout 120 mpirun --oversubscribe -n %d '%s' ranks", n,
             self);
    assert_int_equal(system(command), 0);
}

static void on_1_rank(void **state) { (void)state, on(1); }
static void on_2_ranks(void **state) { (void)state, on(2); }
static void on_3_ranks(void **state) { (void)state, on(3); }
static void on_4_ranks(void **state) { (void)state, on(4); }
static void on_8_ranks(void **state) { (void)state, on(8); }

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "ranks")) return ranks(argc, argv);
    if (!find_self()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_1_rank),  cmocka_unit_test(on_2_ranks), cmocka_unit_test(on_3_ranks),
        cmocka_unit_test(on_4_ranks), cmocka_unit_test(on_8_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
