/* Consistency models: times against their closed forms, loss and gradient against PyTorch
 * (tests/golden/process.py) and finite differences, and on Gaussian data, where the consistency
 * function is known, the fixed point of tuning, the solver's step and the moments of samples. */
#include "model/diffusion/consistency.h"
#include "model/diffusion/sampler.h"
#include "tests/process_case.h"

#include "model/metric/normal.h"

enum { KINDS = 3 };

static const process_settings kinds[KINDS] = {{.kind = PROCESS_DDPM, .objective = OBJECTIVE_V},
                                              {.kind = PROCESS_EDM},
                                              {.kind = PROCESS_FLOW}};

/* ECT, eq. 18, at points where it is easy: sigmoid(0) = 1/2, sigmoid(-ln 3) = 1/4. */
static void r_has_its_closed_form(void **state) {
    (void)state;
    assert_true(fabs(consistency_r(log(3), 2, 1) - log(3) * (1 - 0.25 * 3)) < 1e-12);
    assert_true(fabs(consistency_r(log(3), 256, 0) - log(3) * (1 - 3.0 / 256)) < 1e-12);
    assert_true(fabs(consistency_r(1000, 2, 2) - 1000 * (1 - 1.0 / 8)) < 1e-9);
    assert_true(consistency_r(log(3), 2, 0) == 0); /* 1 - 3 / 2 < 0 */
    assert_true(fabs(consistency_r(1e-9, 2, 3) / (1e-9 * (1 - 5.0 / 16)) - 1) < 1e-8);
    for (double t = 1e-3; t < 100; t *= 1.7)
        for (int64_t stage = 0; stage < 8; stage++) {
            const double r = consistency_r(t, 2, stage);
            assert_true(r >= 0 && r < t && r <= consistency_r(t, 2, stage + 1));
        }
}

static void stages_are_equal_parts(void **state) {
    (void)state;
    int64_t steps[4] = {0};
    for (int64_t step = 0; step < 400; step++) steps[consistency_stage(step, 400, 4)]++;
    for (int k = 0; k < 4; k++) assert_int_equal(steps[k], 100);
    assert_int_equal(consistency_stage(0, 3, 8), 0);
    assert_int_equal(consistency_stage(2, 3, 8), 5);
    assert_int_equal(consistency_stage(400, 400, 4), 3);
}

/* ln t ~ N(-1.1, 2^2): shares of draws within four standard errors. */
static void times_have_their_distribution(void **state) {
    (void)state;
    enum { MANY = 40000, PARTS = 9 };
    int64_t under[PARTS] = {0};
    for (int64_t k = 0; k < MANY; k++) {
        rng_stream r = rng_open(3, RNG_TIMESTEP, (uint64_t)k, 0);
        const double share = normal_below((log(consistency_draw(&r)) + 1.1) / 2);
        for (int i = 0; i < PARTS; i++) under[i] += share < 0.1 * (i + 1);
    }
    for (int i = 0; i < PARTS; i++) {
        const double share = 0.1 * (i + 1);
        assert_float_equal((double)under[i] / MANY, share, 4 * sqrt(share * (1 - share) / MANY));
        const double middle = normal_below((log(consistency_spread(i, PARTS)) + 1.1) / 2);
        assert_true(fabs(middle - (i + 0.5) / PARTS) < 1e-9);
    }
}

/* t stays in the range of the process; an r below it is the data. */
static void levels_are_those_of_the_times(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        process p = open_process(kinds[kind]);
        for (double t = 1e-5; t < 1e4; t *= 3) {
            const consistency_pair pair = consistency_at(&p, t, 2, 3);
            assert_true(pair.t >= p.low && pair.t <= p.high);
            assert_true(t < p.low || t > p.high || pair.t == t);
            assert_true(fabs(pair.at.sigma / pair.at.alpha / pair.t - 1) < 1e-6);
            const double r = consistency_r(pair.t, 2, 3);
            assert_true(pair.is_data == (r < p.low) && pair.r == (pair.is_data ? 0 : r));
            if (!pair.is_data) assert_true(fabs(pair.to.sigma / pair.to.alpha / pair.r - 1) < 1e-6);
        }
        process_free(&p);
    }
}

/* The loss that is completed with the network of the golden values. */
static net describe(void) {
    net n = describe_network();
    n.loss = graph_consistency_loss(n.g, n.out, graph_input(n.g, "rest", TYPE_F32, SIZE, SIZE, 1),
                                    graph_input(n.g, "step", TYPE_F32, 1, 1, CONSISTENCY_STEP),
                                    graph_input(n.g, "weight", TYPE_F32, 1, 1, 1));
    assert_int_equal(graph_check(n.g), ST_OK);
    return n;
}

static void see(plan *pl, int b, const noise_level *at, const float *x_t) {
    for (int i = 0; i < PIXELS; i++) input(pl, "x")[b * PIXELS + i] = (float)at->scale * x_t[i];
    input(pl, "t")[b] = (float)at->time;
}

/* Two runs of one plan: at r for the target, at t for the loss. */
static void loss_and_gradient_are_those_of_pytorch(void **state) {
    (void)state;
    static const double times[BATCH] = {0.05, 3.5};
    net n = describe();
    params *all = golden_params(&n);
    plan *pl = make_plan(&n, all, ENGINE_REFERENCE, true);
    process p = open_process((process_settings){.kind = PROCESS_EDM});
    float data[BATCH * PIXELS], noise[BATCH * PIXELS], x[BATCH * PIXELS], target[BATCH * PIXELS];
    consistency_pair pair[BATCH];
    golden_data(data, noise);
    for (int b = 0; b < BATCH; b++) {
        pair[b] = consistency_at(&p, times[b], 2, 1);
        float *x_r = x + b * PIXELS;
        process_diffuse(&pair[b].to, data + b * PIXELS, noise + b * PIXELS, x_r, PIXELS);
        see(pl, b, &pair[b].to, x_r);
    }
    assert_true(pair[0].is_data && !pair[1].is_data);
    loss_of(pl, &n);
    const float *predicted = plan_output(pl, n.out).at;
    for (int b = 0; b < BATCH; b++) {
        float *x_t = x + b * PIXELS, *at = target + b * PIXELS;
        process_split(&p, &pair[b].to, x_t, predicted + b * PIXELS, at, NULL, PIXELS);
        if (pair[b].is_data) memcpy(at, data + b * PIXELS, PIXELS * sizeof *at);
        process_diffuse(&pair[b].at, data + b * PIXELS, noise + b * PIXELS, x_t, PIXELS);
        see(pl, b, &pair[b].at, x_t);
        consistency_inputs(&p, &pair[b], x_t, at, input(pl, "step") + b * CONSISTENCY_STEP,
                           input(pl, "rest") + b * PIXELS, PIXELS);
        input(pl, "weight")[b] = 1;
    }
    compare_with(&golden_consistency, &n, pl, all);
    plan_destroy(pl);
    params_destroy(all);
    graph_destroy(n.g);
    process_free(&p);
}

/* Whatever the process, the loss of a prediction is that of its x_0. */
static void loss_is_that_of_x0(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        process p = open_process(kinds[kind]);
        for (int k = 0; k < 6; k++) {
            float x_t[PIXELS], target[PIXELS], predicted[PIXELS], x0[PIXELS], rest[PIXELS];
            float step[CONSISTENCY_STEP];
            const consistency_pair pair = consistency_at(&p, pow(4, k - 3), 2, 4);
            wave(x_t, PIXELS, k, pair.at.alpha + pair.at.sigma);
            wave(target, PIXELS, k + 9, 1);
            wave(predicted, PIXELS, 3 * k, 1);
            consistency_inputs(&p, &pair, x_t, target, step, rest, PIXELS);
            process_split(&p, &pair.at, x_t, predicted, x0, NULL, PIXELS);
            for (int i = 0; i < PIXELS; i++)
                assert_float_equal(step[CONSISTENCY_SLOPE] * predicted[i] + rest[i],
                                   x0[i] - target[i], 5e-6 * fmax(1, pair.at.sigma));
            assert_float_equal(step[CONSISTENCY_C], 0.00054 * SIZE, 1e-9);
            assert_float_equal(step[CONSISTENCY_RATE] * (pair.t - pair.r), 1, 1e-6);
        }
        process_free(&p);
    }
}

static void gradient_is_a_finite_difference(void **state) {
    (void)state;
    net n = describe();
    check_finite_differences(&n);
}

/* Without a difference the loss is 0, and so is its gradient, for c = 0 too. */
static void no_difference_no_gradient(void **state) {
    (void)state;
    for (int c = 0; c < 2; c++) {
        net n = describe();
        params *all = make_params(&n);
        plan *pl = make_plan(&n, all, ENGINE_REFERENCE, true);
        fill_inputs(pl);
        loss_of(pl, &n);
        const float *predicted = plan_output(pl, n.out).at;
        for (int b = 0; b < BATCH; b++) {
            float *step = input(pl, "step") + b * CONSISTENCY_STEP;
            step[CONSISTENCY_SLOPE] = -0.5f;
            step[CONSISTENCY_C] = (float)c;
            step[CONSISTENCY_RATE] = 3;
        }
        for (int i = 0; i < BATCH * PIXELS; i++) input(pl, "rest")[i] = 0.5f * predicted[i];
        assert_true(loss_of(pl, &n) == 0);
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        for (int64_t i = 0; i < all->total; i++) assert_true(all->grad[i] == 0);
        plan_destroy(pl);
        params_destroy(all);
        graph_destroy(n.g);
    }
}

static void shapes_are_checked(void **state) {
    (void)state;
    static const int64_t wrong[3][3] = {
        {2, CONSISTENCY_STEP, 1}, {1, CONSISTENCY_STEP - 1, 1}, {1, CONSISTENCY_STEP, 2}};
    for (int k = 0; k < 3; k++) {
        graph *g = NULL;
        assert_int_equal(graph_create(&g), ST_OK);
        graph_consistency_loss(g, graph_input(g, "p", TYPE_F32, 4, 4, 1),
                               graph_input(g, "rest", TYPE_F32, 4, 4, wrong[k][0]),
                               graph_input(g, "step", TYPE_F32, 1, 1, wrong[k][1]),
                               graph_input(g, "weight", TYPE_F32, 1, 1, wrong[k][2]));
        assert_int_equal(graph_check(g), ST_USAGE);
        graph_destroy(g);
    }
}

/* ---- Gaussian data N(MEAN, SPREAD^2): the path through (x, t) ends in
 * MEAN + SPREAD (x - MEAN) / sqrt(SPREAD^2 + t^2), x = y + t e. ---- */

static const double MEAN = 0.3, SPREAD = 0.4;

static double end_of_path(double x, double t) {
    return MEAN + SPREAD * (x - MEAN) / sqrt(SPREAD * SPREAD + t * t);
}

/* The noise of the best denoiser, the direction of the path. */
static double direction(double x, double t) { return t * (x - MEAN) / (SPREAD * SPREAD + t * t); }

/* The linear D(x, t) = MEAN + w(t) (x - MEAN) of least squared error against D(y + r e, r), with
 * the same e, has w(t) = w(r) (SPREAD^2 + t r) / (SPREAD^2 + t^2), and w(0) = 1. From t to 0 by the
 * formula of r this nears the consistency function as q^(stage + 1) grows. */
static void tuning_ends_in_the_consistency_function(void **state) {
    (void)state;
    const double square = SPREAD * SPREAD;
    process p = open_process((process_settings){.kind = PROCESS_EDM});
    for (double start = 0.2; start < 80; start *= 4) {
        double error[2];
        for (int k = 0; k < 2; k++) {
            double w = 1;
            for (double t = start; t > 0;) {
                const consistency_pair pair = consistency_at(&p, t, 2, k ? 9 : 6);
                w *= (square + pair.t * pair.r) / (square + pair.t * pair.t);
                t = pair.r;
            }
            error[k] = fabs(w * sqrt(square + start * start) / SPREAD - 1);
        }
        assert_true(error[0] < 0.008 && error[1] < 0.001); /* eight times as many steps */
        assert_true(error[1] < error[0] / 7);
    }
    process_free(&p);
}

/* Steps of the teacher's solver. Euler's has an error of order 2 in t - r, Heun's, with the mean of
 * two directions, 3; both lead to the data where r is 0, for every process. */
static void solver_follows_the_path(void **state) {
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        process p = open_process(kinds[kind]);
        double before[2] = {0};
        for (int64_t stage = 5; stage < 8; stage++) {
            const double t = 1.5, e = -0.7, x = 0.2 + t * e;
            const consistency_pair pair = consistency_at(&p, t, 2, stage);
            const double r = pair.r;
            float x_t = (float)(pair.at.alpha * x), first = (float)direction(x, t), x_r[2];
            consistency_solve(&pair, &x_t, &first, &x_r[0], 1);
            const double there = (double)x_r[0] / pair.to.alpha;
            assert_float_equal(there, x + (r - t) * direction(x, t), 1e-6);
            const float mean = (float)((direction(x, t) + direction(there, r)) / 2);
            consistency_solve(&pair, &x_t, &mean, &x_r[1], 1);
            for (int k = 0; k < 2; k++) {
                const double end = end_of_path((double)x_r[k] / pair.to.alpha, r);
                const double error = fabs(end - end_of_path(x, t));
                if (stage > 5) assert_true(error < before[k] * (k ? 0.17 : 0.3) + 1e-6);
                before[k] = error;
            }
        }
        const consistency_pair last = consistency_at(&p, p.low, 2, 0);
        const float x_t = (float)(last.at.alpha * 0.5), e = 2;
        float x_0;
        assert_true(last.is_data);
        consistency_solve(&last, &x_t, &e, &x_0, 1);
        assert_float_equal(x_0, 0.5 - 2 * p.low, 1e-6);
        process_free(&p);
    }
}

typedef struct oracle {
    const process *process;
    int64_t count;
    int calls;
} oracle;

/* The prediction whose x_0 is the end of the path. */
static status denoise(void *context, const float *x_t, const noise_level *at, int conditional,
                      float *predicted) {
    oracle *o = context;
    (void)conditional;
    o->calls++;
    for (int64_t i = 0; i < o->count; i++) {
        const double x = (double)x_t[i] / at->alpha;
        const double x0 = end_of_path(x, at->sigma / at->alpha);
        const float end = (float)x0, e = (float)(((double)x_t[i] - at->alpha * x0) / at->sigma);
        process_target(o->process, at, &end, &e, &predicted[i], 1);
    }
    return ST_OK;
}

/* One, two and four steps give the data's moments, within five standard errors and what the highest
 * noise level leaves of the mean. */
static void samples_have_the_moments_of_the_data(void **state) {
    (void)state;
    enum { MANY = 20000 };
    static float x[MANY];
    const uint64_t index = 4;
    for (int kind = 0; kind < KINDS; kind++) {
        process p = open_process(kinds[kind]);
        for (int64_t steps = 1; steps <= 4; steps *= 2) {
            oracle o = {.process = &p, .count = MANY};
            const sampling how = {.sampler = SAMPLER_CONSISTENCY,
                                  .grid = GRID_CONSISTENCY,
                                  .steps = steps,
                                  .guidance = 1,
                                  .interval = {0, 1},
                                  .seed = 5,
                                  .process = &p};
            double sum = 0, square = 0;
            assert_int_equal(sampler_run(&how, denoise, &o, &index, 1, MANY, x), ST_OK);
            assert_int_equal(o.calls, steps);
            for (int i = 0; i < MANY; i++) sum += (double)x[i] / MANY;
            for (int i = 0; i < MANY; i++) square += pow((double)x[i] - sum, 2) / MANY;
            assert_float_equal(sum, MEAN, 5 * SPREAD / sqrt(MANY) + 0.01 * MEAN);
            assert_float_equal(sqrt(square), SPREAD, 5 * SPREAD / sqrt(2.0 * MANY));
        }
        process_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(r_has_its_closed_form),
        cmocka_unit_test(stages_are_equal_parts),
        cmocka_unit_test(times_have_their_distribution),
        cmocka_unit_test(levels_are_those_of_the_times),
        cmocka_unit_test(loss_and_gradient_are_those_of_pytorch),
        cmocka_unit_test(loss_is_that_of_x0),
        cmocka_unit_test(gradient_is_a_finite_difference),
        cmocka_unit_test(no_difference_no_gradient),
        cmocka_unit_test(shapes_are_checked),
        cmocka_unit_test(tuning_ends_in_the_consistency_function),
        cmocka_unit_test(solver_follows_the_path),
        cmocka_unit_test(samples_have_the_moments_of_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
