/* The shared trainer's decisions: numbers that are none skip a step on all ranks alike and in the
 * end stop the training; a padded sample counts for nothing. Runs alone and, by
 * tests/test_train.py, on two ranks. */
#include "pipeline/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { BATCH = 5, SIZE = 4 };

static comm *ranks;

/* Step numbers from which the first sample of the batch (rank 0's) is not finite, and how many. */
typedef struct poison {
    int64_t first, count;
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
            ((float *)target.at)[b * SIZE * SIZE + i] = cosf((float)(sample * 5 + i));
        }
    }
done:
    return st;
}

static trainer *make(graph **g, int64_t micro_batch) {
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
                            .seed = 1};
    assert_int_equal(kernels_find("onednn", &engine), ST_OK);
    assert_int_equal(trainer_create(ranks, &set, *g, loss, engine, &t), ST_OK);
    return t;
}

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

/* Micro-batches of 2 of a batch of 5 are padded, those of 5 are not. */
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

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_without_finite_numbers_is_skipped),
        cmocka_unit_test(five_in_a_row_end_the_training),
        cmocka_unit_test(padding_counts_for_nothing),
    };
    if (comm_start(&argc, &argv, &ranks) != ST_OK) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_stop(ranks);
    return failed;
}
