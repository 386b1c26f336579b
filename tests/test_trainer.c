/* Decisions of the trainer: non-finite values skip the step on all ranks, lower the loss scale if
 * there is one, and finally stop the training; padded samples have no effect. Runs alone and, in
 * tests/test_train.py, on two ranks. */
#include "pipeline/trainer/trainer.h"
#include "model/loss_scale.h"
#include "tests/scratch.h"

#include <math.h>

enum { BATCH = 5, SIZE = 4 };

static comm *ranks;

/* The steps in which the first sample of the batch (on rank 0) is not finite: the first of them and
 * how many. */
typedef struct poison {
    int64_t first, count;
    float size; /* factor on the targets; 0: none */
} poison;

static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    const poison *p = context;
    tensor x, target;
    status st = ST_OK;
    TRY(plan_input(pl, "x", &x));
    TRY(plan_input(pl, "target", &target));
    for (int64_t b = 0; b < count; b++) {
        int64_t step = (first + b) / BATCH, sample = (first + b) % BATCH;
        bool bad = sample == 0 && step >= p->first && step < p->first + p->count;
        for (int64_t i = 0; i < SIZE * SIZE; i++) {
            ((float *)x.at)[b * SIZE * SIZE + i] = bad ? NAN : sinf((float)(sample * 7 + i));
            ((float *)target.at)[b * SIZE * SIZE + i] =
                cosf((float)(sample * 5 + i)) * (p->size != 0 ? p->size : 1);
        }
    }
done:
    return st;
}

/* Arrays of the caller for the next trainer; NULL: none, nor losses of samples. */
static const checkpoint_array *extra_arrays;

static trainer *make_of(graph **g, int64_t micro_batch, tensor_type precision) {
    trainer *t = NULL;
    const kernels *engine = NULL;
    assert_int_equal(graph_create(g), ST_OK);
    node x = graph_input(*g, "x", TYPE_F32, SIZE, SIZE, 1);
    node y = graph_conv(*g, "a", x, 8, 3, 1, INIT_UNIFORM);
    y = graph_norm(*g, "n", y, 2, NODE_NONE, true);
    y = graph_conv(*g, "b", y, 1, 3, 1, INIT_UNIFORM);
    node loss = graph_regression_loss(*g, y, graph_input(*g, "target", TYPE_F32, SIZE, SIZE, 1),
                                      graph_input(*g, "weight", TYPE_F32, 1, 1, 1), LOSS_L2);
    trainer_settings set = {.steps = 30,
                            .batch = BATCH,
                            .micro_batch = micro_batch,
                            .lr = 1e-2,
                            .clip = 1,
                            .keep_ema = true,
                            .ema = 0.9,
                            .seed = 1,
                            .precision = precision,
                            .sample_losses = extra_arrays != NULL,
                            .extra = extra_arrays,
                            .extra_count = extra_arrays != NULL};
    engine = kernels_of(ENGINE_ONEDNN);
    assert_int_equal(trainer_create(ranks, &set, *g, loss, engine, &t), ST_OK);
    return t;
}

static trainer *make(graph **g, int64_t micro_batch) { return make_of(g, micro_batch, TYPE_F32); }

static void a_step_without_finite_numbers_is_skipped(void **state) {
    (void)state;
    graph *g = NULL;
    trainer *t = make(&g, 2);
    poison p = {.first = 2, .count = 1};
    params *w = trainer_params(t);
    float *before = malloc((size_t)w->total * sizeof(float));
    for (int step = 0; step < 6; step++) {
        trainer_report r;
        memcpy(before, w->value, (size_t)w->total * sizeof(float));
        assert_int_equal(trainer_step(t, &(trainer_feed){.fill = fill, .context = &p}, false, &r),
                         ST_OK);
        assert_int_equal(r.skipped, step == 2);
        assert_int_equal(isfinite(r.loss), step != 2);
        bool same = memcmp(before, w->value, (size_t)w->total * sizeof(float)) == 0;
        assert_int_equal(same, step == 2);
        assert_int_equal(trainer_check_equal(t), ST_OK);
    }
    free(before);
    trainer_destroy(t);
    graph_destroy(g);
}

static void five_in_a_row_end_the_training(void **state) {
    (void)state;
    graph *g = NULL;
    trainer *t = make(&g, 2);
    poison p = {.first = 1, .count = 100};
    for (int step = 0; step < 6; step++) {
        trainer_report r;
        status st = trainer_step(t, &(trainer_feed){.fill = fill, .context = &p}, false, &r);
        assert_int_equal(st, step < 5 ? ST_OK : ST_DIVERGED);
    }
    assert_non_null(strstr(status_message(), "diverged"));
    trainer_destroy(t);
    graph_destroy(g);
}

/* A batch of 5 is padded in micro-batches of 2, not in micro-batches of 5. */
static void padding_counts_for_nothing(void **state) {
    (void)state;
    graph *g[2] = {NULL};
    trainer *t[2] = {make(&g[0], 2), make(&g[1], 5)};
    poison p = {0};
    for (int step = 0; step < 3; step++) {
        trainer_report r[2];
        for (int k = 0; k < 2; k++)
            assert_int_equal(
                trainer_step(t[k], &(trainer_feed){.fill = fill, .context = &p}, false, &r[k]),
                ST_OK);
        assert_float_equal(r[0].loss, r[1].loss, 1e-6 * r[1].loss);
        assert_float_equal(r[0].gradient_norm, r[1].gradient_norm, 1e-5 * r[1].gradient_norm);
    }
    for (int k = 0; k < 2; k++) {
        trainer_destroy(t[k]);
        graph_destroy(g[k]);
    }
}

static status one_step(trainer *t, const poison *p, trainer_report *r) {
    return trainer_step(t, &(trainer_feed){.fill = fill, .context = (void *)p}, false, r);
}

/* Losses near the largest f32: scaled, they are infinite until the scale has decreased. */
static void a_scale_that_overflows_is_halved(void **state) {
    (void)state;
    graph *g = NULL;
    trainer *t = make_of(&g, 2, TYPE_BF16);
    const poison p = {.size = 3e18f};
    trainer_report r;
    double scale = 0;
    int skipped = 0;
    assert_int_equal(one_step(t, &p, &r), ST_OK);
    for (; r.skipped && skipped < 16; skipped++) {
        assert_true(skipped == 0 || r.scale == scale / 2);
        scale = r.scale;
        assert_int_equal(one_step(t, &p, &r), ST_OK);
    }
    assert_false(r.skipped);
    assert_true(skipped > 5 && r.scale == scale / 2);
    /* The reported loss is not scaled: 9e36 times the mean of cos^2, about one half. */
    assert_true(r.loss > 3e36 && r.loss < 6e36);
    assert_int_equal(trainer_check_equal(t), ST_OK);
    trainer_destroy(t);
    graph_destroy(g);
}

/* Failed steps count only when no smaller scale is left: 16 halvings, and five steps after them. */
static void what_no_scale_repairs_ends_the_training(void **state) {
    (void)state;
    graph *g = NULL;
    trainer *t = make_of(&g, 2, TYPE_BF16);
    const poison p = {.count = 100};
    for (int step = 0; step < 21; step++) {
        trainer_report r;
        assert_int_equal(one_step(t, &p, &r), step < 20 ? ST_OK : ST_DIVERGED);
        assert_true(r.skipped && r.scale == (step < 16 ? ldexp(1, 16 - step) : 1));
    }
    trainer_destroy(t);
    graph_destroy(g);
}

static void the_scale_is_in_the_checkpoint(void **state) {
    (void)state;
    graph *g[2] = {NULL};
    trainer *t[2] = {make_of(&g[0], 2, TYPE_BF16), make_of(&g[1], 2, TYPE_BF16)};
    const poison bad = {.count = 1}, good = {0};
    trainer_report r[2];
    checkpoint_choice found;
    assert_int_equal(one_step(t[0], &bad, &r[0]), ST_OK); /* halves the scale */
    assert_int_equal(trainer_save(t[0], in_home("checkpoints"), "a study", 1), ST_OK);
    assert_int_equal(trainer_find(ranks, in_home("checkpoints"), "a study", NULL, &found), ST_OK);
    assert_int_equal(found.step, 1);
    assert_int_equal(trainer_restore(t[1], in_home("checkpoints"), 1), ST_OK);
    assert_int_equal(trainer_step_count(t[1]), 1);
    for (int step = 0; step < 3; step++) {
        for (int k = 0; k < 2; k++) assert_int_equal(one_step(t[k], &good, &r[k]), ST_OK);
        assert_true(r[0].scale == r[1].scale && r[0].scale == LOSS_SCALE_START / 2);
        assert_true(r[0].loss == r[1].loss && !r[0].skipped);
    }
    const params *p[2] = {trainer_params(t[0]), trainer_params(t[1])};
    assert_memory_equal(p[0]->value, p[1]->value, (size_t)p[0]->total * sizeof(float));
    for (int k = 0; k < 2; k++) {
        trainer_destroy(t[k]);
        graph_destroy(g[k]);
    }
}

/* Their mean is the loss of the step; arrays of the caller come back with a checkpoint. */
static void losses_of_samples_and_arrays_of_the_caller(void **state) {
    (void)state;
    graph *g = NULL;
    float kept[6] = {1, 2, 3, 4, 5, 6};
    const checkpoint_array extra = {.name = "mine/kept", .rank = 2, .shape = {2, 3}, .at = kept};
    extra_arrays = &extra;
    trainer *t = make_of(&g, 2, TYPE_BF16);
    extra_arrays = NULL;
    const poison p = {0};
    for (int step = 0; step < 3; step++) {
        trainer_report r;
        double sum = 0;
        assert_int_equal(one_step(t, &p, &r), ST_OK);
        const double *losses = trainer_sample_losses(t);
        for (int i = 0; i < BATCH; i++) {
            assert_true(losses[i] > 0);
            sum += losses[i];
        }
        assert_float_equal(sum / BATCH, r.loss, 1e-9 * r.loss);
    }
    assert_int_equal(trainer_save(t, in_home("extra"), "a study", 1), ST_OK);
    memset(kept, 0, sizeof kept);
    assert_int_equal(trainer_restore(t, in_home("extra"), 3), ST_OK);
    for (int i = 0; i < 6; i++) assert_true(kept[i] == (float)(i + 1));
    trainer_destroy(t);
    graph_destroy(g);
}

/* A checkpoint with a right hash that no training wrote: each scalar in turn. */
static void forged_scalars_are_refused(void **state) {
    (void)state;
    const struct {
        const char *name;
        double value;
    } forged[] = {
        {"step", 2},         {"step", NAN},           {"step", -1},       {"skips", -1},
        {"skips", 0.5},      {"loss_scale", 0},       {"loss_scale", -8}, {"loss_scale", INFINITY},
        {"loss_scale", NAN}, {"loss_scale_good", -2}, {"bf16", 3}};
    graph *g = NULL;
    trainer *t = make_of(&g, 2, TYPE_BF16);
    const params *p = trainer_params(t);
    for (size_t k = 0; k < sizeof forged / sizeof *forged; k++) {
        checkpoint_scalar s[] = {
            {"step", 1}, {"skips", 0}, {"loss_scale", 1024}, {"loss_scale_good", 0}, {"bf16", 1}};
        checkpoint_array arrays[64];
        int64_t n = 0;
        for (int i = 0; i < 5; i++)
            if (strcmp(s[i].name, forged[k].name) == 0) s[i].value = forged[k].value;
        for (int group = 0; group < 4; group++)
            for (int64_t i = 0; i < p->count; i++) {
                static const char *const groups[] = {"parameters", "adam_m", "adam_v", "ema"};
                checkpoint_array *a = &arrays[n++];
                *a =
                    (checkpoint_array){.rank = p->list[i].rank, .at = p->value + p->list[i].offset};
                memcpy(a->shape, p->list[i].shape, sizeof a->shape);
                snprintf(a->name, sizeof a->name, "%s/%s", groups[group], p->list[i].name);
                assert_true(n < 64);
            }
        assert_int_equal(checkpoint_write(in_home("forged"), 1, "a study", arrays, n, s, 5, 1),
                         ST_OK);
        assert_int_equal(trainer_restore(t, in_home("forged"), 1), ST_INTEGRITY);
        assert_says("impossible scalars");
    }
    trainer_destroy(t);
    graph_destroy(g);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_without_finite_numbers_is_skipped),
        cmocka_unit_test(five_in_a_row_end_the_training),
        cmocka_unit_test(padding_counts_for_nothing),
        cmocka_unit_test(a_scale_that_overflows_is_halved),
        cmocka_unit_test(what_no_scale_repairs_ends_the_training),
        cmocka_unit_test(the_scale_is_in_the_checkpoint),
        cmocka_unit_test(losses_of_samples_and_arrays_of_the_caller),
        cmocka_unit_test(forged_scalars_are_refused),
    };
    if (!begin_scratch() || comm_start(&argc, &argv, &ranks) != ST_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_stop(ranks);
    return failed + !end_scratch();
}
