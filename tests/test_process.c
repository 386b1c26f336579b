/* Processes: the formulas of their papers, the distributions of training times, times between the
 * whole ones, and loss and gradient of a small network under EDM and flow against PyTorch
 * (tests/golden/process.py). */
#include "model/diffusion/time_grid.h"
#include "tests/process_case.h"

#include "model/metric/normal.h"

#include <stdio.h>

enum { N = 200 };

/* Loss and gradient of two samples at the times given. */
static void compare_at(const golden_process *golden, const process *p, const double *times) {
    net n = describe_network();
    add_loss(&n, SIZE, 1, LOSS_L2);
    params *all = golden_params(&n);
    plan *pl = make_plan(&n, all, ENGINE_REFERENCE, true);
    float data[BATCH * PIXELS], noise[BATCH * PIXELS];
    golden_data(data, noise);
    for (int b = 0; b < BATCH; b++) {
        const noise_level at = process_level(p, times[b]);
        const float *x0 = data + b * PIXELS, *e = noise + b * PIXELS;
        float *x = input(pl, "x") + b * PIXELS;
        process_target(p, &at, x0, e, input(pl, "target") + b * PIXELS, PIXELS);
        process_diffuse(&at, x0, e, x, PIXELS);
        for (int i = 0; i < PIXELS; i++) x[i] *= (float)at.scale;
        input(pl, "t")[b] = (float)at.time;
        input(pl, "weight")[b] = (float)process_weight(p, &at);
    }
    compare_with(golden, &n, pl, all);
    plan_destroy(pl);
    params_destroy(all);
    graph_destroy(n.g);
}

static void loss_and_gradient_are_those_of_pytorch(void **state) {
    (void)state;
    process p = open_process((process_settings){.kind = PROCESS_EDM});
    compare_at(&golden_edm, &p, (const double[]){0.05, 3.5});
    process_free(&p);
    p = open_process((process_settings){.kind = PROCESS_FLOW});
    compare_at(&golden_flow, &p, (const double[]){0.2, 0.85});
    process_free(&p);
}

/* The split of a target gives x_0 and e back; alpha x_0 + sigma e of any split is x_t. */
static void split_undoes_target(void **state) {
    (void)state;
    static const double times[3][4] = {
        {1, 40.25, 500, 900.5}, {0.002, 0.5, 3, 80}, {1e-3, 0.3, 0.9, 1}};
    float x0[N], e[N], x_t[N], target[N], x0_back[N], e_back[N];
    rng_stream r = rng_open(1, RNG_NOISE, 0, 0);
    rng_fill_normal(&r, x0, N);
    rng_fill_normal(&r, e, N);
    for (int kind = 0; kind <= PROCESS_FLOW; kind++) {
        process p =
            open_process((process_settings){.kind = (process_kind)kind, .objective = OBJECTIVE_V});
        for (int k = 0; k < 4; k++) {
            const noise_level at = process_level(&p, times[kind][k]);
            process_diffuse(&at, x0, e, x_t, N);
            process_target(&p, &at, x0, e, target, N);
            process_split(&p, &at, x_t, target, x0_back, e_back, N);
            const double size = fmax(1, at.sigma);
            for (int i = 0; i < N; i++) {
                assert_float_equal(x0_back[i], x0[i], 2e-6 * size);
                assert_float_equal(e_back[i], e[i], 2e-6 / fmax(at.sigma, 0.3));
            }
            rng_fill_normal(&r, target, N);
            process_split(&p, &at, x_t, target, x0_back, e_back, N);
            for (int i = 0; i < N; i++)
                assert_float_equal(at.alpha * (double)x0_back[i] + at.sigma * (double)e_back[i],
                                   x_t[i], 3e-6 * size);
        }
        process_free(&p);
    }
}

/* Table 1 of Karras et al., and that input and target of the network have variance 1. */
static void edm_scales_input_and_target(void **state) {
    (void)state;
    enum { MANY = 20000 };
    static float x0[MANY], e[MANY], x_t[MANY], target[MANY];
    process p = open_process((process_settings){.kind = PROCESS_EDM});
    rng_stream r = rng_open(2, RNG_NOISE, 0, 0);
    rng_fill_normal(&r, x0, MANY);
    rng_fill_normal(&r, e, MANY);
    for (int i = 0; i < MANY; i++) x0[i] *= (float)SIGMA_DATA;
    for (double sigma = 0.01; sigma < 100; sigma *= 5) {
        const noise_level at = process_level(&p, sigma);
        double input = 0, output = 0;
        process_diffuse(&at, x0, e, x_t, MANY);
        process_target(&p, &at, x0, e, target, MANY);
        for (int i = 0; i < MANY; i++) {
            input += pow(at.scale * (double)x_t[i], 2) / MANY;
            output += pow((double)target[i], 2) / MANY;
        }
        assert_float_equal(input, 1, 0.06);
        assert_float_equal(output, 1, 0.06);
        assert_true(fabs(at.scale * sqrt(sigma * sigma + SIGMA_DATA * SIGMA_DATA) - 1) < 1e-12);
        assert_true(fabs(at.time - log(sigma) / 4) < 1e-12);
    }
    process_free(&p);
}

/* Shares of draws below a few values against the distribution function, within four standard
 * errors; the values of process_spread() are its quantiles. */
static void check_distribution(const process *p, double (*below)(double t)) {
    enum { MANY = 40000, PARTS = 9 };
    int64_t under[PARTS] = {0};
    for (int64_t k = 0; k < MANY; k++) {
        rng_stream r = rng_open(3, RNG_TIMESTEP, (uint64_t)k, 0);
        const double t = process_draw(p, &r), share = below(t);
        for (int i = 0; i < PARTS; i++) under[i] += share < 0.1 * (i + 1);
    }
    for (int i = 0; i < PARTS; i++) {
        const double share = 0.1 * (i + 1);
        assert_float_equal((double)under[i] / MANY, share, 4 * sqrt(share * (1 - share) / MANY));
        assert_true(fabs(below(process_spread(p, i, PARTS)) - (i + 0.5) / PARTS) < 1e-9);
    }
}

static double below_edm(double t) { return normal_below((log(t) + 1.2) / 1.2); }
static double below_uniform(double t) { return t; }
static double below_logit(double t) { return normal_below(log(t / (1 - t))); }
/* t' = 3 t / (1 + 2 t), inverted. */
static double below_shifted(double t) { return t / (3 - 2 * t); }

static void times_have_their_distributions(void **state) {
    (void)state;
    const struct {
        process_settings set;
        double (*below)(double t);
    } cases[] = {{{.kind = PROCESS_EDM}, below_edm},
                 {{.kind = PROCESS_FLOW}, below_uniform},
                 {{.kind = PROCESS_FLOW, .times = FLOW_LOGIT_NORMAL}, below_logit},
                 {{.kind = PROCESS_FLOW, .shift = 3}, below_shifted}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        process p = open_process(cases[k].set);
        check_distribution(&p, cases[k].below);
        process_free(&p);
    }
}

/* Whole times of ddpm are those of the schedule, to the bit; between them alpha falls; the time of
 * sigma / alpha is the inverse. */
static void ddpm_is_continuous(void **state) {
    (void)state;
    process p = open_process((process_settings){.kind = PROCESS_DDPM});
    double before = 2;
    for (double t = 1; t <= 1000; t += 0.25) {
        const noise_level at = process_level(&p, t);
        assert_true(at.alpha < before);
        assert_true(fabs(at.signal + at.noise - 1) < 1e-15);
        assert_true(fabs(process_time_of(&p, at.sigma / at.alpha) - t) < 1e-6);
        if (t == floor(t)) {
            const double bar = schedule_alpha_bar(&p.schedule, (int64_t)t);
            assert_true(at.alpha == sqrt(bar) && at.sigma == sqrt(1 - bar));
        }
        assert_float_equal(at.time, t - 1, 0);
        before = at.alpha;
    }
    assert_true(process_level(&p, 0).alpha == 1 && process_level(&p, 0).sigma == 0);
    process_free(&p);
}

/* Hang et al. 2023: the weight of x_0's squared error is min(SNR, 5) whatever is predicted: that of
 * a prediction is multiplied by what x_0's error is of its own. */
static void min_snr_is_one_weight_of_x0(void **state) {
    (void)state;
    const double time[] = {1, 50, 300, 700, 990};
    for (int k = 0; k < 5; k++)
        for (int objective = 0; objective < 3; objective++) {
            process p = open_process((process_settings){.objective = (objective_kind)objective,
                                                        .weight = WEIGHT_MIN_SNR});
            const noise_level at = process_level(&p, time[k]);
            const float x_t = 0.3f, one[2] = {0, 1};
            float x0[2];
            for (int i = 0; i < 2; i++) process_split(&p, &at, &x_t, &one[i], &x0[i], NULL, 1);
            const double gain = pow((double)x0[1] - (double)x0[0], 2);
            const double snr = at.signal / at.noise;
            assert_float_equal(process_weight(&p, &at) / gain / fmin(snr, 5), 1, 2e-3);
            p.set.weight = WEIGHT_UNIFORM;
            assert_float_equal(process_weight(&p, &at), 1, 0);
            process_free(&p);
        }
}

/* A straight path has the derivative that the frame names. */
static void frames_are_straight(void **state) {
    (void)state;
    static const double times[3][2] = {{500, 130.5}, {10, 0.3}, {1, 0.25}};
    for (int kind = 0; kind <= PROCESS_FLOW; kind++) {
        process p = open_process((process_settings){.kind = (process_kind)kind});
        const double x0 = 0.7, e = -1.3;
        const noise_level a = process_level(&p, times[kind][0]),
                          b = process_level(&p, times[kind][1]);
        const process_frame from = process_frame_of(&p, &a), to = process_frame_of(&p, &b);
        const double z = (a.alpha * x0 + a.sigma * e) / from.scale,
                     z_to = (b.alpha * x0 + b.sigma * e) / to.scale;
        assert_true(fabs(z_to - z - (to.at - from.at) * (from.slope * x0 + e)) < 1e-12);
        assert_true(fabs(process_frame_ratio(&p, to.at) - b.sigma / b.alpha) < 1e-9);
        process_free(&p);
    }
}

/* Karras et al. 2022, eq. 5, and its siblings: ends, monotony, even steps in their coordinate. */
static void grids_are_even(void **state) {
    (void)state;
    enum { STEPS = 12 };
    static const double power[] = {[GRID_QUADRATIC] = 2, [GRID_KARRAS] = 7};
    double times[STEPS + 1], at[STEPS];
    process p = open_process((process_settings){.kind = PROCESS_EDM});
    for (int grid = GRID_QUADRATIC; grid <= GRID_KARRAS; grid++) {
        assert_int_equal(time_grid_fill(&p, (time_grid_kind)grid, STEPS, times), ST_OK);
        assert_true(fabs(times[0] - 80) < 1e-9);
        assert_true(fabs(times[STEPS - 1] - 0.002) < 1e-9);
        assert_true(times[STEPS] == 0);
        for (int k = 0; k < STEPS; k++)
            at[k] = grid == GRID_LOG_SNR ? log(times[k]) : pow(times[k], 1 / power[grid]);
        for (int k = 2; k < STEPS; k++)
            assert_true(fabs(at[k] - at[k - 1] - (at[1] - at[0])) < 1e-9);
    }
    assert_int_equal(time_grid_fill(&p, GRID_UNIFORM, STEPS, times), ST_USAGE);
    process_free(&p);
    p = open_process((process_settings){.kind = PROCESS_FLOW, .shift = 3});
    assert_int_equal(time_grid_fill(&p, GRID_UNIFORM, 4, times), ST_OK);
    for (int k = 0; k <= 4; k++)
        assert_float_equal(times[k], 3 * (1 - k / 4.0) / (1 + 2 * (1 - k / 4.0)), 1e-12);
    process_free(&p);
}

/* From 80 to 0.8 in equal factors, for every process; one step is from 80. */
static void grid_of_consistency(void **state) {
    (void)state;
    for (int kind = 0; kind <= PROCESS_FLOW; kind++) {
        process p = open_process((process_settings){.kind = (process_kind)kind});
        for (int64_t steps = 1; steps <= 4; steps++) {
            double times[5];
            assert_int_equal(time_grid_fill(&p, GRID_CONSISTENCY, steps, times), ST_OK);
            for (int64_t k = 0; k < steps; k++) {
                const noise_level at = process_level(&p, times[k]);
                const double share = k == 0 ? 0 : (double)k / (double)(steps - 1);
                const double ratio = 80 * pow(0.01, share);
                assert_true(fabs(at.sigma / at.alpha / ratio - 1) < 1e-6);
            }
            assert_true(times[steps] == 0);
        }
        process_free(&p);
    }
}

static void faults_are_refused(void **state) {
    (void)state;
    const process_settings wrong[] = {{.kind = PROCESS_EDM, .sigma_data = 0},
                                      {.kind = PROCESS_EDM, .sigma_data = NAN},
                                      {.kind = PROCESS_FLOW, .shift = 0},
                                      {.kind = PROCESS_FLOW, .shift = 1, .weight = WEIGHT_MIN_SNR},
                                      {.kind = PROCESS_DDPM, .steps = 0}};
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        process p;
        assert_int_equal(process_open(&wrong[k], &p), ST_USAGE);
        process_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradient_are_those_of_pytorch),
        cmocka_unit_test(split_undoes_target),
        cmocka_unit_test(edm_scales_input_and_target),
        cmocka_unit_test(times_have_their_distributions),
        cmocka_unit_test(ddpm_is_continuous),
        cmocka_unit_test(min_snr_is_one_weight_of_x0),
        cmocka_unit_test(frames_are_straight),
        cmocka_unit_test(grids_are_even),
        cmocka_unit_test(grid_of_consistency),
        cmocka_unit_test(faults_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
