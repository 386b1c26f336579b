/* Convolutions of small integers. Their sums are exact in f32, in any order, so a fast kernel must
 * equal the reference bit for bit. Included by one C file of a program.
 */
#ifndef CTAUG_TESTS_WHOLE_CONV_H
#define CTAUG_TESTS_WHOLE_CONV_H

#include "model/nn/kernels/conv_algorithms.h"
#include "tests/kernel_case.h"

/* Multiples of `unit`, by an integer from -3 to 3. */
static inline float *whole(int64_t n, uint32_t seed, float unit) {
    float *a = noise(n, seed);
    for (int64_t i = 0; i < n; i++) a[i] = unit * rintf(3 * a[i]);
    return a;
}

typedef struct whole_case {
    conv_shape s;
    int64_t nx, ny, nw; /* elements of x, y and the weights */
    float *x, *dy, *w, *bias;
} whole_case;

/* Stride 1. Weights are multiples of 4, because Winograd's weight transform halves twice. */
static inline whole_case case_of(conv_shape s) {
    int64_t pixels = s.batch * s.height * s.width;
    whole_case c = {.s = s, .nx = pixels * s.in, .ny = pixels * s.out};
    c.nw = s.kernel * s.kernel * s.in * s.out;
    c.x = whole(c.nx, 1, 1), c.dy = whole(c.ny, 2, 1), c.w = whole(c.nw, 3, 4);
    c.bias = whole(s.out, 4, 1);
    return c;
}

static inline void case_free(whole_case *c) { free(c->x), free(c->dy), free(c->w), free(c->bias); }

typedef struct answers {
    float *y, *dx, *dw, *db; /* dw and db start at 0.5, because kernels add to them */
} answers;

static inline answers answers_of(const whole_case *c) {
    return (answers){filled(c->ny, NAN), filled(c->nx, NAN), filled(c->nw, 0.5f),
                     filled(c->s.out, 0.5f)};
}

static inline void answers_free(answers *a) { free(a->y), free(a->dx), free(a->dw), free(a->db); }

/* x and dy of a case in the types of its shape. */
typedef struct inputs {
    void *x, *dy;
} inputs;

static inline inputs inputs_of(const whole_case *c) {
    return (inputs){activations_in(c->s.x, c->x, c->nx), activations_in(c->s.y, c->dy, c->ny)};
}

/* Frees them. No kernel may have changed them. */
static inline void inputs_check(const whole_case *c, inputs *in) {
    float *x = filled(c->nx, 0), *dy = filled(c->ny, 0);
    activations_out(c->s.x, in->x, x, c->nx), activations_out(c->s.y, in->dy, dy, c->ny);
    same_bits("x after the kernels", x, c->x, c->nx);
    same_bits("dy after the kernels", dy, c->dy, c->ny);
    free(x), free(dy);
}

static inline answers by_engine(const kernels *k, const whole_case *c) {
    const conv_shape *s = &c->s;
    conv *op;
    answers a = answers_of(c);
    inputs in = inputs_of(c);
    void *y = activations_in(s->y, a.y, c->ny), *dx = activations_in(s->x, a.dx, c->nx);
    ok(k->conv_open(s, true, &op));
    void *scratch = scratch_of(k->conv_scratch(op)), *packed = scratch_of(k->conv_packed(op));
    ok(k->conv_pack(op, c->w, packed, scratch));
    ok(k->conv_forward(op, in.x, c->bias, y, scratch));
    ok(k->conv_backward_data(op, in.dy, dx, scratch));
    ok(k->conv_backward_weights(op, in.x, in.dy, a.dw, a.db, scratch));
    k->conv_close(op);
    activations_out(s->y, y, a.y, c->ny), activations_out(s->x, dx, a.dx, c->nx);
    inputs_check(c, &in);
    free(scratch), free(packed);
    return a;
}

static inline answers by_reference(const whole_case *c) {
    return by_engine(engine(ENGINE_REFERENCE), c);
}

/* y and dx. Fails if the algorithm writes behind its scratch or its packed weights. */
static inline void add_activations(const whole_case *c, const conv_algorithm *algorithm,
                                   answers *a) {
    const conv_shape *s = &c->s;
    inputs in = inputs_of(c);
    void *y = activations_in(s->y, a->y, c->ny), *dx = activations_in(s->x, a->dx, c->nx);
    int64_t bytes = algorithm->scratch(s, false);
    char *scratch = guarded(bytes), *packed = guarded(algorithm->packed(s));
    algorithm->pack(s, c->w, packed);
    algorithm->forward(s, packed, in.x, c->bias, y, scratch);
    guard_check(scratch, bytes);
    scratch = guarded(bytes = algorithm->scratch(s, true));
    algorithm->backward_data(s, c->w, in.dy, dx, scratch);
    guard_check(scratch, bytes), guard_check(packed, algorithm->packed(s));
    activations_out(s->y, y, a->y, c->ny), activations_out(s->x, dx, a->dx, c->nx);
    inputs_check(c, &in);
}

/* Adds to dw and, unless it is NULL, db. Fails if the algorithm writes behind its scratch. */
static inline void add_gradients(const whole_case *c, const weight_gradient_algorithm *gradient,
                                 float *dw, float *db) {
    inputs in = inputs_of(c);
    int64_t bytes = gradient->scratch(&c->s);
    char *scratch = guarded(bytes);
    gradient->add(&c->s, in.x, in.dy, dw, db, scratch);
    guard_check(scratch, bytes);
    inputs_check(c, &in);
}

static inline answers by_algorithm(const whole_case *c, const conv_algorithm *algorithm,
                                   const weight_gradient_algorithm *gradient) {
    answers a = answers_of(c);
    add_activations(c, algorithm, &a);
    add_gradients(c, gradient, a.dw, a.db);
    return a;
}

static inline void same_answers(const whole_case *c, const answers *a, const answers *b) {
    same_bits("y", a->y, b->y, c->ny);
    same_bits("dx", a->dx, b->dx, c->nx);
    same_bits("dw", a->dw, b->dw, c->nw);
    same_bits("db", a->db, b->db, c->s.out);
}

/* Equal to the reference bit for bit, on 1 to 6 threads. */
static inline void algorithm_is_exact(const whole_case *c, const conv_algorithm *algorithm,
                                      const weight_gradient_algorithm *gradient) {
    const int before = omp_get_max_threads();
    assert_true(algorithm->supports(&c->s) && gradient->supports(&c->s));
    answers want = by_reference(c);
    for (int threads = 1; threads <= 6; threads++) {
        omp_set_num_threads(threads);
        answers got = by_algorithm(c, algorithm, gradient);
        same_answers(c, &got, &want);
        answers_free(&got);
    }
    answers_free(&want);
    omp_set_num_threads(before);
}

/* The same for a weight gradient alone. */
static inline void gradient_is_exact(const whole_case *c,
                                     const weight_gradient_algorithm *gradient) {
    const int before = omp_get_max_threads();
    answers want = by_reference(c);
    for (int threads = 1; threads <= 6; threads++) {
        omp_set_num_threads(threads);
        answers got = answers_of(c);
        add_gradients(c, gradient, got.dw, got.db);
        same_bits("dw", got.dw, want.dw, c->nw);
        same_bits("db", got.db, want.db, c->s.out);
        answers_free(&got);
    }
    answers_free(&want);
    omp_set_num_threads(before);
}

/* Changes x and dy to values whose sums are rounded. y and dx have the same bits on 1 to 3
 * threads. */
static inline void activations_ignore_threads(whole_case *c, const conv_algorithm *algorithm,
                                              const weight_gradient_algorithm *gradient) {
    const int before = omp_get_max_threads();
    for (int64_t k = 0; k < c->nx; k++) c->x[k] += 0.1f;
    for (int64_t k = 0; k < c->ny; k++) c->dy[k] -= 0.3f;
    round_to_type(c->s.x, c->x, c->nx), round_to_type(c->s.y, c->dy, c->ny);
    omp_set_num_threads(1);
    answers one = by_algorithm(c, algorithm, gradient);
    for (int threads = 2; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        answers several = by_algorithm(c, algorithm, gradient);
        same_bits("y", several.y, one.y, c->ny);
        same_bits("dx", several.dx, one.dx, c->nx);
        answers_free(&several);
    }
    answers_free(&one);
    omp_set_num_threads(before);
}

#endif
