/* Shortcut models. For data of a normal distribution the flow and its shortcuts have a closed form:
 * a shortcut is its own target of self-consistency, and sampling in any number of steps ends at the
 * same point. Target, loss and gradient of a small network are those of PyTorch, written in the
 * convention of the paper (tests/golden/shortcut.py). */
#include "model/diffusion/shortcut.h"
#include "tests/golden/shortcut.h"
#include "tests/net_case.h"

enum { PIXELS = SIZE * SIZE, N = 50, CASES = sizeof golden_shortcut / sizeof *golden_shortcut };

static process open_process(void) {
    process p;
    const process_settings set = {.kind = PROCESS_FLOW, .shift = 1, .shortcut = true};
    assert_int_equal(process_open(&set, &p), ST_OK);
    return p;
}

/* ---- normal data ---- */

static const double MEAN = 0.4, SPREAD = 0.3;

/* x_s on the path of the flow that has x_t at t: the quantiles of the normal distributions. */
static double along(double x_t, double t, double s) {
    const double from = sqrt((1 - t) * (1 - t) * SPREAD * SPREAD + t * t);
    const double to = sqrt((1 - s) * (1 - s) * SPREAD * SPREAD + s * s);
    return (1 - s) * MEAN + to / from * (x_t - (1 - t) * MEAN);
}

/* The mean velocity of a step; for d = 0 the velocity E[e - x_0 | x_t]. */
static double exact(double x_t, double t, double d) {
    if (d > 0) return (x_t - along(x_t, t, t - d)) / d;
    const double variance = (1 - t) * (1 - t) * SPREAD * SPREAD + t * t;
    const double slope = (t - (1 - t) * SPREAD * SPREAD) / variance;
    return -MEAN + slope * (x_t - (1 - t) * MEAN);
}

/* A network with these shortcuts. *context: the smallest size that it was asked for. */
static status ask_exact(void *context, const float *x_t, const noise_level *at, int conditional,
                        float *predicted) {
    double *smallest = context;
    assert_true(conditional);
    if (at->step < *smallest) *smallest = at->step;
    for (int i = 0; i < N; i++) predicted[i] = (float)exact((double)x_t[i], at->t, at->step);
    return ST_OK;
}

static void a_shortcut_is_its_own_target(void **state) {
    (void)state;
    process p = open_process();
    float x[N], scratch[2 * N], target[N];
    rng_stream r = rng_open(1, RNG_NOISE, 0, 0);
    for (int k = 0; k < 200; k++) {
        double smallest = 1;
        const noise_level at = shortcut_draw(&p, &r);
        rng_fill_normal(&r, x, N);
        assert_int_equal(shortcut_target(&p, &at, ask_exact, &smallest, 1, x, N, scratch, target),
                         ST_OK);
        /* Half of the smallest size is a velocity, which is a little off. */
        const bool velocities = at.step == 1.0 / 64;
        assert_float_equal(smallest, velocities ? 0 : at.step / 2, 0);
        for (int i = 0; i < N; i++)
            assert_float_equal(target[i], exact((double)x[i], at.t, at.step),
                               velocities ? 0.2 : 1e-5);
    }
    process_free(&p);
}

static void any_number_of_steps_ends_at_the_same_point(void **state) {
    (void)state;
    process p = open_process();
    for (int64_t steps = 1; steps <= SHORTCUT_STEPS; steps *= 2) {
        double smallest = 1;
        float x[N], noise[N];
        const sampling how = {.sampler = SAMPLER_EULER,
                              .steps = steps,
                              .guidance = 1,
                              .interval = {0, 1},
                              .seed = 4,
                              .process = &p};
        rng_stream r = rng_open(4, RNG_SAMPLE, 9, 0);
        rng_fill_normal(&r, noise, N);
        assert_int_equal(sampler_run(&how, ask_exact, &smallest, (uint64_t[]){9}, 1, N, x), ST_OK);
        assert_float_equal(smallest, steps < SHORTCUT_STEPS ? 1 / (double)steps : 0, 0);
        for (int i = 0; i < N; i++)
            assert_float_equal(x[i], MEAN + SPREAD * (double)noise[i],
                               steps < SHORTCUT_STEPS ? 1e-5 : 0.02);
    }
    process_free(&p);
}

/* ---- what is drawn ---- */

static void sizes_and_times_are_those_of_samplers(void **state) {
    (void)state;
    enum { DRAWS = 7000 };
    process p = open_process();
    int sizes[7] = {0}, last = 0;
    for (int k = 0; k < DRAWS; k++) {
        rng_stream r = rng_open(1, RNG_TIMESTEP, (uint64_t)k, 0);
        const noise_level at = shortcut_draw(&p, &r);
        const int size = (int)lround(-log2(at.step));
        assert_in_range(size, 0, 6);
        assert_float_equal(at.step, pow(2, -size), 0);
        assert_float_equal(at.t / at.step, floor(at.t / at.step), 0);
        assert_true(at.t >= at.step && at.t <= 1);
        assert_float_equal(at.sigma, at.t, 0);
        sizes[size]++;
        last += size == 1 && at.t == 1;
    }
    for (int k = 0; k < 7; k++) assert_in_range(sizes[k], 850, 1150); /* 1000; deviation 29 */
    assert_in_range(last, 390, 610);                                  /* 500; deviation 22 */
    process_free(&p);
}

static void one_of_eight_is_chosen(void **state) {
    (void)state;
    int places[SHORTCUT_PART] = {0};
    for (uint64_t group = 0; group < 800; group++) {
        int chosen = 0;
        for (uint64_t i = 0; i < SHORTCUT_PART; i++) {
            const bool is = shortcut_is_chosen(3, group * SHORTCUT_PART + i);
            chosen += is;
            places[i] += is;
        }
        assert_int_equal(chosen, 1);
    }
    for (int i = 0; i < SHORTCUT_PART; i++) assert_in_range(places[i], 55, 145); /* deviation 9 */
}

/* ---- PyTorch ---- */

static void wave(float *out, int64_t n, double start, double factor) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(factor * sin(start + 0.7 * (double)i));
}

/* The network of tests/golden/shortcut.py. */
static net describe(void) {
    enum { WIDTH = 16 };
    net n;
    assert_int_equal(graph_create(&n.g), ST_OK);
    node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 1);
    node t = graph_input(n.g, "t", TYPE_F32, 1, 1, 1), d = graph_input(n.g, "d", TYPE_F32, 1, 1, 1);
    t = graph_linear(n.g, "t", graph_sinusoid(n.g, t, WIDTH, 1), WIDTH, INIT_UNIFORM);
    d = graph_linear(n.g, "d", graph_sinusoid(n.g, d, WIDTH, 1000), WIDTH, INIT_UNIFORM);
    node h = graph_conv(n.g, "a", x, WIDTH, 3, 1, INIT_UNIFORM);
    node e = graph_silu(n.g, graph_add(n.g, t, d));
    e = graph_linear(n.g, "e", e, 2 * WIDTH, INIT_UNIFORM);
    h = graph_norm(n.g, "n", h, 8, e, true);
    n.out = graph_conv(n.g, "b", h, 1, 3, 1, INIT_UNIFORM);
    add_loss(&n, SIZE, 1, LOSS_L2);
    return n;
}

static params *make_waves(const net *n, int first) {
    params *p = NULL;
    assert_int_equal(params_create(n->g, &p), ST_OK);
    assert_int_equal(p->count, GOLDEN_PARAMS);
    for (int64_t k = 0; k < p->count; k++) {
        const param *q = &p->list[k];
        const int64_t fan = q->rank == 4 ? 9 * q->shape[1] : q->shape[q->rank - 1];
        wave(p->value + q->offset, q->count, (double)(first + k), 1 / sqrt((double)fan));
    }
    return p;
}

static float *input(plan *pl, const char *name) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    return in.at;
}

typedef struct asked {
    const net *net;
    plan *plan;
} asked;

static void give(plan *pl, const float *x_t, const noise_level *at) {
    memcpy(input(pl, "x"), x_t, PIXELS * sizeof(float));
    *input(pl, "t") = (float)at->time;
    *input(pl, "d") = (float)at->step;
}

static status ask_network(void *context, const float *x_t, const noise_level *at, int conditional,
                          float *predicted) {
    const asked *a = context;
    assert_true(conditional);
    give(a->plan, x_t, at);
    const status st = plan_forward(a->plan, &keys);
    memcpy(predicted, plan_output(a->plan, a->net->out).at, PIXELS * sizeof(float));
    return st;
}

static void check(const float *x, int64_t n, const double golden[2], double near) {
    float *wanted = malloc((size_t)n * sizeof(float));
    double square = 0, sum = 0;
    assert_non_null(wanted);
    wave(wanted, n, 5, 1);
    for (int64_t i = 0; i < n; i++) {
        square += (double)x[i] * (double)x[i];
        sum += (double)x[i] * (double)wanted[i];
    }
    free(wanted);
    assert_float_equal(sqrt(square), golden[0], near * golden[0]);
    assert_float_equal(sum, golden[1], 2.5 * near * golden[0] * sqrt((double)n));
}

/* The second slot of the plans has the weight 0. */
static void loss_and_gradient_are_those_of_pytorch(void **state) {
    (void)state;
    process p = open_process();
    net n = describe();
    params *all = make_waves(&n, 1), *ema = make_waves(&n, 101);
    plan *pl = make_plan(&n, all, ENGINE_REFERENCE, true);
    asked teacher = {&n, make_plan(&n, ema, ENGINE_REFERENCE, false)};
    float data[PIXELS], noise[PIXELS], x_t[PIXELS], scratch[2 * PIXELS], target[PIXELS];
    wave(data, PIXELS, 31, 1);
    wave(noise, PIXELS, 57, sqrt(2));
    for (int k = 0; k < CASES; k++) {
        const struct golden_shortcut *golden = &golden_shortcut[k];
        noise_level at = process_level(&p, golden->t);
        at.step = golden->d;
        process_diffuse(&at, data, noise, x_t, PIXELS);
        assert_int_equal(
            shortcut_target(&p, &at, ask_network, &teacher, 1, x_t, PIXELS, scratch, target),
            ST_OK);
        check(target, PIXELS, golden->target, 1e-5);
        give(pl, x_t, &at);
        memcpy(input(pl, "target"), target, sizeof target);
        input(pl, "weight")[0] = 1;
        assert_float_equal(loss_of(pl, &n) / golden->loss, 1, 1e-5);
        memset(all->grad, 0, (size_t)all->total * sizeof(float));
        assert_int_equal(plan_backward(pl, NULL, NULL), ST_OK);
        for (int64_t i = 0; i < all->count; i++) {
            const param *q = &all->list[i];
            check(all->grad + q->offset, q->count, golden->gradient[i], 2e-5);
        }
    }
    plan_destroy(pl);
    plan_destroy(teacher.plan);
    params_destroy(all);
    params_destroy(ema);
    graph_destroy(n.g);
    process_free(&p);
}

/* ---- refusals ---- */

static void what_does_not_fit_is_refused(void **state) {
    (void)state;
    process p = open_process(), other;
    double smallest = 1;
    float x[N];
    const sampling fits = {
        .sampler = SAMPLER_EULER, .steps = 4, .guidance = 1, .interval = {0, 1}, .process = &p};
    sampling wrong[] = {fits, fits, fits, fits};
    wrong[0].steps = 3;
    wrong[1].steps = 2 * SHORTCUT_STEPS;
    wrong[2].sampler = SAMPLER_HEUN;
    wrong[3].grid = GRID_QUADRATIC;
    for (size_t k = 0; k < sizeof wrong / sizeof *wrong; k++) {
        assert_int_equal(sampler_run(&wrong[k], ask_exact, &smallest, (uint64_t[]){9}, 1, N, x),
                         ST_USAGE);
        assert_non_null(strstr(status_message(), "1, 2, 4, ... or 128 steps"));
    }
    process_free(&p);
    const process_settings settings[] = {{.kind = PROCESS_FLOW, .shift = 2, .shortcut = true},
                                         {.kind = PROCESS_EDM, .sigma_data = 1, .shortcut = true}};
    for (int k = 0; k < 2; k++) {
        assert_int_equal(process_open(&settings[k], &other), ST_USAGE);
        assert_non_null(strstr(status_message(), "flow with shift 1"));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shortcut_is_its_own_target),
        cmocka_unit_test(any_number_of_steps_ends_at_the_same_point),
        cmocka_unit_test(sizes_and_times_are_those_of_samplers),
        cmocka_unit_test(one_of_eight_is_chosen),
        cmocka_unit_test(loss_and_gradient_are_those_of_pytorch),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
