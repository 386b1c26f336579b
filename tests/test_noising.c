/* Training samples of labelled and unlabelled patients: the share of each batch is the same in
 * every step; without pseudo-labels unlabelled slices have null conditions, with them they have
 * labels and lose their conditions as often as the others. Time steps by importance, and what a
 * learned variance needs, and the targets of a shortcut model. */
#include "pipeline/train/noising.h"
#include "tests/store_sample.h"

#include <math.h>

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

/* Changes the study of a problem; NULL: none. */
static void (*defaults)(study *s);

static void importance_of_8(study *s) {
    s->diffusion.steps = 8;
    s->train.t_sampling = TIMESTEPS_IMPORTANCE;
}

static void learned_variance(study *s) { s->diffusion.variance = VARIANCE_LEARNED; }

static void learned_variance_min_snr(study *s) {
    s->diffusion.variance = VARIANCE_LEARNED;
    s->diffusion.weight = WEIGHT_MIN_SNR;
}

static void shortcut(study *s) {
    s->diffusion.process = PROCESS_FLOW;
    s->diffusion.shortcut = SWITCH_ON;
}

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
    if (defaults) defaults(&p->study);
    defaults = NULL;
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

static void weighed(study *s) { s->train.small_structures = 3; }

/* The weights of labels by their definition; the mean over the training slices is 1; they stand
 * behind the target. */
static void small_structures_weigh_more(void **state) {
    (void)state;
    problem p;
    tensor target;
    float image[SIZE * SIZE];
    uint8_t labels[SIZE * SIZE];
    int64_t pixels[3] = {0}, all = 0, largest = 0;
    double weight[3], mean = 0;
    defaults = weighed;
    open_problem(&p);
    assert_ok(noising_weigh_labels(&p.noising, world, 3));
    slice_sample slice = {.image = image, .labels = labels};
    for (int64_t k = 0; k < slices_count(p.train); k++) {
        assert_ok(slices_get(p.train, k, &slice));
        for (int i = 0; i < SIZE * SIZE; i++, all++) pixels[labels[i]]++;
    }
    for (int k = 0; k < 3; k++) largest = pixels[k] > largest ? pixels[k] : largest;
    for (int k = 0; k < 3; k++) {
        weight[k] = fmin(3, (double)largest / (double)pixels[k]);
        mean += weight[k] * (double)pixels[k] / (double)all;
    }
    assert_true(pixels[0] > 0 && pixels[1] > 0 && pixels[2] > 0 && mean > 1);
    for (int k = 0; k < 3; k++)
        assert_float_equal(p.noising.label_weight[k], weight[k] / mean, 1e-12);
    assert_ok(noising_fill(&p.noising, p.plan, 0, BATCH));
    assert_ok(plan_input(p.plan, "target", &target));
    assert_int_equal(target.shape[3], 2);
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i < SIZE * SIZE; i++) {
            const float *at = (float *)target.at + 2 * (b * SIZE * SIZE + i);
            const noised_sample *s = &p.noising.slots[b];
            assert_float_equal(at[0], s->target[i], 0);
            assert_float_equal(at[1], weight[s->slice.labels[i]] / mean, 1e-6);
        }
    close_problem(&p);
}

static float *input_of(const problem *p, const char *name) {
    tensor t;
    assert_int_equal(plan_input(p->plan, name, &t), ST_OK);
    return t.at;
}

/* The sample's loss that the tests below pretend: large at one time step. */
static double pretended_loss(int64_t t) { return t == 5 ? 40 : 1; }

/* Losses of 1 at seven time steps and 40 at one: once all have ten losses, that one is drawn 40
 * times as often, and counts so much less. */
static void importance_follows_the_losses(void **state) {
    (void)state;
    enum { TIMES = 8, LONG = 60, WARM = 30 };
    problem p;
    int64_t drawn[TIMES] = {0}, total = 0;
    defaults = importance_of_8;
    open_problem(&p);
    noising_announce(&p.noising, 0, BATCH);
    for (int64_t step = 0; step < LONG; step++) {
        double losses[BATCH];
        for (int b = 0; b < BATCH; b++) input_of(&p, "weight")[b] = 0.5f;
        assert_int_equal(noising_fill(&p.noising, p.plan, step * BATCH, BATCH), ST_OK);
        noising_announce(&p.noising, (step + 1) * BATCH, BATCH);
        for (int b = 0; b < BATCH; b++) {
            const int64_t t = (int64_t)input_of(&p, "t")[b] + 1;
            const double factor = (double)input_of(&p, "weight")[b] / 0.5;
            losses[b] = pretended_loss(t) * factor;
            if (step >= WARM) {
                const double p_t = 0.999 * pretended_loss(t) / 47 + 0.001 / TIMES;
                assert_float_equal(factor, 1 / (TIMES * p_t), 1e-4);
                drawn[t - 1]++;
                total++;
            } else if (step < 5)
                assert_float_equal(factor, 1, 1e-6);
        }
        noising_learn(&p.noising, step * BATCH, losses, BATCH);
    }
    assert_int_equal(total, (LONG - WARM) * BATCH);
    assert_in_range(drawn[4], 230, 275); /* 300 at 0.85: mean 255, standard deviation 6.2 */
    close_problem(&p);
}

/* Beside the target the loss gets x_0, and what it must know of the time step. */
static void a_learned_variance_needs_slice_and_step(void **state) {
    (void)state;
    problem p;
    defaults = learned_variance;
    open_problem(&p);
    assert_int_equal(noising_fill(&p.noising, p.plan, 0, BATCH), ST_OK);
    for (int b = 0; b < BATCH; b++) {
        const noised_sample *d = &p.noising.slots[b];
        float step[HYBRID_STEP];
        hybrid_step(&p.noising.bound, p.noising.process.objective, (int64_t)d->at.t, step);
        assert_memory_equal(step, input_of(&p, "step") + b * HYBRID_STEP, sizeof step);
        for (int i = 0; i < SIZE * SIZE; i++) {
            const float *target = input_of(&p, "target") + 2 * (b * SIZE * SIZE + i);
            assert_true(target[0] == d->target[i] && target[1] == d->slice.image[i]);
        }
    }
    close_problem(&p);
}

/* A weight of the level is one of L_simple: that of L_vlb stays what it is without. */
static void min_snr_leaves_the_bound_alone(void **state) {
    (void)state;
    problem p;
    defaults = learned_variance_min_snr;
    open_problem(&p);
    for (int b = 0; b < BATCH; b++) input_of(&p, "weight")[b] = 0.5f;
    assert_int_equal(noising_fill(&p.noising, p.plan, 0, BATCH), ST_OK);
    int lowered = 0;
    for (int b = 0; b < BATCH; b++) {
        const double weight = (double)input_of(&p, "weight")[b];
        const float *step = input_of(&p, "step") + b * HYBRID_STEP;
        float plain[HYBRID_STEP];
        hybrid_step(&p.noising.bound, p.noising.process.objective, (int64_t)p.noising.slots[b].at.t,
                    plain);
        assert_float_equal(weight * (double)step[HYBRID_WEIGHT], 0.5 * (double)plain[HYBRID_WEIGHT],
                           1e-6 * (double)plain[HYBRID_WEIGHT]);
        lowered += weight < 0.49;
    }
    assert_true(lowered > 0);
    close_problem(&p);
}

/* One sample of eight gets its target from the teacher, here one that predicts 0.25 everywhere, and
 * its size of a step; the others get velocities. */
static void one_of_eight_asks_the_teacher(void **state) {
    (void)state;
    enum { ROUNDS = 8 }; /* of BATCH samples: ten groups of eight */
    problem p;
    int64_t asked = 0;
    defaults = shortcut;
    open_problem(&p);
    const stage_context stage = {.study = &p.study, .engine = kernels_of(ENGINE_REFERENCE)};
    float *ema = calloc((size_t)p.params->total, sizeof *ema);
    assert_non_null(ema);
    for (int64_t i = 0; i < p.params->count; i++)
        if (strcmp(p.params->list[i].name, "oc.bias") == 0) ema[p.params->list[i].offset] = 0.25f;
    assert_int_equal(noising_add_teacher(&p.noising, &stage, store_labels(p.store)), ST_OK);
    noising_set_teacher(&p.noising, ema);
    for (int64_t round = 0; round < ROUNDS; round++) {
        assert_int_equal(noising_fill(&p.noising, p.plan, round * BATCH, BATCH), ST_OK);
        for (int b = 0; b < BATCH; b++) {
            const noised_sample *d = &p.noising.slots[b];
            const float *target = input_of(&p, "target") + b * SIZE * SIZE;
            const bool asks = d->at.step > 0;
            assert_true(input_of(&p, "d")[b] == (float)d->at.step);
            asked += asks;
            for (int i = 0; i < SIZE * SIZE; i++) {
                /* x_t - t (e - x_0) = x_0 */
                const double x0 = (double)d->x_t[i] - d->at.t * (double)target[i];
                assert_float_equal(asks ? (double)target[i] : x0,
                                   asks ? 0.25 : (double)d->slice.image[i], 1e-5);
            }
        }
    }
    assert_int_equal(asked, ROUNDS * BATCH / 8);
    free(ema);
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
        cmocka_unit_test_setup(small_structures_weigh_more, clear),
        cmocka_unit_test_setup(importance_follows_the_losses, clear),
        cmocka_unit_test_setup(a_learned_variance_needs_slice_and_step, clear),
        cmocka_unit_test_setup(min_snr_leaves_the_bound_alone, clear),
        cmocka_unit_test_setup(one_of_eight_asks_the_teacher, clear),
        cmocka_unit_test_setup(a_batch_needs_a_labelled_slice, clear),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
