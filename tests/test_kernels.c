/* Convolutions and matrix products of the engines: the backward functions of the reference against
 * finite differences of its forward functions, then the fast engines against the reference, on
 * shapes that no vector or block divides. Norm and attention have test programs of their own.
 *
 * Tolerances follow from f32 rounding: the error of a sum of n terms of either sign is about
 * sqrt(n) u times the sum of their absolute values, u = 2^-24 (Higham & Mary 2019, with
 * lambda = 8). bf16 activations add their own rounding.
 */
#include "tests/kernel_case.h"

/* sizes[i]: the sum of the absolute terms of element i; type: what the sum was rounded to. */
static void sums_near(const char *what, tensor_type type, const float *got, const float *want,
                      const float *sizes, int64_t n, double terms) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 8 * sqrt(terms + 1) * U * sizes[i] + U * fabs(want[i]);
        /* Two sums that differ a little may round to neighbouring values. */
        double rounding = type == TYPE_BF16 ? 2 * bf16_half_unit(fabs(want[i]) + sum) : 0;
        near(what, got[i], want[i], sum + rounding);
    }
}

/* Packed weights of a convolution: room for every shape here. */
static void *packed(const kernels *k, const conv *op) {
    static _Alignas(64) char bytes[1 << 22];
    assert_true(k->conv_packed(op) <= (int64_t)sizeof bytes);
    return bytes;
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
    round_to_type(s.x, c.x, c.nx), round_to_type(s.y, c.dy, c.ny);
    return c;
}

static void conv_free(conv_case *c) {
    free(c->x), free(c->w), free(c->bias), free(c->y), free(c->dy);
}

static void conv_run(const kernels *k, conv_case *c) {
    conv *op;
    void *x = activations_in(c->s.x, c->x, c->nx), *y = activations_in(c->s.y, c->y, c->ny);
    ok(k->conv_open(&c->s, false, &op));
    void *scratch = guarded(k->conv_scratch(op));
    ok(k->conv_pack(op, c->w, packed(k, op), scratch));
    ok(k->conv_forward(op, x, c->bias, y, scratch));
    guard_check(scratch, k->conv_scratch(op));
    k->conv_close(op);
    activations_out(c->s.x, x, c->x, c->nx), activations_out(c->s.y, y, c->y, c->ny);
}

static double conv_objective(void *context) {
    conv_case *c = context;
    conv_run(engine(ENGINE_REFERENCE), c);
    return dot(c->y, c->dy, c->ny);
}

static void test_reference_conv(void **state) {
    (void)state;
    const kernels *k = engine(ENGINE_REFERENCE);
    const conv_shape shapes[] = {{2, 4, 3, 2, 3, 3, 1, TYPE_F32, TYPE_F32},
                                 {1, 5, 4, 3, 2, 3, 2, TYPE_F32, TYPE_F32},
                                 {2, 3, 5, 2, 2, 1, 1, TYPE_F32, TYPE_F32},
                                 {1, 1, 1, 3, 2, 3, 1, TYPE_F32, TYPE_F32}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        conv_case c = conv_make(shapes[i]);
        float *dx = filled(c.nx, NAN), *dw = filled(c.nw, 0.5f), *db = filled(c.s.out, 0.5f);
        conv *op;
        ok(k->conv_open(&c.s, true, &op));
        void *scratch = guarded(k->conv_scratch(op));
        ok(k->conv_pack(op, c.w, packed(k, op), scratch));
        ok(k->conv_backward_data(op, c.dy, dx, scratch));
        ok(k->conv_backward_weights(op, c.x, c.dy, dw, db, scratch));
        ok(k->conv_backward_weights(op, c.x, c.dy, dw, NULL, scratch));
        guard_check(scratch, k->conv_scratch(op));
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

static void test_reference_matmul(void **state) {
    (void)state;
    const kernels *k = engine(ENGINE_REFERENCE);
    float c[4] = {NAN, NAN, NAN, NAN};
    const float a[] = {1, 2, 3, 4, 5, 6}, b[] = {1, 0, 0, 1, 2, 2};
    ok(k->matmul(false, false, 2, 2, 3, a, b, 0, c)); /* overwrites NaN */
    const float ab[] = {7, 8, 16, 17};
    all_near("matmul", c, ab, 4, 0);
    ok(k->matmul(true, true, 2, 2, 3, a, b, 2, c)); /* a [3,2], b [2,3] */
    const float atbt[] = {1 + 14, 17 + 16, 2 + 32, 22 + 34};
    all_near("matmul transposed", c, atbt, 4, 0);
}

/* ---- the fast engines against the reference ---- */

/* Everything that an engine computes for a case. */
typedef struct conv_result {
    float *y, *dx, *dw, *db; /* dw and db start at 0.5, because kernels add to them */
    float *y_no_bias;
} conv_result;

static conv_result conv_all(const kernels *k, const conv_case *c) {
    const conv_shape *s = &c->s;
    conv_result r = {filled(c->ny, NAN), filled(c->nx, NAN), filled(c->nw, 0.5f),
                     filled(s->out, 0.5f), filled(c->ny, NAN)};
    float *other = noise(c->nw, 12), *keep_x = filled(c->nx, 0), *keep_dy = filled(c->ny, 0);
    void *x = activations_in(s->x, c->x, c->nx), *dy = activations_in(s->y, c->dy, c->ny);
    void *y = activations_in(s->y, r.y, c->ny), *dx = activations_in(s->x, r.dx, c->nx);
    conv *op;
    ok(k->conv_open(s, true, &op));
    void *scratch = guarded(k->conv_scratch(op));
    ok(k->conv_pack(op, other, packed(k, op), scratch)); /* packing again must replace it */
    ok(k->conv_pack(op, c->w, packed(k, op), scratch));
    ok(k->conv_forward(op, x, NULL, y, scratch));
    activations_out(s->y, y, r.y_no_bias, c->ny);
    y = activations_in(s->y, r.y, c->ny);
    ok(k->conv_forward(op, x, c->bias, y, scratch));
    ok(k->conv_backward_data(op, dy, dx, scratch));
    ok(k->conv_backward_weights(op, x, dy, r.dw, r.db, scratch));
    ok(k->conv_backward_weights(op, x, dy, r.dw, NULL, scratch));
    guard_check(scratch, k->conv_scratch(op));
    k->conv_close(op);
    activations_out(s->y, y, r.y, c->ny), activations_out(s->x, dx, r.dx, c->nx);
    activations_out(s->x, x, keep_x, c->nx), activations_out(s->y, dy, keep_dy, c->ny);
    same_bits("x after the kernels", keep_x, c->x, c->nx);
    same_bits("dy after the kernels", keep_dy, c->dy, c->ny);
    free(other), free(keep_x), free(keep_dy);
    return r;
}

static void conv_result_free(conv_result *r) {
    free(r->y), free(r->dx), free(r->dw), free(r->db), free(r->y_no_bias);
}

static void make_absolute(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = fabsf(x[i]);
}

static void compare_conv(const kernels *fast, conv_shape s) {
    const kernels *ref = engine(ENGINE_REFERENCE);
    conv_case c = conv_make(s), sizes = conv_make(s);
    make_absolute(sizes.x, c.nx), make_absolute(sizes.dy, c.ny), make_absolute(sizes.w, c.nw);
    make_absolute(sizes.bias, s.out);
    sizes.s.x = sizes.s.y = TYPE_F32;
    conv_result f = conv_all(fast, &c), r = conv_all(ref, &c), size = conv_all(ref, &sizes);
    double taps = s.kernel * s.kernel, pixels = (double)(c.ny / s.out);
    sums_near("conv y", s.y, f.y, r.y, size.y, c.ny, taps * (double)s.in);
    sums_near("conv y, no bias", s.y, f.y_no_bias, r.y_no_bias, size.y, c.ny, taps * (double)s.in);
    sums_near("conv dx", s.x, f.dx, r.dx, size.dx, c.nx, taps * (double)s.out);
    sums_near("conv dw", TYPE_F32, f.dw, r.dw, size.dw, c.nw, 2 * pixels);
    sums_near("conv db", TYPE_F32, f.db, r.db, size.db, s.out, pixels);
    conv_result_free(&f), conv_result_free(&r), conv_result_free(&size);
    conv_free(&c), conv_free(&sizes);
}

/* Every pair of channel counts, with image sizes in turn, for each kind of kernel. */
static void compare_convs(const kernels *fast, tensor_type x, tensor_type y) {
    const int64_t channels[] = {1, 3, 5, 7, 16, 33, 64};
    const int64_t images[][3] = {{1, 1, 1}, {2, 5, 8},   {1, 9, 4},
                                 {3, 2, 3}, {1, 17, 13}, {2, 1, 6}};
    int turn = 0;
    for (int in = 0; in < 7; in++) {
        for (int out = 0; out < 7; out++, turn++) {
            for (int kind = 0; kind < 3; kind++) {
                const int64_t *m = images[(turn + kind) % 6];
                int kernel = kind == 0 ? 1 : 3, stride = kind == 2 ? 2 : 1;
                compare_conv(fast, (conv_shape){m[0], m[1], m[2], channels[in], channels[out],
                                                kernel, stride, x, y});
            }
        }
    }
}

static void test_fast_conv(void **state) {
    (void)state;
    compare_convs(engine(ENGINE_ONEDNN), TYPE_F32, TYPE_F32);
    compare_convs(engine(ENGINE_OPENBLAS), TYPE_F32, TYPE_F32);
    /* Many pixels and whole blocks of channels may be computed by another algorithm. */
    compare_conv(engine(ENGINE_ONEDNN), (conv_shape){1, 64, 64, 16, 16, 3, 1, TYPE_F32, TYPE_F32});
    compare_conv(engine(ENGINE_ONEDNN), (conv_shape){1, 65, 63, 16, 32, 3, 2, TYPE_F32, TYPE_F32});
    compare_conv(engine(ENGINE_ONEDNN), (conv_shape){2, 21, 5, 8, 24, 3, 1, TYPE_F32, TYPE_F32});
    compare_conv(engine(ENGINE_ONEDNN), (conv_shape){3, 37, 1, 24, 8, 3, 1, TYPE_F32, TYPE_F32});
    /* So many weights that they may be repacked for each run. */
    compare_conv(engine(ENGINE_ONEDNN), (conv_shape){1, 33, 32, 96, 112, 3, 1, TYPE_F32, TYPE_F32});
}

static void test_fast_conv_bf16(void **state) {
    (void)state;
    compare_convs(engine(ENGINE_ONEDNN), TYPE_BF16, TYPE_BF16);
    compare_convs(engine(ENGINE_ONEDNN), TYPE_F32, TYPE_BF16); /* first and last of a network */
    compare_convs(engine(ENGINE_ONEDNN), TYPE_BF16, TYPE_F32);
    compare_conv(engine(ENGINE_ONEDNN), (conv_shape){2, 21, 5, 32, 96, 3, 1, TYPE_BF16, TYPE_BF16});
    compare_conv(engine(ENGINE_ONEDNN),
                 (conv_shape){2, 33, 40, 64, 32, 1, 1, TYPE_BF16, TYPE_BF16});
    compare_conv(engine(ENGINE_ONEDNN),
                 (conv_shape){1, 33, 32, 96, 112, 3, 1, TYPE_BF16, TYPE_BF16});
    conv *c;
    const conv_shape narrow = {1, 4, 1, 8, 8, 3, 2, TYPE_BF16, TYPE_BF16};
    /* oneDNN's products of bf16 are wrong for this shape: where they would be used, opening must
     * fail and name the remedy. */
    status st = engine(ENGINE_ONEDNN)->conv_open(&narrow, true, &c);
    if (st == ST_OK) {
        engine(ENGINE_ONEDNN)->conv_close(c);
        compare_conv(engine(ENGINE_ONEDNN), narrow);
    } else {
        assert_int_equal(st, ST_USAGE);
        assert_non_null(strstr(status_message(), "train.precision: f32"));
    }
    assert_int_equal(engine(ENGINE_OPENBLAS)->conv_open(&narrow, true, &c), ST_USAGE);
    assert_non_null(strstr(status_message(), "onednn"));
}

static void test_fast_matmul(void **state) {
    (void)state;
    const int64_t shapes[][3] = {{1, 1, 1},    {8, 512, 33}, {7, 5, 3},  {65, 17, 100},
                                 {1, 64, 256}, {64, 1, 16},  {33, 64, 1}};
    for (int i = 0; i < 7 * 2 * 4 * 2; i++) {
        const int64_t *n = shapes[i / 16];
        const kernels *fast = engine(fast_engines[i / 8 % 2]), *ref = engine(ENGINE_REFERENCE);
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
        sums_near("matmul", TYPE_F32, c[0], c[1], c[2], n[0] * n[1], (double)n[2] + 1);
        for (int j = 0; j < 3; j++) free(c[j]);
        free(a), free(b), free(aa), free(ab);
    }
}

/* ---- bit-for-bit equality ---- */

static void test_bits_of_threads_and_places(void **state) {
    (void)state;
    const int before = omp_get_max_threads();
    const conv_shape convs[] = {
        {5, 16, 16, 32, 48, 3, 1, TYPE_F32, TYPE_F32}, {5, 16, 16, 5, 64, 3, 1, TYPE_F32, TYPE_F32},
        {5, 15, 9, 64, 64, 3, 2, TYPE_F32, TYPE_F32},  {5, 8, 8, 128, 64, 1, 1, TYPE_F32, TYPE_F32},
        {5, 8, 8, 64, 1, 3, 1, TYPE_F32, TYPE_F32},    {5, 1, 1, 64, 33, 1, 1, TYPE_F32, TYPE_F32}};
    for (int e = 0; e < 3; e++) { /* twice oneDNN, the second time in bf16 */
        const kernels *k = engine(fast_engines[e % 2]);
        for (size_t i = 0; i < sizeof convs / sizeof convs[0]; i++) {
            conv_shape all = convs[i], single;
            all.x = all.y = e == 2 ? TYPE_BF16 : TYPE_F32;
            conv_case one = conv_make(all), two = conv_make(all);
            repeat_first(one.x, 5, one.nx / 5), repeat_first(two.x, 5, two.nx / 5);
            omp_set_num_threads(1), conv_run(k, &one);
            omp_set_num_threads(SEVERAL), conv_run(k, &two);
            same_bits("conv, 1 and 2 threads", one.y, two.y, one.ny);
            for (int b = 1; b < 5; b++)
                same_bits("conv, place in the batch", two.y, two.y + b * two.ny / 5, two.ny / 5);
            single = all;
            single.batch = 1;
            conv_case alone = conv_make(single);
            conv_run(k, &alone);
            same_bits("conv, batch of 1 and 5", two.y, alone.y, alone.ny);
            conv_free(&one), conv_free(&two), conv_free(&alone);
        }
    }
    omp_set_num_threads(before);
}

static void test_faults(void **state) {
    (void)state;
    int kind;
    conv *c;
    assert_int_equal(named_table_find(&engine_kinds, "cudnn", &kind), ST_USAGE);
    assert_non_null(strstr(status_message(), "onednn, openblas, reference"));
    const conv_shape bad = {1, 8, 8, -3, 4, 3, 1, TYPE_F32, TYPE_F32};
    assert_int_equal(engine(ENGINE_ONEDNN)->conv_open(&bad, true, &c), ST_INTERNAL);
    assert_null(c);
    assert_non_null(strstr(status_message(), "3x3 convolution"));
    assert_int_equal(engine(ENGINE_OPENBLAS)->conv_open(&bad, true, &c), ST_INTERNAL);
    assert_non_null(strstr(kernels_library_version(ENGINE_ONEDNN), "oneDNN 2."));
    assert_non_null(strstr(kernels_library_version(ENGINE_OPENBLAS), "OpenBLAS 0."));
    assert_string_equal(kernels_library_version(ENGINE_REFERENCE), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference_conv), cmocka_unit_test(test_reference_matmul),
        cmocka_unit_test(test_fast_conv),      cmocka_unit_test(test_fast_conv_bf16),
        cmocka_unit_test(test_fast_matmul),    cmocka_unit_test(test_bits_of_threads_and_places),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
