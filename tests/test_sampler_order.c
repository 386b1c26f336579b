/* Samplers with the exact denoiser of a mixture of Gaussians. Deterministic ones converge with
 * their order to the solution of the differential equation, which is integrated here by the
 * classical Runge-Kutta method in f64 with 256 times as many steps; stochastic ones reproduce mean
 * and covariance. */
#include "model/diffusion/sampler.h"
#include "tests/mixture_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { BATCH = 12, MANY = 10000, STEPS_MAX = 128, FINER = 256 };

static process open_process(process_kind kind) {
    process p;
    const process_settings set = {.kind = kind,
                                  .schedule = SCHEDULE_COSINE,
                                  .steps = 1000,
                                  .objective = OBJECTIVE_V,
                                  .sigma_data = 0.7,
                                  .shift = 1};
    assert_int_equal(process_open(&set, &p), ST_OK);
    return p;
}

typedef struct oracle {
    const process *process;
    int64_t batch, calls;
} oracle;

static status denoise(void *context, const float *x_t, const noise_level *at, int conditional,
                      float *predicted) {
    oracle *o = context;
    assert_true(conditional);
    o->calls++;
    for (int64_t b = 0; b < o->batch; b++) {
        double x[DIM], x0[DIM], eps[DIM];
        float given[2][DIM];
        for (int i = 0; i < DIM; i++) x[i] = (double)x_t[b * DIM + i];
        mixture_denoise(at->alpha, at->sigma, x, x0, eps);
        for (int i = 0; i < DIM; i++) {
            given[0][i] = (float)x0[i];
            given[1][i] = (float)eps[i];
        }
        process_target(o->process, at, given[0], given[1], predicted + b * DIM, DIM);
    }
    return ST_OK;
}

static sampling how_to(const process *p, sampler_kind sampler, time_grid_kind grid, int64_t steps) {
    return (sampling){.sampler = sampler,
                      .grid = grid,
                      .steps = steps,
                      .guidance = 1,
                      .interval = {0, 1},
                      .seed = 11,
                      .process = p};
}

/* Samples `batch` points; returns the number of calls of the network. */
static int64_t sample(const sampling *how, int64_t batch, float *x) {
    oracle o = {.process = how->process, .batch = batch};
    uint64_t *index = malloc((size_t)batch * sizeof *index);
    assert_non_null(index);
    for (int64_t b = 0; b < batch; b++) index[b] = (uint64_t)(7 * b + 1);
    assert_int_equal(sampler_run(how, denoise, &o, index, batch, DIM, x), ST_OK);
    free(index);
    return o.calls;
}

/* dx/du, u from 0 at the first level to 1 at the last. Over sigma / alpha = r the process is
 * d(x / alpha) / dr = e with ln r linear in u; a flow is dx/dt = e - x_0 with t linear in u. */
typedef struct problem {
    bool flow;
    double from, to; /* r or t */
} problem;

static void slope_at(const problem *p, double u, const double *y, double *dy) {
    double x0[DIM], eps[DIM], x[DIM];
    if (p->flow) {
        const double t = p->from + u * (p->to - p->from);
        mixture_denoise(1 - t, t, y, x0, eps);
        for (int i = 0; i < DIM; i++) dy[i] = (p->to - p->from) * (eps[i] - x0[i]);
        return;
    }
    const double length = log(p->to / p->from), r = p->from * exp(u * length);
    const double alpha = 1 / sqrt(1 + r * r);
    for (int i = 0; i < DIM; i++) x[i] = alpha * y[i];
    mixture_denoise(alpha, alpha * r, x, x0, eps);
    for (int i = 0; i < DIM; i++) dy[i] = length * r * eps[i];
}

/* One classical Runge-Kutta step of length h. */
static void rk4(const problem *p, double u, double h, double *y) {
    static const double at[4] = {0, 0.5, 0.5, 1}, part[4] = {1.0 / 6, 1.0 / 3, 1.0 / 3, 1.0 / 6};
    double sum[DIM] = {0}, k[DIM] = {0};
    for (int stage = 0; stage < 4; stage++) {
        double there[DIM];
        for (int i = 0; i < DIM; i++) there[i] = y[i] + h * at[stage] * k[i];
        slope_at(p, u + h * at[stage], there, k);
        for (int i = 0; i < DIM; i++) sum[i] += part[stage] * k[i];
    }
    for (int i = 0; i < DIM; i++) y[i] += h * sum[i];
}

/* The solution that starts where the samplers do. Samplers over sigma / alpha end with x_0 at the
 * last level. */
static void solve(const process *p, time_grid_kind grid, double (*out)[DIM]) {
    const int steps = FINER * STEPS_MAX;
    double times[3];
    assert_int_equal(time_grid_fill(p, grid, 2, times), ST_OK);
    const noise_level first = process_level(p, times[0]), last = process_level(p, times[1]);
    const bool flow = p->set.kind == PROCESS_FLOW;
    const problem all = {.flow = flow,
                         .from = flow ? 1 : first.sigma / first.alpha,
                         .to = flow ? 0 : last.sigma / last.alpha};
    for (int b = 0; b < BATCH; b++) {
        float start[DIM];
        double y[DIM], x[DIM], eps[DIM];
        rng_stream r = rng_open(11, RNG_SAMPLE, (uint64_t)(7 * b + 1), 0);
        rng_fill_normal(&r, start, DIM);
        const double scale = p->set.kind == PROCESS_EDM ? first.sigma : flow ? 1 : 1 / first.alpha;
        for (int i = 0; i < DIM; i++) y[i] = scale * (double)start[i];
        for (int k = 0; k < steps; k++) rk4(&all, (double)k / steps, 1.0 / steps, y);
        memcpy(out[b], y, sizeof y);
        if (flow) continue;
        for (int i = 0; i < DIM; i++) x[i] = last.alpha * y[i];
        mixture_denoise(last.alpha, last.sigma, x, out[b], eps);
    }
}

static double error_of(const float *x, double (*exact)[DIM]) {
    double square = 0;
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i < DIM; i++) square += pow((double)x[b * DIM + i] - exact[b][i], 2);
    return sqrt(square / (BATCH * DIM));
}

/* Minus the slope of ln error over ln steps, 8, 16 .. 128. */
static double order_of(const process *p, sampler_kind sampler, time_grid_kind grid,
                       double (*exact)[DIM]) {
    static float x[BATCH * DIM];
    double sum_x = 0, sum_y = 0, sum_xx = 0, sum_xy = 0;
    int n = 0;
    for (int64_t steps = 8; steps <= STEPS_MAX; steps *= 2, n++) {
        const sampling how = how_to(p, sampler, grid, steps);
        sample(&how, BATCH, x);
        const double at = log((double)steps), error = error_of(x, exact), y = log(error);
        print_message("  %-16s %-5s %-8s %3d steps: error %.3g\n",
                      named_table_name(&sampler_kinds, (int)sampler),
                      named_table_name(&process_kinds, (int)p->set.kind),
                      named_table_name(&time_grid_kinds, (int)grid), (int)steps, error);
        sum_x += at, sum_y += y, sum_xx += at * at, sum_xy += at * y;
    }
    return -(n * sum_xy - sum_x * sum_y) / (n * sum_xx - sum_x * sum_x);
}

/* PLMS is of order 4 on even steps alone, and of order 2 otherwise: between the two. */
static const struct {
    sampler_kind sampler;
    double low, high;
} deterministic[] = {{SAMPLER_EULER, 0.75, 1.25},  {SAMPLER_DDIM, 0.75, 1.25},
                     {SAMPLER_HEUN, 1.75, 2.25},   {SAMPLER_MIDPOINT, 1.75, 2.25},
                     {SAMPLER_PLMS, 1.75, 4.25},   {SAMPLER_DPM_2M, 1.75, 2.25},
                     {SAMPLER_UNIPC_2, 2.75, 3.25}};

/* The range of noise levels is narrow enough for 8 steps to be in the range where the leading term
 * of the error is the largest. */
static void deterministic_samplers_have_their_order(void **state) {
    (void)state;
    static double exact[BATCH][DIM];
    static const struct {
        process_kind process;
        time_grid_kind grid;
    } cases[] = {{PROCESS_DDPM, GRID_LOG_SNR},
                 {PROCESS_EDM, GRID_KARRAS},
                 {PROCESS_EDM, GRID_LOG_SNR},
                 {PROCESS_FLOW, GRID_UNIFORM}};
    int wrong = 0;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        process p = open_process(cases[c].process);
        p.low = 0.1, p.high = 10;
        solve(&p, cases[c].grid, exact);
        for (size_t k = 0; k < sizeof deterministic / sizeof *deterministic; k++) {
            if (!sampler_fits(deterministic[k].sampler, cases[c].process)) continue;
            const double order = order_of(&p, deterministic[k].sampler, cases[c].grid, exact);
            wrong += !(order >= deterministic[k].low && order <= deterministic[k].high);
            print_message("%s: order %.2f, expected %g to %g\n",
                          named_table_name(&sampler_kinds, (int)deterministic[k].sampler), order,
                          deterministic[k].low, deterministic[k].high);
        }
        process_free(&p);
    }
    assert_int_equal(wrong, 0);
}

/* Mean and covariance of MANY samples lie within five standard errors of those of the mixture, and
 * what the steps leave, 0.01. The standard error of a covariance is that of a normal distribution:
 * the mixture's tails are shorter. */
static void check_moments(const sampling *how) {
    static float x[MANY * DIM];
    double mean[DIM] = {0};
    sample(how, MANY, x);
    for (int64_t b = 0; b < MANY; b++)
        for (int i = 0; i < DIM; i++) mean[i] += (double)x[b * DIM + i] / MANY;
    for (int i = 0; i < DIM; i++) {
        const double error = sqrt(mixture_covariance(i, i) / MANY);
        assert_float_equal(mean[i], mixture_mean(i), 5 * error + 0.01);
        for (int j = 0; j <= i; j++) {
            const double expected = mixture_covariance(i, j);
            double sum = 0;
            for (int64_t b = 0; b < MANY; b++)
                sum += ((double)x[b * DIM + i] - mean[i]) * ((double)x[b * DIM + j] - mean[j]);
            const double spread = sqrt(
                (mixture_covariance(i, i) * mixture_covariance(j, j) + expected * expected) / MANY);
            assert_float_equal(sum / (MANY - 1), expected, 5 * spread + 0.01);
        }
    }
}

static void stochastic_samplers_reproduce_the_moments(void **state) {
    (void)state;
    static const struct {
        process_kind process;
        sampler_kind sampler;
        time_grid_kind grid;
        int64_t steps, resample;
    } cases[] = {{PROCESS_DDPM, SAMPLER_DDPM, GRID_UNIFORM, 250, 1},
                 {PROCESS_DDPM, SAMPLER_DDPM, GRID_UNIFORM, 125, 2},
                 {PROCESS_FLOW, SAMPLER_EULER, GRID_UNIFORM, 150, 3},
                 {PROCESS_DDPM, SAMPLER_DDPM, GRID_LOG_SNR, 300, 1},
                 {PROCESS_DDPM, SAMPLER_DDIM, GRID_QUADRATIC, 250, 1},
                 {PROCESS_DDPM, SAMPLER_EULER_ANCESTRAL, GRID_KARRAS, 300, 1},
                 {PROCESS_EDM, SAMPLER_EULER_ANCESTRAL, GRID_LOG_SNR, 300, 1},
                 {PROCESS_DDPM, SAMPLER_DPM_2M_SDE, GRID_LOG_SNR, 50, 1},
                 {PROCESS_EDM, SAMPLER_DPM_2M_SDE, GRID_KARRAS, 50, 1}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        process p = open_process(cases[c].process);
        sampling how = how_to(&p, cases[c].sampler, cases[c].grid, cases[c].steps);
        how.eta = cases[c].sampler == SAMPLER_DDIM;
        how.resample = cases[c].resample;
        print_message("%s on %s, %s\n", named_table_name(&sampler_kinds, (int)how.sampler),
                      named_table_name(&process_kinds, (int)p.set.kind),
                      named_table_name(&time_grid_kinds, (int)how.grid));
        check_moments(&how);
        process_free(&p);
    }
}

/* Without noise, too, the samples have the mixture's moments. */
static void deterministic_samplers_reproduce_the_moments(void **state) {
    (void)state;
    process p = open_process(PROCESS_FLOW);
    sampling how = how_to(&p, SAMPLER_HEUN, GRID_UNIFORM, 40);
    check_moments(&how);
    process_free(&p);
    p = open_process(PROCESS_EDM);
    how = how_to(&p, SAMPLER_UNIPC_2, GRID_KARRAS, 30);
    check_moments(&how);
    process_free(&p);
}

/* Every sampler that fits a process: the bytes of a sample do not depend on the batch. */
static void bytes_do_not_depend_on_the_batch(void **state) {
    (void)state;
    static const time_grid_kind grids[] = {
        [PROCESS_DDPM] = GRID_UNIFORM, [PROCESS_EDM] = GRID_KARRAS, [PROCESS_FLOW] = GRID_UNIFORM};
    static float x[3 * DIM], alone[DIM];
    const uint64_t index[3] = {5, 900, 31};
    int tried = 0;
    for (int kind = 0; kind <= PROCESS_FLOW; kind++) {
        process p = open_process((process_kind)kind);
        for (int sampler = 0; sampler < sampler_kinds.count; sampler++) {
            if (!sampler_fits((sampler_kind)sampler, (process_kind)kind)) continue;
            const bool consistency = sampler == SAMPLER_CONSISTENCY;
            sampling how =
                how_to(&p, (sampler_kind)sampler, consistency ? GRID_CONSISTENCY : grids[kind], 7);
            oracle o = {.process = &p, .batch = 3};
            how.eta = 0.5;
            assert_int_equal(sampler_run(&how, denoise, &o, index, 3, DIM, x), ST_OK);
            for (int b = 0; b < 3; b++) {
                o.batch = 1;
                assert_int_equal(sampler_run(&how, denoise, &o, index + b, 1, DIM, alone), ST_OK);
                assert_memory_equal(alone, x + b * DIM, sizeof alone);
            }
            tried++;
        }
        process_free(&p);
    }
    assert_int_equal(tried, 11 + 9 + 4);
}

/* Steps of one evaluation call the network once, those of two twice, except the last. */
static void evaluations_are_counted(void **state) {
    (void)state;
    static float x[BATCH * DIM];
    process p = open_process(PROCESS_EDM);
    for (int sampler = 0; sampler < sampler_kinds.count; sampler++) {
        if (!sampler_fits((sampler_kind)sampler, PROCESS_EDM)) continue;
        const time_grid_kind grid = sampler == SAMPLER_CONSISTENCY ? GRID_CONSISTENCY : GRID_KARRAS;
        const sampling how = how_to(&p, (sampler_kind)sampler, grid, 10);
        const bool twice = sampler == SAMPLER_HEUN || sampler == SAMPLER_MIDPOINT;
        assert_int_equal(sample(&how, BATCH, x), twice ? 19 : sampler == SAMPLER_PLMS ? 11 : 10);
    }
    process_free(&p);
}

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    static float x[DIM];
    const uint64_t index = 1;
    process p = open_process(PROCESS_FLOW);
    oracle o = {.process = &p, .batch = 1};
    for (int sampler = 0; sampler < sampler_kinds.count; sampler++)
        for (int grid = 0; grid < time_grid_kinds.count; grid++) {
            const sampling how = how_to(&p, (sampler_kind)sampler, (time_grid_kind)grid, 4);
            const bool solver =
                sampler == SAMPLER_EULER || sampler == SAMPLER_HEUN || sampler == SAMPLER_MIDPOINT;
            const bool fits = solver ? grid == GRID_UNIFORM || grid == GRID_QUADRATIC
                                     : sampler == SAMPLER_CONSISTENCY && grid == GRID_CONSISTENCY;
            assert_int_equal(sampler_run(&how, denoise, &o, &index, 1, DIM, x),
                             fits ? ST_OK : ST_USAGE);
        }
    process_free(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deterministic_samplers_have_their_order),
        cmocka_unit_test(stochastic_samplers_reproduce_the_moments),
        cmocka_unit_test(deterministic_samplers_reproduce_the_moments),
        cmocka_unit_test(bytes_do_not_depend_on_the_batch),
        cmocka_unit_test(evaluations_are_counted),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    mixture_set_up();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
