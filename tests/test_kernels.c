/* The engines against each other: the reference's backward functions against differences of its
 * forward ones, then everything fast against the reference, on shapes that fill no vector and no
 * block. Tolerances follow from f32 rounding: a sum of n terms of either sign is off by about
 * sqrt(n) u times the sum of their sizes (Higham & Mary 2019, with lambda = 8), u = 2^-24.
 */
#include "model/nn/kernels.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const double U = 0x1p-24;

static const kernels *engine(const char *name) {
    const kernels *k;
    assert_int_equal(kernels_find(name, &k), ST_OK);
    assert_string_equal(k->name, name);
    return k;
}

static void ok(status st) {
    if (st != ST_OK) fail_msg("%s", status_message());
}

/* Enough for every shape here. */
static void *scratch(void) {
    static _Alignas(64) char bytes[1 << 26];
    return bytes;
}

static float *filled(int64_t n, float value) {
    float *a = malloc((size_t)(n > 0 ? n : 1) * sizeof *a);
    assert_non_null(a);
    for (int64_t i = 0; i < n; i++) a[i] = value;
    return a;
}

/* Multiples of 1/1024 in (-1, 1): steps of 2^-k are added to them without rounding. */
static float *noise(int64_t n, uint32_t seed) {
    float *a = filled(n, 0);
    uint32_t s = seed * 2654435761u + 1;
    for (int64_t i = 0; i < n; i++) {
        s ^= s << 13, s ^= s >> 17, s ^= s << 5;
        a[i] = (float)((int)(s % 2047) - 1023) / 1024;
    }
    return a;
}

static float *absolute(const float *a, int64_t n) {
    float *b = filled(n, 0);
    for (int64_t i = 0; i < n; i++) b[i] = fabsf(a[i]);
    return b;
}

static double largest(const float *a, int64_t n) {
    double m = 0;
    for (int64_t i = 0; i < n; i++) m = fmax(m, fabs(a[i]));
    return m;
}

static void near(const char *what, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %.9g, expected %.9g +- %.3g", what, got, want, tolerance);
}

static void all_near(const char *what, const float *got, const float *want, int64_t n,
                     double tolerance) {
    for (int64_t i = 0; i < n; i++) near(what, got[i], want[i], tolerance);
}

/* sizes[i]: sum of the absolute terms of element i. */
static void sums_near(const char *what, const float *got, const float *want, const float *sizes,
                      int64_t n, double terms) {
    for (int64_t i = 0; i < n; i++)
        near(what, got[i], want[i], 8 * sqrt(terms + 1) * U * sizes[i] + U * fabs(want[i]));
}

/* ---- finite differences of the reference ---- */

/* sum of y * weight as a function of the numbers behind `x`, one of the arrays in `context` */
typedef double (*objective)(void *context);

/* gradient [n] must be d(objective)/dx: five-point stencil, error h^4 and the rounding of y to f32
 * (size of y's numbers times the root of how many) divided by h. */
static void check_gradient(const char *what, objective f, void *context, float *x, int64_t n,
                           const float *gradient, double rounding) {
    const float h = 0x1p-5f;
    for (int64_t i = 0; i < n; i++) {
        float keep = x[i];
        double at[4];
        const float steps[4] = {-2 * h, -h, h, 2 * h};
        for (int j = 0; j < 4; j++) {
            x[i] = keep + steps[j];
            at[j] = f(context);
        }
        x[i] = keep;
        double slope = (8 * (at[2] - at[1]) - (at[3] - at[0])) / (12.0 * h);
        near(what, gradient[i], slope, 4 * U * rounding / h + 200 * pow(h, 4) / 30);
    }
}

static double dot(const float *a, const float *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

typedef struct conv_case {
    conv_shape s;
    int64_t nx, ny, nw;
    float *x, *w, *bias, *y, *dy;
} conv_case;

static conv_case conv_make(conv_shape s) {
    conv_case c = {.s = s};
    c.nx = s.batch * s.height * s.width * s.in;
    c.ny = s.batch * ((s.height - 1) / s.stride + 1) * ((s.width - 1) / s.stride + 1) * s.out;
    c.nw = s.out * s.in * s.kernel * s.kernel;
    c.x = noise(c.nx, 1), c.w = noise(c.nw, 2), c.bias = noise(s.out, 3);
    c.y = filled(c.ny, NAN), c.dy = noise(c.ny, 4);
    return c;
}

static void conv_free(conv_case *c) {
    free(c->x), free(c->w), free(c->bias), free(c->y), free(c->dy);
}

static void conv_run(const kernels *k, conv_case *c) {
    conv *op;
    ok(k->conv_open(&c->s, false, &op));
    ok(k->conv_pack(op, c->w, scratch()));
    ok(k->conv_forward(op, c->x, c->bias, c->y, scratch()));
    k->conv_close(op);
}

static double conv_objective(void *context) {
    conv_case *c = context;
    conv_run(engine("reference"), c);
    return dot(c->y, c->dy, c->ny);
}

static void test_reference_conv(void **state) {
    (void)state;
    const kernels *k = engine("reference");
    const conv_shape shapes[] = {
        {2, 4, 3, 2, 3, 3, 1}, {1, 5, 4, 3, 2, 3, 2}, {2, 3, 5, 2, 2, 1, 2}, {1, 1, 1, 3, 2, 3, 1}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        conv_case c = conv_make(shapes[i]);
        float *dx = filled(c.nx, NAN), *dw = filled(c.nw, 0.5f), *db = filled(c.s.out, 0.5f);
        conv *op;
        ok(k->conv_open(&c.s, true, &op));
        ok(k->conv_pack(op, c.w, scratch()));
        ok(k->conv_backward_data(op, c.dy, dx, scratch()));
        ok(k->conv_backward_weights(op, c.x, c.dy, dw, db, scratch()));
        ok(k->conv_backward_weights(op, c.x, c.dy, dw, NULL, scratch()));
        k->conv_close(op);
        for (int64_t j = 0; j < c.nw; j++) dw[j] = (dw[j] - 0.5f) / 2; /* added to, twice */
        for (int64_t j = 0; j < c.s.out; j++) db[j] -= 0.5f;           /* and once */
        double rounding = 8 * sqrt((double)c.ny);
        check_gradient("conv dx", conv_objective, &c, c.x, c.nx, dx, rounding);
        check_gradient("conv dw", conv_objective, &c, c.w, c.nw, dw, rounding);
        check_gradient("conv db", conv_objective, &c, c.bias, c.s.out, db, rounding);
        free(dx), free(dw), free(db);
        conv_free(&c);
    }
}

typedef struct norm_case {
    norm_shape s;
    int64_t nx, ng; /* numbers, groups of the whole batch */
    float *x, *gain, *bias, *modulation, *mean, *rstd, *y, *dy;
    float *dx, *dgain, *dbias, *dmodulation;
} norm_case;

static norm_case norm_make(norm_shape s, bool modulated) {
    norm_case c = {.s = s, .nx = s.batch * s.pixels * s.channels, .ng = s.batch * s.groups};
    c.s.epsilon = 1e-5f;
    c.x = noise(c.nx, 5), c.gain = noise(s.channels, 6), c.bias = noise(s.channels, 7);
    c.modulation = modulated ? noise(s.batch * 2 * s.channels, 8) : NULL;
    c.mean = filled(c.ng, NAN), c.rstd = filled(c.ng, NAN);
    c.y = filled(c.nx, NAN), c.dy = noise(c.nx, 9), c.dx = filled(c.nx, NAN);
    c.dgain = filled(s.channels, 0.5f), c.dbias = filled(s.channels, 0.25f);
    c.dmodulation = modulated ? filled(s.batch * 2 * s.channels, NAN) : NULL;
    return c;
}

static void norm_free(norm_case *c) {
    free(c->x), free(c->gain), free(c->bias), free(c->modulation), free(c->mean), free(c->rstd);
    free(c->y), free(c->dy), free(c->dx), free(c->dgain), free(c->dbias), free(c->dmodulation);
}

static void norm_run(const kernels *k, norm_case *c) {
    ok(k->norm_forward(&c->s, c->x, c->gain, c->bias, c->modulation, c->mean, c->rstd, c->y,
                       scratch()));
}

static void norm_run_back(const kernels *k, norm_case *c) {
    ok(k->norm_backward(&c->s, c->x, c->gain, c->bias, c->modulation, c->mean, c->rstd, c->dy,
                        false, c->dx, c->dgain, c->dbias, c->dmodulation, scratch()));
}

static double norm_objective(void *context) {
    norm_case *c = context;
    norm_run(engine("reference"), c);
    return dot(c->y, c->dy, c->nx);
}

static void test_reference_norm(void **state) {
    (void)state;
    const norm_shape shapes[] = {
        {2, 7, 6, 3, 0, true}, {1, 9, 4, 1, 0, false}, {2, 16, 3, 3, 0, true}};
    for (int i = 0; i < 6; i++) {
        norm_case c = norm_make(shapes[i / 2], i % 2 == 0);
        norm_run(engine("reference"), &c);
        norm_run_back(engine("reference"), &c);
        for (int64_t j = 0; j < c.s.channels; j++) c.dgain[j] -= 0.5f, c.dbias[j] -= 0.25f;
        double rounding = 8 * sqrt((double)c.nx);
        check_gradient("norm dx", norm_objective, &c, c.x, c.nx, c.dx, rounding);
        check_gradient("norm dgain", norm_objective, &c, c.gain, c.s.channels, c.dgain, rounding);
        check_gradient("norm dbias", norm_objective, &c, c.bias, c.s.channels, c.dbias, rounding);
        if (c.modulation)
            check_gradient("norm dscale_shift", norm_objective, &c, c.modulation,
                           c.s.batch * 2 * c.s.channels, c.dmodulation, rounding);
        norm_free(&c);
    }
}

typedef struct attention_case {
    attention_shape s;
    int64_t ny;
    float *qkv, *y, *logsum, *dy, *dqkv;
} attention_case;

static attention_case attention_make(attention_shape s) {
    attention_case c = {.s = s, .ny = s.batch * s.tokens * s.channels};
    c.qkv = noise(3 * c.ny, 10), c.y = filled(c.ny, NAN);
    c.logsum = filled(s.batch * s.heads * s.tokens, NAN);
    c.dy = noise(c.ny, 11), c.dqkv = filled(3 * c.ny, NAN);
    return c;
}

static void attention_free(attention_case *c) {
    free(c->qkv), free(c->y), free(c->logsum), free(c->dy), free(c->dqkv);
}

static void attention_run(const kernels *k, attention_case *c) {
    ok(k->attention_forward(&c->s, c->qkv, c->y, c->logsum, scratch()));
    ok(k->attention_backward(&c->s, c->qkv, c->y, c->logsum, c->dy, c->dqkv, scratch()));
}

static double attention_objective(void *context) {
    attention_case *c = context;
    ok(engine("reference")->attention_forward(&c->s, c->qkv, c->y, c->logsum, scratch()));
    return dot(c->y, c->dy, c->ny);
}

static void test_reference_attention(void **state) {
    (void)state;
    const attention_shape shapes[] = {{2, 5, 6, 2}, {1, 7, 4, 1}, {1, 1, 3, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        attention_case c = attention_make(shapes[i]);
        attention_run(engine("reference"), &c);
        check_gradient("attention dqkv", attention_objective, &c, c.qkv, 3 * c.ny, c.dqkv,
                       8 * sqrt((double)c.ny));
        attention_free(&c);
    }
}

static void test_reference_silu_and_matmul(void **state) {
    (void)state;
    const kernels *k = engine("reference");
    const float x[] = {-3, -0.5f, 0, 1, 20}, ones[] = {1, 1, 1, 1, 1};
    float y[5], dx[5], c[4] = {NAN, NAN, NAN, NAN};
    k->silu_forward(x, y, 5);
    k->silu_backward(x, ones, dx, 5);
    for (int i = 0; i < 5; i++) {
        double e = exp(-x[i]), h = 1e-4;
        double up = (x[i] + h) / (1 + exp(-x[i] - h)), down = (x[i] - h) / (1 + exp(-x[i] + h));
        near("silu", y[i], x[i] / (1 + e), 20 * U);
        near("silu slope", dx[i], (up - down) / (2 * h), h * h + 4 * U);
    }
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 0, 1, 2, 2};
    ok(k->matmul(false, false, 2, 2, 3, a, b, 0, c)); /* overwrites NaN */
    const float ab[] = {7, 8, 16, 17};
    all_near("matmul", c, ab, 4, 0);
    ok(k->matmul(true, true, 2, 2, 3, a, b, 2, c)); /* a [3,2], b [2,3] */
    const float atbt[] = {1 + 14, 17 + 16, 2 + 32, 22 + 34};
    all_near("matmul transposed", c, atbt, 4, 0);
}

/* ---- the fast engines against the reference ---- */

static void compare_conv(const kernels *fast, conv_shape s) {
    const kernels *ref = engine("reference");
    conv_case c = conv_make(s);
    float *ax = absolute(c.x, c.nx), *aw = absolute(c.w, c.nw), *ady = absolute(c.dy, c.ny);
    float *ab = absolute(c.bias, s.out), *other = noise(c.nw, 12);
    conv *ops[3];
    float *y[3], *dx[3], *dw[3], *db[3]; /* fast, reference, sizes */
    for (int i = 0; i < 3; i++) {
        const kernels *k = i == 0 ? fast : ref;
        const float *x = i == 2 ? ax : c.x, *dy = i == 2 ? ady : c.dy;
        y[i] = filled(c.ny, NAN), dx[i] = filled(c.nx, NAN);
        dw[i] = filled(c.nw, 0.5f), db[i] = filled(s.out, 0.5f);
        ok(k->conv_open(&s, true, &ops[i]));
        ok(k->conv_pack(ops[i], other, scratch())); /* packing again must replace it */
        ok(k->conv_pack(ops[i], i == 2 ? aw : c.w, scratch()));
        ok(k->conv_forward(ops[i], x, i == 2 ? ab : c.bias, y[i], scratch()));
        ok(k->conv_backward_data(ops[i], dy, dx[i], scratch()));
        ok(k->conv_backward_weights(ops[i], x, dy, dw[i], db[i], scratch()));
    }
    double taps = s.kernel * s.kernel, pixels = (double)(c.ny / s.out);
    sums_near("conv y", y[0], y[1], y[2], c.ny, taps * (double)s.in);
    sums_near("conv dx", dx[0], dx[1], dx[2], c.nx, taps * (double)s.out);
    sums_near("conv dw", dw[0], dw[1], dw[2], c.nw, pixels);
    sums_near("conv db", db[0], db[1], db[2], s.out, pixels);
    for (int i = 0; i < 2; i++) {
        ok((i == 0 ? fast : ref)->conv_forward(ops[i], c.x, NULL, y[i], scratch()));
        ok((i == 0 ? fast : ref)->conv_backward_weights(ops[i], c.x, c.dy, dw[i], NULL, scratch()));
    }
    sums_near("conv y, no bias", y[0], y[1], y[2], c.ny, taps * (double)s.in);
    for (int64_t i = 0; i < c.nw; i++) dw[2][i] *= 2;
    sums_near("conv dw, no db", dw[0], dw[1], dw[2], c.nw, pixels);
    for (int i = 0; i < 3; i++) {
        (i == 0 ? fast : ref)->conv_close(ops[i]);
        free(y[i]), free(dx[i]), free(dw[i]), free(db[i]);
    }
    free(ax), free(aw), free(ady), free(ab), free(other);
    conv_free(&c);
}

static const char *const fast_engines[] = {"onednn", "openblas"};

static void test_fast_conv(void **state) {
    (void)state;
    const int64_t channels[] = {1, 3, 5, 7, 16, 33, 64};
    const int64_t maps[][3] = {{1, 1, 1}, {2, 5, 8}, {1, 9, 4}, {3, 2, 3}, {1, 17, 13}};
    for (int e = 0; e < 2; e++) {
        int turn = 0;
        for (int in = 0; in < 7; in++) {
            for (int out = 0; out < 7; out++, turn++) {
                for (int kind = 0; kind < 4; kind++) {
                    const int64_t *m = maps[(turn + kind) % 5];
                    conv_shape s = {m[0],         m[1],          m[2],
                                    channels[in], channels[out], 1 + 2 * (kind % 2),
                                    1 + kind / 2};
                    compare_conv(engine(fast_engines[e]), s);
                }
            }
        }
    }
}

static void test_fast_matmul(void **state) {
    (void)state;
    const int64_t shapes[][3] = {{1, 1, 1},    {8, 512, 33}, {7, 5, 3},  {65, 17, 100},
                                 {1, 64, 256}, {64, 1, 16},  {33, 64, 1}};
    for (int i = 0; i < 7 * 2 * 4 * 2; i++) {
        const int64_t *n = shapes[i / 16];
        const kernels *fast = engine(fast_engines[i / 8 % 2]), *ref = engine("reference");
        bool ta = i / 4 % 2, tb = i / 2 % 2;
        float beta = i % 2 ? 0.5f : 0;
        int64_t na = n[0] * n[2], nb = n[2] * n[1];
        float *a = noise(na, 1), *b = noise(nb, 2), *aa = absolute(a, na), *ab = absolute(b, nb);
        float *c[3]; /* fast, reference, sizes */
        for (int j = 0; j < 3; j++) {
            c[j] = filled(n[0] * n[1], beta != 0 ? 0.5f : NAN);
            const kernels *k = j == 0 ? fast : ref;
            ok(k->matmul(ta, tb, n[0], n[1], n[2], j == 2 ? aa : a, j == 2 ? ab : b, beta, c[j]));
        }
        sums_near("matmul", c[0], c[1], c[2], n[0] * n[1], (double)n[2] + 1);
        for (int j = 0; j < 3; j++) free(c[j]);
        free(a), free(b), free(aa), free(ab);
    }
}

/* What the rounding of norm's numbers can amount to: xhat is off by a few u of itself and of
 * mean * rstd; SiLU and the affine part multiply by at most `slope`. */
static void compare_norm(const kernels *fast, norm_shape s, bool modulated, float offset,
                         float spread) {
    norm_case f = norm_make(s, modulated), r = norm_make(s, modulated);
    for (int64_t i = 0; i < f.nx; i++) f.x[i] = r.x[i] = offset + spread * f.x[i];
    norm_run(fast, &f);
    norm_run(engine("reference"), &r);
    double slope = 2 * largest(r.gain, s.channels) + 2, rstd = largest(r.rstd, f.ng);
    double xhat = 1 + largest(r.x, r.nx) * rstd, dy = largest(r.dy, r.nx);
    for (int64_t i = 0; i < f.ng; i++) {
        near("norm mean", f.mean[i], r.mean[i], 4 * U * (fabs(r.mean[i]) + 1 / rstd));
        near("norm rstd", f.rstd[i], r.rstd[i], 16 * U * xhat * r.rstd[i]);
    }
    all_near("norm y", f.y, r.y, f.nx, 8 * U * slope * xhat);
    memcpy(f.mean, r.mean, (size_t)f.ng * sizeof(float));
    memcpy(f.rstd, r.rstd, (size_t)f.ng * sizeof(float));
    norm_run_back(fast, &f);
    norm_run_back(engine("reference"), &r);
    double size = 16 * U * slope * dy * xhat * xhat, root = sqrt((double)(s.batch * s.pixels));
    all_near("norm dx", f.dx, r.dx, f.nx, size * rstd * slope);
    all_near("norm dgain", f.dgain, r.dgain, s.channels, size * root);
    all_near("norm dbias", f.dbias, r.dbias, s.channels, size * root);
    if (modulated)
        all_near("norm dscale_shift", f.dmodulation, r.dmodulation, s.batch * 2 * s.channels,
                 size * root * slope);
    norm_free(&f), norm_free(&r);
}

static void test_fast_norm(void **state) {
    (void)state;
    const norm_shape shapes[] = {
        {1, 1, 4, 1, 0, false},     {1, 5, 3, 3, 0, false},     {2, 63, 5, 1, 0, false},
        {3, 64, 16, 8, 0, false},   {2, 81, 33, 11, 0, false},  {1, 1089, 64, 8, 0, false},
        {1, 70000, 1, 1, 0, false}, {2, 10, 320, 32, 0, false}, {5, 257, 7, 7, 0, false}};
    for (int e = 0; e < 2; e++) {
        for (int i = 0; i < 9 * 4; i++) {
            norm_shape s = shapes[i / 4];
            s.silu = i % 2;
            compare_norm(engine(fast_engines[e]), s, i / 2 % 2, 0.25f, 1);
        }
    }
}

/* A large constant must not eat the variance (air in HU windows, dead channels): xhat is as good
 * as the f32 mean is, and rstd exact. */
static void test_norm_large_mean(void **state) {
    (void)state;
    const norm_shape s = {2, 2000, 16, 4, 0, false};
    compare_norm(engine("onednn"), s, false, 1000, 1);
    compare_norm(engine("onednn"), s, false, -30000, 8);
}

static void test_fast_attention(void **state) {
    (void)state;
    const attention_shape shapes[] = {{1, 1, 3, 3},    {2, 5, 6, 2},    {1, 64, 64, 2},
                                      {2, 65, 33, 3},  {1, 257, 32, 1}, {1, 300, 10, 2},
                                      {3, 63, 128, 4}, {1, 520, 16, 1}};
    for (int i = 0; i < 2 * 8 * 2; i++) {
        const kernels *fast = engine(fast_engines[i % 2]);
        attention_case f = attention_make(shapes[i / 4]), r = attention_make(shapes[i / 4]);
        float spread = i / 2 % 2 ? 12 : 1; /* flat and peaked distributions */
        for (int64_t j = 0; j < 3 * f.ny; j++) f.qkv[j] = r.qkv[j] = spread * f.qkv[j];
        attention_run(fast, &f);
        attention_run(engine("reference"), &r);
        double d = (double)(f.s.channels / f.s.heads), tokens = (double)f.s.tokens;
        int64_t rows = f.s.batch * f.s.heads * f.s.tokens;
        /* A score is a sum of d terms below spread^2, its error a relative one of p. */
        double score = 8 * sqrt(d + 1) * U * spread * spread * sqrt(d) + 8 * U;
        double both = score + 8 * sqrt(tokens + 1) * U;
        all_near("attention logsum", f.logsum, r.logsum, rows,
                 score + 4 * U * largest(r.logsum, rows));
        all_near("attention y", f.y, r.y, f.ny, 2 * both * spread);
        /* dk and dv add up over queries, p of all of which may fall on one key. */
        all_near("attention dqkv", f.dqkv, r.dqkv, 3 * f.ny,
                 8 * both * spread * spread * sqrt(d) * sqrt(tokens + 1));
        attention_free(&f), attention_free(&r);
    }
}

static void test_fast_silu(void **state) {
    (void)state;
    const int64_t n = 100003;
    for (int e = 0; e < 2; e++) {
        const kernels *fast = engine(fast_engines[e]), *ref = engine("reference");
        float *x = noise(n, 1), *dy = noise(n, 2), *got = filled(n, NAN), *want = filled(n, NAN);
        for (int64_t i = 0; i < n; i++) x[i] *= i % 2 ? 100 : 6;
        x[0] = 1e30f, x[1] = -1e30f, x[2] = 0;
        fast->silu_forward(x, got, n);
        ref->silu_forward(x, want, n);
        for (int64_t i = 0; i < n; i++) /* below -87 the fast sigmoid stays at e^-87 */
            near("silu", got[i], want[i], 8 * U * fabs(want[i]) + fabs(x[i]) * 2e-38);
        fast->silu_backward(x, dy, got, n);
        ref->silu_backward(x, dy, want, n);
        for (int64_t i = 0; i < n; i++)
            near("dsilu", got[i], want[i], 8 * U * fmin(1 + fabs(x[i]), 4) + fabs(x[i]) * 2e-38);
        free(x), free(dy), free(got), free(want);
    }
}

/* The guards above look for NaN: no kernel may lose one. */
static void test_nan_stays(void **state) {
    (void)state;
    for (int e = 0; e < 2; e++) {
        const kernels *k = engine(fast_engines[e]);
        float x[40], y[40];
        for (int i = 0; i < 40; i++) x[i] = i == 17 ? NAN : 1;
        k->silu_forward(x, y, 40);
        assert_true(isnan(y[17]) && !isnan(y[16]));
        norm_case n = norm_make((norm_shape){1, 50, 8, 2, 0, true}, false);
        n.x[8 * 20 + 5] = NAN;
        norm_run(k, &n);
        assert_true(isnan(n.y[5]) && isnan(n.rstd[1]) && !isnan(n.rstd[0]));
        norm_free(&n);
        attention_case a = attention_make((attention_shape){1, 70, 16, 2});
        a.qkv[16 + 3] = NAN; /* k of token 0, head 0: spoils every query of that head */
        attention_run(k, &a);
        for (int64_t t = 0; t < 70; t++) assert_true(isnan(a.y[t * 16]) && !isnan(a.y[t * 16 + 8]));
        attention_free(&a);
    }
}

/* ---- same bits ---- */

#ifdef _OPENMP
enum { SEVERAL = 2 };
#else
enum { SEVERAL = 1 }; /* clang against libgomp: loops are serial, threads inside libraries only */
#endif

static void same_bits(const char *what, const float *a, const float *b, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s: element %lld is %.9g and %.9g", what, (long long)i, a[i], b[i]);
}

/* Makes every sample equal the first. */
static void repeat_first(float *x, int64_t batch, int64_t n) {
    for (int64_t b = 1; b < batch; b++) memcpy(x + b * n, x, (size_t)n * sizeof *x);
}

static void test_bits_of_threads_and_places(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    const conv_shape convs[] = {{5, 16, 16, 32, 48, 3, 1}, {5, 16, 16, 5, 64, 3, 1},
                                {5, 15, 9, 64, 64, 3, 2},  {5, 8, 8, 128, 64, 1, 1},
                                {5, 8, 8, 64, 1, 3, 1},    {5, 1, 1, 64, 33, 1, 1}};
    for (int e = 0; e < 2; e++) {
        const kernels *k = engine(fast_engines[e]);
        for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) {
            conv_case one = conv_make(convs[i]), two = conv_make(convs[i]);
            repeat_first(one.x, 5, one.nx / 5), repeat_first(two.x, 5, two.nx / 5);
            omp_set_num_threads(1), conv_run(k, &one);
            omp_set_num_threads(SEVERAL), conv_run(k, &two);
            same_bits("conv, 1 and 2 threads", one.y, two.y, one.ny);
            for (int b = 1; b < 5; b++)
                same_bits("conv, place in the batch", two.y, two.y + b * two.ny / 5, two.ny / 5);
            conv_shape single = convs[i];
            single.batch = 1;
            conv_case alone = conv_make(single);
            conv_run(k, &alone);
            same_bits("conv, batch of 1 and 5", two.y, alone.y, alone.ny);
            conv_free(&one), conv_free(&two), conv_free(&alone);
        }
        const norm_shape n = {5, 3000, 48, 8, 0, true};
        norm_case one = norm_make(n, false), two = norm_make(n, false);
        repeat_first(one.x, 5, one.nx / 5), repeat_first(two.x, 5, two.nx / 5);
        omp_set_num_threads(1), norm_run(k, &one), norm_run_back(k, &one);
        omp_set_num_threads(SEVERAL), norm_run(k, &two), norm_run_back(k, &two);
        same_bits("norm, 1 and 2 threads", one.y, two.y, one.nx);
        same_bits("norm dx, 1 and 2 threads", one.dx, two.dx, one.nx);
        same_bits("norm dgain, 1 and 2 threads", one.dgain, two.dgain, n.channels);
        norm_case alone = norm_make((norm_shape){1, 3000, 48, 8, 0, true}, false);
        norm_run(k, &alone); /* its threads share one sample */
        for (int b = 0; b < 5; b++)
            same_bits("norm, place in the batch", two.y + b * two.nx / 5, alone.y, alone.nx);
        norm_free(&one), norm_free(&two), norm_free(&alone);

        const attention_shape a = {3, 100, 64, 2};
        attention_case first = attention_make(a), second = attention_make(a);
        repeat_first(first.qkv, 3, first.ny), repeat_first(second.qkv, 3, second.ny);
        omp_set_num_threads(1), attention_run(k, &first);
        omp_set_num_threads(SEVERAL), attention_run(k, &second);
        same_bits("attention, 1 and 2 threads", first.y, second.y, first.ny);
        same_bits("attention dqkv, 1 and 2 threads", first.dqkv, second.dqkv, 3 * first.ny);
        same_bits("attention, place in the batch", first.y, first.y + first.ny / 3, first.ny / 3);
        attention_free(&first), attention_free(&second);
    }
    omp_set_num_threads(before);
}

static void test_faults(void **state) {
    (void)state;
    const kernels *k;
    conv *c;
    assert_int_equal(kernels_find("cudnn", &k), ST_USAGE);
    assert_null(k);
    assert_non_null(strstr(status_message(), "onednn, openblas or reference"));
    const conv_shape bad = {1, 8, 8, -3, 4, 3, 1};
    assert_int_equal(engine("onednn")->conv_open(&bad, true, &c), ST_INTERNAL);
    assert_null(c);
    assert_non_null(strstr(status_message(), "3x3 convolution"));
    assert_int_equal(engine("openblas")->conv_open(&bad, true, &c), ST_INTERNAL);
    assert_non_null(strstr(kernels_library_version("onednn"), "oneDNN 2."));
    assert_non_null(strstr(kernels_library_version("openblas"), "OpenBLAS 0."));
    assert_string_equal(kernels_library_version("reference"), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_conv),
        cmocka_unit_test(test_reference_norm),
        cmocka_unit_test(test_reference_attention),
        cmocka_unit_test(test_reference_silu_and_matmul),
        cmocka_unit_test(test_fast_conv),
        cmocka_unit_test(test_fast_matmul),
        cmocka_unit_test(test_fast_norm),
        cmocka_unit_test(test_norm_large_mean),
        cmocka_unit_test(test_fast_attention),
        cmocka_unit_test(test_fast_silu),
        cmocka_unit_test(test_nan_stays),
        cmocka_unit_test(test_bits_of_threads_and_places),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
