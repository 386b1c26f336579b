/* Samples that the prefetch thread prepares equal those that the caller would make, bit for bit,
 * faults included; threads that use HDF5 concurrently do not disturb each other. */
#include "io/checkpoint.h"
#include "pipeline/train/noising.h"
#include "tests/store_sample.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- announcing and taking, with integers as samples ---- */

enum { SLOTS = 4, BAD = 1000000 };

typedef struct maker {
    int64_t slot[SLOTS];
    atomic_int made, inside;    /* samples, threads */
    atomic_bool crowded, begun; /* two threads were inside at once; one was inside */
    atomic_bool held;           /* a thread that is inside waits there */
} maker;

static status make_number(void *context, int64_t index, int64_t slot) {
    maker *m = context;
    if (atomic_fetch_add(&m->inside, 1) > 0) m->crowded = true;
    m->begun = true;
    while (m->held) sched_yield();
    m->slot[slot] = index;
    m->made++;
    m->inside--;
    return index < BAD ? ST_OK : status_fail(ST_INTEGRITY, "sample %d is bad", (int)index);
}

static void *release(void *of) {
    maker *m = of;
    while (!m->begun) sched_yield();
    usleep(20000);
    m->held = false;
    return NULL;
}

static void take(prefetch *p, maker *m, int64_t first, int64_t count) {
    assert_ok(prefetch_take(p, first, count));
    for (int64_t k = 0; k < count; k++) assert_int_equal(m->slot[k], first + k);
    assert_false(m->crowded);
}

static void whatever_was_announced(void **state) {
    (void)state;
    enum { EXACT, NOTHING, OTHER, LESS, MORE, TWICE, KINDS };
    maker m = {0};
    prefetch *p = NULL;
    uint64_t seed = 1;
    assert_ok(prefetch_open(make_number, &m, &p));
    for (int64_t round = 0, first = 0; round < 5000; round++) {
        int64_t count = 1 + (int64_t)(some(&seed) % SLOTS);
        uint64_t kind = some(&seed) % KINDS;
        m.made = 0;
        if (kind == TWICE || kind == OTHER) prefetch_announce(p, first + 1, SLOTS);
        if (some(&seed) % 2) sched_yield();
        if (kind == EXACT || kind == TWICE) prefetch_announce(p, first, count);
        if (kind == LESS) prefetch_announce(p, first, count - 1);
        if (kind == MORE) prefetch_announce(p, first, SLOTS);
        if (some(&seed) % 2) sched_yield();
        take(p, &m, first, count);
        if (kind == EXACT || kind == NOTHING || kind == LESS) assert_int_equal(m.made, count);
        first += kind == NOTHING ? 0 : count;
    }
    prefetch_close(p);
}

/* The thread prepares samples before the caller takes any. */
static void samples_are_made_ahead(void **state) {
    (void)state;
    maker m = {0};
    prefetch *p = NULL;
    assert_ok(prefetch_open(make_number, &m, &p));
    prefetch_announce(p, 5, SLOTS);
    while (m.made < SLOTS) sched_yield();
    take(p, &m, 5, SLOTS);
    assert_int_equal(m.made, SLOTS);
    prefetch_close(p);
}

/* Announcements are replaced, or the prefetch is closed, while the thread prepares a sample. */
static void replaced_or_closed_in_the_middle(void **state) {
    (void)state;
    for (int closing = 0; closing < 2; closing++) {
        maker m = {.held = true};
        prefetch *p = NULL;
        pthread_t later;
        assert_ok(prefetch_open(make_number, &m, &p));
        prefetch_announce(p, 5, SLOTS);
        assert_int_equal(pthread_create(&later, NULL, release, &m), 0);
        while (!m.begun) sched_yield();
        if (!closing) take(p, &m, 9, SLOTS);
        prefetch_close(p);
        assert_int_equal(m.inside, 0);
        pthread_join(later, NULL);
    }
}

static void a_fault_comes_out_where_it_is_asked_for(void **state) {
    (void)state;
    maker m = {0};
    prefetch *p = NULL;
    assert_ok(prefetch_open(make_number, &m, &p));
    for (int round = 0; round < 100; round++) {
        prefetch_announce(p, BAD - 2, SLOTS);
        status_fail(ST_USAGE, "another one");
        assert_int_equal(prefetch_take(p, BAD - 2, SLOTS), ST_INTEGRITY);
        assert_string_equal(status_message(), "sample 1000000 is bad");
        prefetch_announce(p, BAD - 2, SLOTS);
        take(p, &m, BAD - 2, 2); /* those before it are good */
        prefetch_announce(p, BAD, SLOTS);
        take(p, &m, 7, SLOTS);
        assert_int_equal(prefetch_take(p, BAD, 1), ST_INTEGRITY); /* in the foreground */
    }
    prefetch_close(p);
}

/* ---- training samples ---- */

enum { SIZE = 16, BATCH = 3 };

/* The training of a denoiser on all slices of the store home/s. */
typedef struct problem {
    study study;
    store *store;
    split_run *runs;
    slices *slices;
    noising noising;
    params *params;
    plan *plan;
} problem;

static void open_problem(problem *p) {
    const kernels *engine = NULL;
    *p = (problem){0};
    study_defaults(&p->study);
    p->study.data.size = SIZE;
    p->study.train.micro_batch = BATCH;
    p->study.train.condition_drop = 0.5;
    p->study.model.net = UNET_R16;
    assert_ok(store_open(in_home("s"), &p->store));
    slice_source source = {.from = p->store};
    assert_ok(slices_all_runs(p->store, &p->runs, &source.run_count));
    source.runs = p->runs;
    assert_ok(slices_open(&p->study, &source, 1, &p->slices));
    assert_ok(noising_open(&p->study, store_labels(p->store), p->slices, p->slices, &p->noising));
    assert_ok(params_create(p->noising.graph, &p->params));
    engine = kernels_of(ENGINE_REFERENCE);
    plan_options options = {
        .engine = engine, .batch = 2 * BATCH, .outputs = &p->noising.loss, .output_count = 1};
    assert_ok(plan_create(p->noising.graph, p->params, &options, &p->plan));
}

static void close_problem(problem *p) {
    plan_destroy(p->plan);
    params_destroy(p->params);
    noising_close(&p->noising);
    slices_close(p->slices);
    free(p->runs);
    store_close(p->store);
}

/* Compares `count` slots of all inputs except the weight, which the trainer sets. */
static void assert_equal_inputs(problem *a, problem *b, int64_t count) {
    static const char *const names[] = {"x", "t", "position", "class", "target"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        tensor left, right;
        assert_ok(plan_input(a->plan, names[k], &left));
        assert_ok(plan_input(b->plan, names[k], &right));
        int64_t floats = count * left.shape[1] * left.shape[2] * left.shape[3];
        assert_true(floats > 0);
        assert_memory_equal(left.at, right.at, (size_t)floats * sizeof(float));
    }
}

static void training_samples_are_the_same(void **state) {
    (void)state;
    problem ahead, plain;
    assert_ok(write_store(in_home("s"), 5));
    open_problem(&ahead);
    open_problem(&plain);
    uint64_t seed = 2;
    int64_t first = 0;
    for (int round = 0; round < 60; round++) {
        /* Up to more samples than slots; sometimes a jump, as after reading a checkpoint. */
        int64_t count = 1 + (int64_t)(some(&seed) % (2 * BATCH));
        assert_ok(noising_fill(&plain.noising, plain.plan, first, count));
        assert_ok(noising_fill(&ahead.noising, ahead.plan, first, count));
        assert_equal_inputs(&ahead, &plain, count);
        first += count;
        noising_announce(&ahead.noising, first, 1 + (int64_t)(some(&seed) % (2 * BATCH)));
        if (round % 10 == 9) first = (int64_t)(some(&seed) % 1000);
    }
    close_problem(&ahead); /* while samples are being prepared */
    close_problem(&plain);
}

static void a_damaged_store_says_the_same(void **state) {
    (void)state;
    problem ahead, plain;
    char said[1024];
    assert_ok(write_store(in_home("s"), 5));
    open_problem(&ahead);
    open_problem(&plain);
    for (int k = 0; k < 3; k++) {
        char name[64];
        snprintf(name, sizeof name, "s/shard-%05d.h5", k);
        flip_bit(in_home(name), 2000);
    }
    status st = noising_fill(&plain.noising, plain.plan, 0, BATCH);
    assert_int_equal(st, ST_INTEGRITY);
    snprintf(said, sizeof said, "%s", status_message());
    assert_says("run the stage that made it again");
    noising_announce(&ahead.noising, 0, BATCH);
    status_fail(ST_USAGE, "another one");
    assert_int_equal(noising_fill(&ahead.noising, ahead.plan, 0, BATCH), st);
    assert_string_equal(status_message(), said);
    close_problem(&ahead);
    close_problem(&plain);
}

/* ---- HDF5 by several threads ---- */

enum { ROUNDS = 400, NUMBERS = 1000 };

typedef struct reader {
    store *store;
    int64_t start;
    bool right;
} reader;

static void *read_on(void *of) {
    reader *r = of;
    r->right = true;
    for (int64_t k = r->start; k < r->start + 4 * ROUNDS && r->right; k++) {
        volume v;
        r->right =
            store_read_volume(r->store, k * 5 % MANY, &v) == ST_OK && volume_is(&v, k * 5 % MANY);
        volume_free(&v);
    }
    return NULL;
}

static bool checkpoints_hold(const char *directory) {
    bool right = true;
    float data[NUMBERS], back[NUMBERS];
    for (int64_t k = 1; k <= ROUNDS / 8 && right; k++) {
        checkpoint_array there = {.name = "a/b", .rank = 1, .shape = {NUMBERS}, .at = data};
        checkpoint_array here = there;
        here.at = back;
        for (int i = 0; i < NUMBERS; i++) data[i] = (float)(k * i);
        right = checkpoint_write(directory, k, "f", &there, 1, NULL, 0, 2) == ST_OK &&
                checkpoint_read(directory, k, &here, 1, NULL, 0) == ST_OK &&
                memcmp(data, back, sizeof data) == 0;
    }
    return right;
}

/* Two threads read one store that has more shards than stay open, a third reads another store,
 * while this thread writes and reads checkpoints and opens and closes stores. */
static void threads_take_turns_in_hdf5(void **state) {
    (void)state;
    enum { READERS = 3 };
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, MANY);
    plan.shard_bytes = 1;
    assert_ok(write_plan(&plan));
    reader r[READERS] = {{.start = 0}, {.start = 3}, {.start = 7}};
    pthread_t threads[READERS];
    assert_ok(store_open(in_home("s"), &r[0].store));
    assert_ok(store_open(in_home("s"), &r[2].store));
    r[1].store = r[0].store;
    for (int k = 0; k < READERS; k++)
        assert_int_equal(pthread_create(&threads[k], NULL, read_on, &r[k]), 0);
    bool right = checkpoints_hold(in_home("checkpoints"));
    for (int k = 0; k < ROUNDS / 8 && right; k++)
        if (read_all(in_home("s"), &right) != ST_OK) right = false;
    for (int k = 0; k < READERS; k++) {
        pthread_join(threads[k], NULL);
        assert_true(r[k].right);
    }
    assert_true(right);
    store_close(r[0].store);
    store_close(r[2].store);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whatever_was_announced),
        cmocka_unit_test(samples_are_made_ahead),
        cmocka_unit_test(replaced_or_closed_in_the_middle),
        cmocka_unit_test(a_fault_comes_out_where_it_is_asked_for),
        cmocka_unit_test_setup(training_samples_are_the_same, clear),
        cmocka_unit_test_setup(a_damaged_store_says_the_same, clear),
        cmocka_unit_test_setup(threads_take_turns_in_hdf5, clear),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
