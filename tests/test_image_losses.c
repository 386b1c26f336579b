/* The losses of an autoencoder, and the sample of its latents: values in closed form, PyTorch
 * (tests/golden/autoencoder.py), and every element of the gradients against finite differences. */
#include "tests/net_case.h"
#include "tests/golden/autoencoder.h"

#include "model/hu_map.h"

/* The formula of tests/golden/autoencoder.py. */
static void wave(float *out, int64_t n, double start, double factor) {
    for (int64_t i = 0; i < n; i++) out[i] = (float)(factor * sin(start + 0.7 * (double)i));
}

/* A net whose parameter `image` are the pixels of a one-channel image: a 1x1 convolution of one-hot
 * pixels, the same for each sample. Its gradient is that by the image. */
typedef struct pixels {
    net n;
    params *p;
    plan *pl;
    int64_t h, w;
} pixels;

typedef enum which_loss { PYRAMID, WINDOWS } which_loss;

static pixels open_pixels(which_loss which, int64_t h, int64_t w, int levels) {
    pixels s = {.h = h, .w = w};
    tensor in;
    assert_int_equal(graph_create(&s.n.g), ST_OK);
    node x = graph_input(s.n.g, "x", TYPE_F32, h, w, h * w);
    node target = graph_input(s.n.g, "target", TYPE_F32, h, w, 1);
    node weight = graph_input(s.n.g, "weight", TYPE_F32, 1, 1, 1);
    s.n.out = graph_conv(s.n.g, "image", x, 1, 1, 1, INIT_UNIFORM);
    s.n.loss = which == PYRAMID ? graph_pyramid_loss(s.n.g, s.n.out, target, weight, levels)
                                : graph_window_loss(s.n.g, s.n.out, target, weight);
    assert_int_equal(params_create(s.n.g, &s.p), ST_OK);
    s.pl = make_plan(&s.n, s.p, ENGINE_REFERENCE, true);
    assert_int_equal(plan_input(s.pl, "x", &in), ST_OK);
    for (int64_t i = 0; i < BATCH * h * w; i++) ((float *)in.at)[i * h * w + i % (h * w)] = 1;
    return s;
}

static void close_pixels(pixels *s) {
    plan_destroy(s->pl);
    params_destroy(s->p);
    graph_destroy(s->n.g);
}

static float *input(plan *pl, const char *name) {
    tensor in;
    assert_int_equal(plan_input(pl, name, &in), ST_OK);
    return in.at;
}

/* Weights 1 and 0 of the samples, and the images of tests/golden/autoencoder.py. */
static void fill_golden(pixels *s) {
    wave(s->p->value, s->h * s->w, 7, 1.7);
    wave(input(s->pl, "target"), s->h * s->w, 3, 1.7);
    input(s->pl, "weight")[0] = 1;
}

static double value_of(pixels *s) {
    plan_params_changed(s->pl);
    return loss_of(s->pl, &s->n);
}

static void image_losses_agree_with_pytorch(void **state) {
    (void)state;
    for (int k = PYRAMID; k <= WINDOWS; k++) {
        pixels s = open_pixels((which_loss)k, SINGLE_H, SINGLE_W, SINGLE_LEVELS);
        const golden_single *want = &golden_singles[k == PYRAMID ? SINGLE_PYRAMID : SINGLE_WINDOWS];
        double square = 0, along = 0;
        fill_golden(&s);
        assert_float_equal(value_of(&s), want->loss, 1e-6 * want->loss);
        assert_int_equal(plan_backward(s.pl, NULL, NULL), ST_OK);
        for (int64_t i = 0; i < s.h * s.w; i++) {
            square += pow((double)s.p->grad[i], 2);
            along += (double)s.p->grad[i] * sin(5 + 0.7 * (double)i);
        }
        assert_float_equal(sqrt(square), want->by[0], 2e-6 * want->by[0]);
        assert_float_equal(along, want->by[1], 1e-5 * want->by[0]);
        close_pixels(&s);
    }
}

/* By each pixel: where the slopes to the left and to the right are the same, no difference changes
 * its sign in between, and the gradient is that slope. A loss of about 2 is rounded to 2e-7. */
static void gradients_by_pixels_are_finite_differences(void **state) {
    (void)state;
    const double h = 2e-3;
    for (int k = PYRAMID; k <= WINDOWS; k++) {
        pixels s = open_pixels((which_loss)k, SINGLE_H, SINGLE_W, SINGLE_LEVELS);
        const int64_t n = s.h * s.w;
        int64_t smooth = 0;
        fill_golden(&s);
        const double middle = value_of(&s);
        assert_int_equal(plan_backward(s.pl, NULL, NULL), ST_OK);
        for (int64_t i = 0; i < n; i++) {
            const float keep = s.p->value[i];
            s.p->value[i] = keep + (float)h;
            const double right = (value_of(&s) - middle) / ((double)s.p->value[i] - (double)keep);
            s.p->value[i] = keep - (float)h;
            const double left = (middle - value_of(&s)) / ((double)keep - (double)s.p->value[i]);
            s.p->value[i] = keep;
            if (fabs(right - left) > 3e-4) continue;
            smooth++;
            assert_float_equal(s.p->grad[i], (left + right) / 2, 3e-4);
        }
        assert_true(smooth > n * 3 / 4);
        close_pixels(&s);
    }
}

/* The absolute value, rounded within 0.05 of 0. */
static double tip(double d) { return d < 0.05 ? 10 * d * d : d - 0.025; }

/* A constant difference is in no band but the last one, at every size: borders lose nothing. */
static void a_constant_difference_is_in_the_last_band(void **state) {
    (void)state;
    for (int64_t h = 8; h <= 11; h++) {
        pixels s = open_pixels(PYRAMID, h, 19 - h, 3);
        wave(input(s.pl, "target"), h * (19 - h), 3, 1);
        wave(s.p->value, h * (19 - h), 3, 1);
        for (int64_t i = 0; i < h * (19 - h); i++) s.p->value[i] += 0.375F;
        input(s.pl, "weight")[0] = 2;
        assert_float_equal(value_of(&s), 2 * tip(0.375), 1e-6);
        close_pixels(&s);
    }
}

/* Each window sees its own HU: a column of steps of 30 HU at a level, against a constant image. Of
 * 8 x 8 pixels 4 x 8 are higher, so that one edge of 8 pixels and a height of 30 / width counts: in
 * the window of soft tissue beyond the rounded tip, in the others within it. */
static void windows_see_their_hu(void **state) {
    (void)state;
    static const struct {
        double level, seen[3]; /* HU; 1 / width of the windows that see it */
    } cases[] = {{-1200, {1 / 1500.0, 0, 0}},
                 {-700, {1 / 1500.0, 0, 0}},
                 {-300, {1 / 1500.0, 0, 1 / 1800.0}},
                 {0, {1 / 1500.0, 1 / 400.0, 1 / 1800.0}},
                 {200, {0, 1 / 400.0, 1 / 1800.0}},
                 {1100, {0, 0, 1 / 1800.0}},
                 {2500, {0, 0, 0}}};
    pixels s = open_pixels(WINDOWS, 8, 8, 0);
    input(s.pl, "weight")[0] = 1;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double sum = 0;
        for (int i = 0; i < 64; i++) {
            input(s.pl, "target")[i] = (float)hu_map_to(cases[c].level);
            s.p->value[i] = (float)hu_map_to(cases[c].level + (i % 8 < 4 ? 0 : 30));
        }
        for (int k = 0; k < 3; k++) sum += tip(30 * cases[c].seen[k]);
        assert_float_equal(value_of(&s), sum * 8 / (3 * 64), 1e-6);
    }
    close_pixels(&s);
}

/* The moments as a parameter: a 1x1 convolution of ones, one pixel. */
enum { Z = 5 };

typedef struct latents {
    net n;
    params *p;
    plan *pl;
} latents;

static latents open_latents(bool divergence) {
    latents s = {0};
    assert_int_equal(graph_create(&s.n.g), ST_OK);
    node x = graph_input(s.n.g, "x", TYPE_F32, 1, 1, 1);
    node weight = graph_input(s.n.g, "weight", TYPE_F32, 1, 1, 1);
    node moments = graph_conv(s.n.g, "moments", x, 2 * Z, 1, 1, INIT_UNIFORM);
    if (divergence) {
        s.n.out = moments;
        s.n.loss = graph_kl_loss(s.n.g, moments, weight);
    } else {
        node noise = graph_input(s.n.g, "noise", TYPE_F32, 1, 1, Z);
        node target = graph_input(s.n.g, "target", TYPE_F32, 1, 1, Z);
        s.n.out = graph_gaussian_sample(s.n.g, moments, noise);
        s.n.loss = graph_regression_loss(s.n.g, s.n.out, target, weight, LOSS_L2);
    }
    assert_int_equal(params_create(s.n.g, &s.p), ST_OK);
    s.pl = make_plan(&s.n, s.p, ENGINE_REFERENCE, true);
    input(s.pl, "x")[0] = 1;
    input(s.pl, "weight")[0] = 2;
    return s;
}

static void close_latents(latents *s) {
    plan_destroy(s->pl);
    params_destroy(s->p);
    graph_destroy(s->n.g);
}

static const float means[Z] = {0, 1.5F, -0.5F, 2, 0.25F};
/* Beyond both ends of the clamp, at both, and within. */
static const float logs[Z] = {-31, 21, -30, 20, 0.5F};

/* (m^2 + exp(l) - 1 - l) / 2 of clamped l, times 2 / Z. Beyond the clamp l has no gradient. */
static void divergence_is_its_formula(void **state) {
    (void)state;
    latents s = open_latents(true);
    double sum = 0;
    memcpy(s.p->value, means, sizeof means);
    memcpy(s.p->value + Z, logs, sizeof logs);
    for (int k = 0; k < Z; k++) {
        const double l = fmin(fmax((double)logs[k], -30), 20), m = (double)means[k];
        sum += (m * m + exp(l) - 1 - l) / Z;
    }
    assert_float_equal(loss_of(s.pl, &s.n) / sum, 1, 1e-6);
    assert_int_equal(plan_backward(s.pl, NULL, NULL), ST_OK);
    for (int k = 0; k < Z; k++) {
        const double slope = k < 2 ? 0 : (exp((double)logs[k]) - 1) / Z;
        assert_float_equal(s.p->grad[k], 2 * means[k] / Z, 1e-6);
        assert_float_equal(s.p->grad[Z + k], slope, 1e-6 * fmax(1, fabs(slope)));
    }
    close_latents(&s);
    /* The standard normal distribution itself has no divergence, and no slope. */
    s = open_latents(true);
    assert_float_equal(loss_of(s.pl, &s.n), 0, 0);
    assert_int_equal(plan_backward(s.pl, NULL, NULL), ST_OK);
    for (int k = 0; k < 2 * Z; k++) assert_float_equal(s.p->grad[k], 0, 0);
    close_latents(&s);
}

/* m + exp(l / 2) e; the squared loss sends 2 * 2 (y - target) / Z back, times 1 and e exp(l / 2) /
 * 2. The second sample has other noise and the weight 0. */
static void sample_is_its_formula(void **state) {
    (void)state;
    latents s = open_latents(false);
    const float noise[Z] = {1, 1e-4F, 3, -2e-4F, -1.25F};
    memcpy(s.p->value, means, sizeof means);
    memcpy(s.p->value + Z, logs, sizeof logs);
    memcpy(input(s.pl, "noise"), noise, sizeof noise);
    loss_of(s.pl, &s.n);
    assert_int_equal(plan_backward(s.pl, NULL, NULL), ST_OK);
    const float *y = plan_output(s.pl, s.n.out).at;
    for (int k = 0; k < Z; k++) {
        const double l = fmin(fmax((double)logs[k], -30), 20), e = (double)noise[k];
        const double want = (double)means[k] + exp(l / 2) * e, back = 4 * want / Z;
        const double slope = k < 2 ? 0 : back * e * exp(l / 2) / 2;
        assert_float_equal(y[k], want, 1e-6 * fmax(1, fabs(want)));
        assert_float_equal(s.p->grad[k], back, 1e-6 * fmax(1, fabs(back)));
        assert_float_equal(s.p->grad[Z + k], slope, 2e-6 * fmax(1, fabs(slope)));
    }
    close_latents(&s);
}

/* Both ops behind convolutions, several pixels and two samples. */
static void gradients_of_a_network_are_finite_differences(void **state) {
    (void)state;
    for (int divergence = 0; divergence < 2; divergence++) {
        net n = {0};
        assert_int_equal(graph_create(&n.g), ST_OK);
        node x = graph_input(n.g, "x", TYPE_F32, SIZE, SIZE, 3);
        node noise = graph_input(n.g, "noise", TYPE_F32, SIZE, SIZE, 2);
        node moments = graph_conv(n.g, "moments", x, 4, 3, 1, INIT_UNIFORM);
        n.out = graph_gaussian_sample(n.g, moments, noise);
        if (divergence)
            n.loss = graph_kl_loss(n.g, moments, graph_input(n.g, "weight", TYPE_F32, 1, 1, 1));
        else
            add_loss(&n, SIZE, 2, LOSS_L2);
        check_finite_differences(&n);
    }
}

static void faults_are_reported(void **state) {
    (void)state;
    for (int fault = 0; fault < 6; fault++) {
        graph *g = NULL;
        assert_int_equal(graph_create(&g), ST_OK);
        node x = graph_input(g, "x", TYPE_F32, 8, 8, 1), y = graph_input(g, "y", TYPE_F32, 8, 8, 3);
        node weight = graph_input(g, "weight", TYPE_F32, 1, 1, 1);
        if (fault == 0) graph_pyramid_loss(g, x, y, weight, 2);
        if (fault == 1) graph_pyramid_loss(g, x, x, weight, 4);
        if (fault == 2) graph_window_loss(g, y, y, weight);
        if (fault == 3) graph_window_loss(g, x, x, x);
        if (fault == 4) graph_gaussian_sample(g, x, x);
        if (fault == 5) graph_kl_loss(g, y, weight);
        assert_int_equal(graph_check(g), ST_USAGE);
        graph_destroy(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_losses_agree_with_pytorch),
        cmocka_unit_test(gradients_by_pixels_are_finite_differences),
        cmocka_unit_test(a_constant_difference_is_in_the_last_band),
        cmocka_unit_test(windows_see_their_hu),
        cmocka_unit_test(divergence_is_its_formula),
        cmocka_unit_test(sample_is_its_formula),
        cmocka_unit_test(gradients_of_a_network_are_finite_differences),
        cmocka_unit_test(faults_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
