/* Training samples of labelled and unlabelled patients: the share of each batch is the same in
 * every step; without pseudo-labels unlabelled slices have null conditions, with them they have
 * labels and lose their conditions as often as the others. */
#include "pipeline/train/noising.h"
#include "tests/store_sample.h"

enum { SIZE = 8, BATCH = 10, STEPS = 40, MIXED = 7 };

typedef struct problem {
    study study;
    store *store;
    split_run labelled[2], unlabelled[1];
    slices *train, *other;
    noising noising;
    params *params;
    plan *plan;
} problem;

static void open_problem(problem *p) {
    const kernels *engine = kernels_of(ENGINE_REFERENCE);
    *p = (problem){.labelled = {{0, 0, 2}, {1, 0, 3}}, .unlabelled = {{2, 0, 4}}};
    study_defaults(&p->study);
    p->study.data.size = SIZE;
    p->study.train.batch = p->study.train.micro_batch = BATCH;
    p->study.train.steps = STEPS;
    p->study.train.condition_drop = 0.2;
    p->study.train.unlabelled = 0.1 * MIXED;
    p->study.model.net = UNET_R16;
    p->study.model.tissue = SWITCH_OFF; /* is_null() counts channels of labels */
    assert_int_equal(write_store(in_home("s"), SMALL), ST_OK);
    assert_int_equal(store_open(in_home("s"), &p->store), ST_OK);
    const slice_source labelled = {p->store, p->labelled, 2}, other = {p->store, p->unlabelled, 1};
    assert_int_equal(slices_open(&p->study, &labelled, 1, &p->train), ST_OK);
    assert_int_equal(slices_open_unlabelled(&p->study, &other, p->store, &p->other), ST_OK);
    assert_int_equal(
        noising_open(&p->study, store_labels(p->store), p->train, p->train, &p->noising), ST_OK);
    assert_int_equal(params_create(p->noising.graph, &p->params), ST_OK);
    plan_options options = {
        .engine = engine, .batch = BATCH, .outputs = &p->noising.loss, .output_count = 1};
    assert_int_equal(plan_create(p->noising.graph, p->params, &options, &p->plan), ST_OK);
}

static void close_problem(problem *p) {
    plan_destroy(p->plan);
    params_destroy(p->params);
    noising_close(&p->noising);
    slices_close(p->train);
    slices_close(p->other);
    store_close(p->store);
}

/* Whether slot b has null conditions: no label channel, position -1, the last class. Fails if it
 * has some of them only. */
static bool is_null(const problem *p, int64_t b) {
    tensor x, position, class;
    assert_int_equal(plan_input(p->plan, "x", &x), ST_OK);
    assert_int_equal(plan_input(p->plan, "position", &position), ST_OK);
    assert_int_equal(plan_input(p->plan, "class", &class), ST_OK);
    const int64_t channels = x.shape[3], classes = class.shape[3];
    const float *in = (float *)x.at + b * SIZE * SIZE * channels;
    int64_t labels = 0;
    for (int64_t i = 0; i < SIZE * SIZE; i++)
        for (int64_t k = 1; k < channels; k++) labels += in[i * channels + k] != 0;
    const bool null = ((float *)position.at)[b] == -1;
    assert_int_equal(labels, null ? 0 : SIZE * SIZE); /* one channel for each pixel */
    assert_true(((float *)class.at)[b * classes + classes - 1] == (null ? 1 : 0));
    return null;
}

/* Counts the slots of unlabelled slices and those with null conditions, of all steps. */
static void count(problem *p, int64_t *unlabelled, int64_t null[2]) {
    *unlabelled = null[0] = null[1] = 0;
    for (int64_t step = 0; step < STEPS; step++) {
        int64_t here = 0;
        assert_int_equal(noising_fill(&p->noising, p->plan, step * BATCH, BATCH), ST_OK);
        for (int64_t b = 0; b < BATCH; b++) {
            const bool other = p->noising.slots[b].slice.volume == 2;
            here += other;
            null[other] += is_null(p, b);
        }
        assert_true(step == 0 || here * (step) == *unlabelled);
        *unlabelled += here;
    }
}

static void without_pseudo_labels(void **state) {
    (void)state;
    problem p;
    int64_t unlabelled, null[2];
    open_problem(&p);
    count(&p, &unlabelled, null);
    assert_int_equal(unlabelled, 0);
    assert_int_equal(noising_add_unlabelled(&p.noising, p.other, false), ST_OK);
    count(&p, &unlabelled, null);
    assert_int_equal(unlabelled, MIXED * STEPS);
    assert_int_equal(null[1], MIXED * STEPS);
    assert_in_range(null[0], 8, 40); /* 120 samples at 0.2: mean 24, standard deviation 4.4 */
    close_problem(&p);
}

static void with_pseudo_labels(void **state) {
    (void)state;
    problem p;
    int64_t unlabelled, null[2];
    open_problem(&p);
    assert_int_equal(noising_add_unlabelled(&p.noising, p.other, true), ST_OK);
    count(&p, &unlabelled, null);
    assert_int_equal(unlabelled, MIXED * STEPS);
    assert_in_range(null[1], 30, 82); /* 280 at 0.2: mean 56, standard deviation 6.7 */
    assert_in_range(null[0], 8, 40);
    close_problem(&p);
}

static void a_batch_needs_a_labelled_slice(void **state) {
    (void)state;
    problem p;
    open_problem(&p);
    p.study.train.unlabelled = 0.96;
    assert_int_equal(noising_add_unlabelled(&p.noising, p.other, true), ST_USAGE);
    assert_says("train.unlabelled");
    close_problem(&p);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(without_pseudo_labels, clear),
        cmocka_unit_test_setup(with_pseudo_labels, clear),
        cmocka_unit_test_setup(a_batch_needs_a_labelled_slice, clear),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
