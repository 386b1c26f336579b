/* Samplers with an exact denoiser: for normally distributed data the optimal denoiser has a closed
 * form and every step is linear, so mean and variance of the output are known exactly.
 */
#include "model/diffusion/sampler.h"
#include "model/rng.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N = 1000, BATCH = 20 };

static const double MEAN = 0.3, SPREAD = 0.5; /* of the data */

/* The denoiser: the distribution of the data, and the kind of prediction expected. */
typedef struct oracle {
    const process *process;
    int64_t count, calls[2], times[4096];
    double push;   /* added to conditional predictions */
    double points; /* not NAN: all data have this value */
    status fault;
} oracle;

static status oracle_denoise(void *context, const float *x_t, const noise_level *at,
                             int conditional, float *predicted) {
    oracle *o = context;
    double bar = at->signal, alpha = sqrt(bar);
    double gain = alpha * SPREAD * SPREAD / (bar * SPREAD * SPREAD + 1 - bar);
    if (o->calls[1] < 4096) o->times[o->calls[1]] = (int64_t)at->t;
    o->calls[conditional != 0]++;
    for (int64_t i = 0; i < o->count; i++) {
        float x0 = (float)(isnan(o->points) ? MEAN + gain * (x_t[i] - alpha * MEAN) : o->points);
        float eps = (float)((x_t[i] - alpha * x0) / sqrt(1 - bar));
        process_target(o->process, at, &x0, &eps, &predicted[i], 1);
        if (conditional) predicted[i] += (float)o->push;
    }
    return o->fault;
}

typedef struct set_up {
    process process;
    oracle oracle;
    sampling how;
    uint64_t index[BATCH];
    float x[BATCH * N];
} set_up;

static void prepare(set_up *s, schedule_kind noise, int64_t most, objective_kind objective,
                    sampler_kind sampler, int64_t steps, double eta) {
    const process_settings set = {.schedule = noise, .steps = most, .objective = objective};
    assert_int_equal(process_open(&set, &s->process), ST_OK);
    s->oracle = (oracle){.process = &s->process, .count = BATCH * N, .points = NAN};
    s->how = (sampling){.sampler = sampler,
                        .steps = steps,
                        .eta = eta,
                        .guidance = 1,
                        .interval = {0, 1},
                        .seed = 5,
                        .process = &s->process};
    for (int b = 0; b < BATCH; b++) s->index[b] = (uint64_t)(100 + b * b);
}

static status run(set_up *s) {
    return sampler_run(&s->how, oracle_denoise, &s->oracle, s->index, BATCH, N, s->x);
}

static void moments_of(const float *x, int64_t n, double *mean, double *variance) {
    double sum = 0, square = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i];
    *mean = sum / (double)n;
    for (int64_t i = 0; i < n; i++) square += (x[i] - *mean) * (x[i] - *mean);
    *variance = square / (double)(n - 1);
}

/* Mean and variance of the output, in f64, from the definition of a step (Song et al. 2021, eq. 12;
 * eta = 1 is DDPM): x_to = alpha_to x_0 + sqrt(1 - bar_to - sigma^2) eps + sigma z. */
static void expect(const oracle *o, double eta, double *mean, double *variance) {
    *mean = 0, *variance = 1;
    for (int64_t k = 0; k < o->calls[1]; k++) {
        int64_t t = o->times[k], to = k + 1 < o->calls[1] ? o->times[k + 1] : 0;
        double bar = schedule_alpha_bar(&o->process->schedule, t),
               bar_to = schedule_alpha_bar(&o->process->schedule, to);
        double gain = sqrt(bar) * SPREAD * SPREAD / (bar * SPREAD * SPREAD + 1 - bar);
        double sigma2 = eta * eta * (1 - bar_to) / (1 - bar) * (1 - bar / bar_to);
        double through = sqrt(fmax(0, 1 - bar_to - sigma2)) / sqrt(1 - bar);
        /* x_0 = MEAN + gain (x - alpha MEAN), eps = (x - alpha x_0) / sigma_t. */
        double slope = (sqrt(bar_to) - through * sqrt(bar)) * gain + through;
        double offset = (sqrt(bar_to) - through * sqrt(bar)) * MEAN * (1 - gain * sqrt(bar));
        *mean = slope * *mean + offset;
        *variance = slope * slope * *variance + sigma2;
    }
}

static const struct how {
    sampler_kind sampler;
    double eta, eta_equal;
} hows[] = {
    {SAMPLER_DDPM, 0, 1}, {SAMPLER_DDIM, 0, 0}, {SAMPLER_DDIM, 0.5, 0.5}, {SAMPLER_DDIM, 1, 1}};

static const objective_kind objectives[] = {OBJECTIVE_EPS, OBJECTIVE_X0, OBJECTIVE_V};

/* On a subset of the times the moments of the output equal the recursion's, for every objective. */
static void few_steps_follow_the_recursion(void **state) {
    set_up *s = *state;
    for (size_t k = 0; k < sizeof hows / sizeof *hows; k++) {
        for (size_t o = 0; o < 3; o++) {
            double mean, variance, mean_true, variance_true;
            prepare(s, SCHEDULE_LINEAR, 1000, objectives[o], hows[k].sampler, 23, hows[k].eta);
            assert_int_equal(run(s), ST_OK);
            assert_int_equal(s->oracle.calls[1], 23);
            assert_int_equal(s->oracle.calls[0], 0);
            expect(&s->oracle, hows[k].eta_equal, &mean_true, &variance_true);
            moments_of(s->x, BATCH * N, &mean, &variance);
            assert_true(fabs(mean - mean_true) < 4 * sqrt(variance_true / (BATCH * N)));
            assert_true(fabs(variance / variance_true - 1) < 4 * sqrt(2.0 / (BATCH * N)));
            process_free(&s->process);
        }
    }
}

/* With all T steps the output is distributed as the data, up to the Monte Carlo error and the
 * discretisation error (about 1 / T in the variance). */
static void all_steps_give_the_data_back(void **state) {
    set_up *s = *state;
    static const schedule_kind schedules[] = {SCHEDULE_LINEAR, SCHEDULE_COSINE,
                                              SCHEDULE_RAISED_COSINE};
    for (size_t k = 0; k < sizeof hows / sizeof *hows; k++) {
        double mean, variance;
        prepare(s, schedules[k % 3], 300, OBJECTIVE_V, hows[k].sampler, 300, hows[k].eta);
        assert_int_equal(run(s), ST_OK);
        moments_of(s->x, BATCH * N, &mean, &variance);
        assert_true(fabs(mean - MEAN) < 4 * SPREAD / sqrt(BATCH * N) + 3e-3);
        assert_true(fabs(variance / (SPREAD * SPREAD) - 1) < 4 * sqrt(2.0 / (BATCH * N)) + 2e-2);
        process_free(&s->process);
    }
}

/* Both use the same noise, so they agree element by element. */
static void ddpm_is_ddim_with_eta_1(void **state) {
    set_up *s = *state;
    static float ddpm[BATCH * N];
    prepare(s, SCHEDULE_COSINE, 1000, OBJECTIVE_EPS, SAMPLER_DDPM, 50, 0);
    s->how.clip = 1;
    assert_int_equal(run(s), ST_OK);
    memcpy(ddpm, s->x, sizeof ddpm);
    s->how.sampler = SAMPLER_DDIM, s->how.eta = 1;
    assert_int_equal(run(s), ST_OK);
    for (int i = 0; i < BATCH * N; i++) assert_true(fabsf(s->x[i] - ddpm[i]) < 1e-3f);
    process_free(&s->process);
}

/* eta = 0: the output is a function of x_T. For data at a single point it is that point. */
static void ddim_without_eta_is_deterministic(void **state) {
    set_up *s = *state;
    static float first[BATCH * N];
    prepare(s, SCHEDULE_LINEAR, 100, OBJECTIVE_EPS, SAMPLER_DDIM, 100, 0);
    assert_int_equal(run(s), ST_OK);
    memcpy(first, s->x, sizeof first);
    assert_int_equal(run(s), ST_OK);
    assert_memory_equal(first, s->x, sizeof first);
    /* Monotone in x_T: trajectories of an ordinary differential equation do not cross. */
    static float start[BATCH * N];
    for (int b = 0; b < BATCH; b++) {
        rng_stream r = rng_open(5, RNG_SAMPLE, s->index[b], 0);
        rng_fill_normal(&r, start + b * N, N);
    }
    for (int i = 1; i < BATCH * N; i++)
        if (fabsf(start[i] - start[0]) > 1e-3f)
            assert_true((start[i] > start[0]) == (first[i] > first[0]));
    s->oracle.points = 0.625;
    for (int k = 0; k < 2; k++) {
        s->how.eta = k;
        assert_int_equal(run(s), ST_OK);
        for (int i = 0; i < BATCH * N; i++) assert_true(fabsf(s->x[i] - 0.625f) < 1e-4f);
    }
    process_free(&s->process);
}

static void bytes_do_not_depend_on_the_batch(void **state) {
    set_up *s = *state;
    static float alone[N];
    for (size_t k = 0; k < sizeof hows / sizeof *hows; k++) {
        prepare(s, SCHEDULE_COSINE, 100, OBJECTIVE_V, hows[k].sampler, 7, hows[k].eta);
        assert_int_equal(run(s), ST_OK);
        s->oracle.count = N;
        for (int b = BATCH - 1; b >= 0; b -= 3) {
            assert_int_equal(
                sampler_run(&s->how, oracle_denoise, &s->oracle, &s->index[b], 1, N, alone), ST_OK);
            assert_memory_equal(alone, s->x + b * N, sizeof alone);
        }
        s->how.seed++;
        assert_int_equal(
            sampler_run(&s->how, oracle_denoise, &s->oracle, &s->index[0], 1, N, alone), ST_OK);
        assert_memory_not_equal(alone, s->x, sizeof alone);
        process_free(&s->process);
    }
}

/* w = 1 evaluates the network once a step. A larger w extrapolates: adding p to the conditional
 * prediction adds w p to the guided one. */
static void guidance(void **state) {
    set_up *s = *state;
    static float guided[BATCH * N];
    prepare(s, SCHEDULE_LINEAR, 1000, OBJECTIVE_V, SAMPLER_DDIM, 20, 0);
    s->how.guidance = 2, s->oracle.push = 0.125;
    assert_int_equal(run(s), ST_OK);
    assert_int_equal(s->oracle.calls[0], 20);
    assert_int_equal(s->oracle.calls[1], 20);
    memcpy(guided, s->x, sizeof guided);
    s->how.guidance = 1, s->oracle.push = 0.25;
    s->oracle.calls[0] = s->oracle.calls[1] = 0;
    assert_int_equal(run(s), ST_OK);
    assert_int_equal(s->oracle.calls[0], 0);
    assert_int_equal(s->oracle.calls[1], 20);
    for (int i = 0; i < BATCH * N; i++) assert_true(fabsf(guided[i] - s->x[i]) < 1e-4f);
    s->how.guidance = 0;
    assert_int_equal(run(s), ST_OK);
    memcpy(guided, s->x, sizeof guided);
    s->how.guidance = 1, s->oracle.push = 0;
    assert_int_equal(run(s), ST_OK);
    for (int i = 0; i < BATCH * N; i++) assert_true(fabsf(guided[i] - s->x[i]) < 1e-4f);
    process_free(&s->process);
}

/* With the bounds of an interval the network is called without conditions where the share of noise
 * lies between them; outside the sample is that without guidance. */
static void guidance_on_an_interval(void **state) {
    set_up *s = *state;
    static float plain[BATCH * N];
    int64_t expected = 0;
    prepare(s, SCHEDULE_LINEAR, 1000, OBJECTIVE_V, SAMPLER_DDIM, 20, 0);
    s->oracle.push = 0.125;
    assert_int_equal(run(s), ST_OK);
    memcpy(plain, s->x, sizeof plain);
    for (int64_t k = 0; k < 20; k++) {
        const noise_level at = process_level(&s->process, (double)s->oracle.times[k]);
        const double share = at.sigma / (at.alpha + at.sigma);
        expected += share >= 0.3 && share <= 0.7;
    }
    assert_in_range(expected, 3, 17);
    s->how.guidance = 2, s->how.interval[0] = 0.3, s->how.interval[1] = 0.7;
    s->oracle.calls[1] = 0;
    assert_int_equal(run(s), ST_OK);
    assert_int_equal(s->oracle.calls[0], expected);
    assert_int_equal(s->oracle.calls[1], 20);
    assert_memory_not_equal(plain, s->x, sizeof plain);
    s->how.interval[0] = s->how.interval[1] = 0; /* noise is never 0 */
    assert_int_equal(run(s), ST_OK);
    assert_int_equal(s->oracle.calls[0], expected);
    assert_memory_equal(plain, s->x, sizeof plain);
    process_free(&s->process);
}

/* Predictions c and u = c / 2, guided with w = 3: c + 2 (c - u) = 2 c. Rescaled in full it has the
 * standard deviation of c again, so that the samples are those of c; by half, those of 1.5 c. */
static status halves(void *context, const float *x_t, const noise_level *at, int conditional,
                     float *predicted) {
    const double factor = *(const double *)context;
    (void)at;
    for (int64_t i = 0; i < 2 * N; i++)
        predicted[i] = (float)(factor * (conditional ? 1 : 0.5) * sin(3 * (double)x_t[i]));
    return ST_OK;
}

static void rescaled_guidance_keeps_the_spread(void **state) {
    set_up *s = *state;
    static float expected[2 * N];
    static const double rescale[] = {0, 0.5, 1}, factor[] = {2, 1.5, 1};
    double one = 1;
    prepare(s, SCHEDULE_LINEAR, 1000, OBJECTIVE_V, SAMPLER_DDIM, 5, 0);
    for (int k = 0; k < 3; k++) {
        double alone = factor[k];
        s->how.guidance = 1, s->how.rescale = 0;
        assert_int_equal(sampler_run(&s->how, halves, &alone, s->index, 2, N, expected), ST_OK);
        s->how.guidance = 3, s->how.rescale = rescale[k];
        assert_int_equal(sampler_run(&s->how, halves, &one, s->index, 2, N, s->x), ST_OK);
        for (int i = 0; i < 2 * N; i++) assert_float_equal(s->x[i], expected[i], 1e-4);
    }
    process_free(&s->process);
}

/* For every number of steps: T first, 1 last, strictly decreasing, gaps equal to within one. */
static void times_are_even(void **state) {
    set_up *s = *state;
    for (int64_t most = 1; most <= 37; most += 4) {
        for (int64_t steps = 1; steps <= most; steps++) {
            float x[2];
            prepare(s, SCHEDULE_LINEAR, most, OBJECTIVE_X0, SAMPLER_DDIM, steps, 0);
            s->oracle.count = 2;
            assert_int_equal(sampler_run(&s->how, oracle_denoise, &s->oracle, s->index, 1, 2, x),
                             ST_OK);
            const int64_t *times = s->oracle.times;
            assert_int_equal(s->oracle.calls[1], steps);
            assert_int_equal(times[0], most);
            if (steps > 1) assert_int_equal(times[steps - 1], 1);
            for (int64_t k = 1; k < steps; k++) {
                double gap = (double)(most - 1) / (double)(steps - 1);
                assert_true(times[k] < times[k - 1]);
                assert_true(fabs((double)(times[k - 1] - times[k]) - gap) < 1);
            }
            process_free(&s->process);
        }
    }
}

/* At the noisy end of the cosine schedule 1 / alpha is 20,000. With the clamp a small constant
 * error of epsilon is harmless, and the output stays within the clamp. */
static void clamp_tames_the_far_end(void **state) {
    set_up *s = *state;
    for (size_t k = 0; k < sizeof hows / sizeof *hows; k++) {
        double mean, variance;
        prepare(s, SCHEDULE_COSINE, 1000, OBJECTIVE_EPS, hows[k].sampler, 50, hows[k].eta);
        s->oracle.push = 1e-3, s->how.clip = 2.5;
        assert_int_equal(run(s), ST_OK);
        for (int i = 0; i < BATCH * N; i++) assert_true(fabsf(s->x[i]) <= 2.5f);
        moments_of(s->x, BATCH * N, &mean, &variance);
        assert_true(fabs(mean - MEAN) < 0.1 && fabs(sqrt(variance) - SPREAD) < 0.1);
        s->oracle.push = 0;
        for (int side = -1; side <= 1; side += 2) {
            s->oracle.points = 3 * side;
            assert_int_equal(run(s), ST_OK);
            for (int i = 0; i < BATCH * N; i++) assert_true(s->x[i] == 2.5f * (float)side);
        }
        process_free(&s->process);
    }
}

static void faults_are_passed_on(void **state) {
    set_up *s = *state;
    prepare(s, SCHEDULE_LINEAR, 100, OBJECTIVE_EPS, SAMPLER_DDPM, 10, 0);
    const sampling good = s->how;
    s->oracle.fault = status_fail(ST_STORAGE, "the disk is full");
    assert_int_equal(run(s), ST_STORAGE);
    assert_string_equal(status_message(), "the disk is full");
    s->oracle.fault = ST_OK;
    for (int clip = 0; clip < 2; clip++) {
        s->oracle.push = NAN, s->how.clip = clip;
        assert_int_equal(run(s), ST_DIVERGED);
    }
    s->oracle.push = 0;
    sampling wrong[10];
    for (int k = 0; k < 10; k++) wrong[k] = good;
    wrong[0].steps = 0, wrong[1].steps = 101, wrong[2].eta = 1.5;
    wrong[3].eta = NAN, wrong[4].guidance = INFINITY, wrong[5].clip = -1;
    wrong[6].interval[1] = 1.5, wrong[7].interval[0] = NAN, wrong[8].rescale = -1;
    wrong[9].rescale = NAN;
    for (int k = 0; k < 10; k++) {
        s->how = wrong[k];
        assert_int_equal(run(s), ST_USAGE);
    }
    s->how = good;
    assert_int_equal(run(s), ST_OK);
    process_free(&s->process);
}

/* x_0 becomes 2 for the first sample alone. */
static void set_two(void *context, int64_t b, float *x0) {
    (void)context;
    for (int64_t i = 0; b == 0 && i < N; i++) x0[i] = 2;
}

/* A corrected x_0 is where a deterministic sampler ends, because eps follows from it. */
static void a_correction_of_x0_is_followed(void **state) {
    set_up *s = *state;
    static float free[BATCH * N];
    prepare(s, SCHEDULE_COSINE, 100, OBJECTIVE_V, SAMPLER_DDIM, 10, 0);
    assert_int_equal(run(s), ST_OK);
    memcpy(free, s->x, sizeof free);
    s->oracle.calls[1] = 0;
    s->how.correct = set_two;
    assert_int_equal(run(s), ST_OK);
    for (int64_t i = 0; i < N; i++) assert_float_equal(s->x[i], 2, 1e-5);
    for (int64_t i = N; i < BATCH * N; i++) assert_float_equal(s->x[i], free[i], 1e-4);
    process_free(&s->process);
}

/* The output of DDPM with a variance, and its recursion in f64: a step to a time above 0 has the
 * variance beta^v beta_tilde^(1 - v). */
static void check_ddpm_variance(set_up *s, variance_kind kind, double v) {
    double mean, variance, mean_true = 0, variance_true = 1;
    static float output[BATCH * N];
    for (int i = 0; i < BATCH * N; i++) output[i] = (float)(2 * v - 1);
    prepare(s, SCHEDULE_COSINE, 1000, OBJECTIVE_V, SAMPLER_DDPM, 7, 0);
    s->how.variance = kind;
    s->how.output = output;
    assert_int_equal(run(s), ST_OK);
    for (int64_t k = 0; k < 7; k++) {
        const int64_t t = s->oracle.times[k], to = k < 6 ? s->oracle.times[k + 1] : 0;
        const double bar = schedule_alpha_bar(&s->process.schedule, t),
                     bar_to = schedule_alpha_bar(&s->process.schedule, to), beta = 1 - bar / bar_to;
        const double gain = sqrt(bar) * SPREAD * SPREAD / (bar * SPREAD * SPREAD + 1 - bar);
        const double a = sqrt(bar_to) * beta / (1 - bar);
        const double b = sqrt(1 - beta) * (1 - bar_to) / (1 - bar);
        const double tilde = beta * (1 - bar_to) / (1 - bar);
        mean_true = (a * gain + b) * mean_true + a * MEAN * (1 - gain * sqrt(bar));
        variance_true = (a * gain + b) * (a * gain + b) * variance_true +
                        (to > 0 ? pow(beta, v) * pow(tilde, 1 - v) : 0);
    }
    moments_of(s->x, BATCH * N, &mean, &variance);
    assert_true(fabs(mean - mean_true) < 4 * sqrt(variance_true / (BATCH * N)));
    assert_true(fabs(variance / variance_true - 1) < 4 * sqrt(2.0 / (BATCH * N)));
    process_free(&s->process);
}

/* Between the ends the variances of these few steps differ by far more than the Monte Carlo error.
 */
static void ddpm_has_the_variance_asked_for(void **state) {
    check_ddpm_variance(*state, VARIANCE_FIXED_SMALL, 0);
    check_ddpm_variance(*state, VARIANCE_FIXED_LARGE, 1);
    for (int k = -1; k <= 5; k++) check_ddpm_variance(*state, VARIANCE_LEARNED, k / 4.0);
}

static void ddim_ignores_the_variance(void **state) {
    set_up *s = *state;
    static float plain[BATCH * N], output[BATCH * N];
    prepare(s, SCHEDULE_COSINE, 100, OBJECTIVE_V, SAMPLER_DDIM, 7, 0.5);
    assert_int_equal(run(s), ST_OK);
    memcpy(plain, s->x, sizeof plain);
    s->how.output = output;
    for (int k = 0; k < variance_kinds.count; k++) {
        s->how.variance = (variance_kind)k;
        assert_int_equal(run(s), ST_OK);
        assert_memory_equal(plain, s->x, sizeof plain);
    }
    process_free(&s->process);
}

/* Every sampler, plain, guided everywhere, and guided on an interval of noise levels. The last step
 * of Heun and midpoint, to data, is one of Euler. */
static void evaluations_are_counted(void **state) {
    set_up *s = *state;
    static float output[BATCH * N];
    const int64_t published[] = {
        [SAMPLER_DDPM] = 7,      [SAMPLER_DDIM] = 7,   [SAMPLER_HEUN] = 13,
        [SAMPLER_MIDPOINT] = 13, [SAMPLER_DPM_2M] = 7, [SAMPLER_DPM_2M_SDE] = 7};
    for (int kind = 0; kind < sampler_kinds.count; kind++) {
        if (!sampler_fits((sampler_kind)kind, PROCESS_DDPM)) continue;
        prepare(s, SCHEDULE_COSINE, 100, OBJECTIVE_V, (sampler_kind)kind, 7, 0);
        s->how.output = output;
        if (kind == SAMPLER_CONSISTENCY) s->how.grid = GRID_CONSISTENCY;
        for (int way = 0; way < 3; way++) {
            int64_t evaluations = -1;
            s->how.guidance = way > 0 ? 2 : 1;
            if (way == 2) s->how.interval[0] = 0.3, s->how.interval[1] = 0.7;
            memset(s->oracle.calls, 0, sizeof s->oracle.calls);
            assert_int_equal(run(s), ST_OK);
            assert_int_equal(sampler_evaluations(&s->how, &evaluations), ST_OK);
            assert_int_equal(evaluations, s->oracle.calls[0] + s->oracle.calls[1]);
            if (kind <= SAMPLER_DPM_2M_SDE && published[kind] > 0 && way < 2)
                assert_int_equal(evaluations, (way + 1) * published[kind]);
        }
        process_free(&s->process);
    }
    int64_t evaluations;
    s->how.steps = 0;
    assert_int_equal(sampler_evaluations(&s->how, &evaluations), ST_USAGE);
}

int main(void) {
    static set_up s;
    void *state = &s;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(few_steps_follow_the_recursion, state),
        cmocka_unit_test_prestate(all_steps_give_the_data_back, state),
        cmocka_unit_test_prestate(ddpm_is_ddim_with_eta_1, state),
        cmocka_unit_test_prestate(ddim_without_eta_is_deterministic, state),
        cmocka_unit_test_prestate(bytes_do_not_depend_on_the_batch, state),
        cmocka_unit_test_prestate(guidance, state),
        cmocka_unit_test_prestate(guidance_on_an_interval, state),
        cmocka_unit_test_prestate(rescaled_guidance_keeps_the_spread, state),
        cmocka_unit_test_prestate(ddpm_has_the_variance_asked_for, state),
        cmocka_unit_test_prestate(ddim_ignores_the_variance, state),
        cmocka_unit_test_prestate(times_are_even, state),
        cmocka_unit_test_prestate(clamp_tames_the_far_end, state),
        cmocka_unit_test_prestate(faults_are_passed_on, state),
        cmocka_unit_test_prestate(a_correction_of_x0_is_followed, state),
        cmocka_unit_test_prestate(evaluations_are_counted, state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
