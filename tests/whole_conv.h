/* Convolutions of whole numbers, in which no sum rounds: what is fast must equal the reference to
 * the last bit. Included by one C file of a program. */
#ifndef CTAUG_TESTS_WHOLE_CONV_H
#define CTAUG_TESTS_WHOLE_CONV_H

#include "model/nn/kernels/conv_algorithms.h"
#include "tests/kernel_case.h"

/* Whole multiples of `unit` up to 3 of either sign. */
static inline float *whole(int64_t n, uint32_t seed, float unit) {
    float *a = noise(n, seed);
    for (int64_t i = 0; i < n; i++) a[i] = unit * rintf(3 * a[i]);
    return a;
}

typedef struct whole_case {
    conv_shape s;
    int64_t nx, ny, nw;
    float *x, *dy, *w, *bias;
} whole_case;

/* With stride 1. Weights are multiples of 4, for Winograd's transform halves twice. */
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
    float *y, *dx, *dw, *db;
} answers;

static inline answers answers_of(const whole_case *c) {
    return (answers){filled(c->ny, NAN), filled(c->nx, NAN), filled(c->nw, 0.5f),
                     filled(c->s.out, 0.5f)};
}

static inline void answers_free(answers *a) { free(a->y), free(a->dx), free(a->dw), free(a->db); }

static inline answers by_reference(const whole_case *c) {
    const kernels *k = engine(ENGINE_REFERENCE);
    const conv_shape *s = &c->s;
    conv *op;
    answers a = answers_of(c);
    void *x = map_in(s->x, c->x, c->nx), *dy = map_in(s->y, c->dy, c->ny);
    void *y = map_in(s->y, a.y, c->ny), *dx = map_in(s->x, a.dx, c->nx);
    ok(k->conv_open(s, true, &op));
    void *scratch = scratch_of(k->conv_scratch(op)), *packed = scratch_of(k->conv_packed(op));
    ok(k->conv_pack(op, c->w, packed, scratch));
    ok(k->conv_forward(op, x, c->bias, y, scratch));
    ok(k->conv_backward_data(op, dy, dx, scratch));
    ok(k->conv_backward_weights(op, x, dy, a.dw, a.db, scratch));
    k->conv_close(op);
    map_out(s->y, y, a.y, c->ny), map_out(s->x, dx, a.dx, c->nx);
    float *rest = filled(c->nx > c->ny ? c->nx : c->ny, 0);
    map_out(s->x, x, rest, c->nx), map_out(s->y, dy, rest, c->ny);
    free(rest), free(scratch), free(packed);
    return a;
}

/* Scratch is no larger than asked for, x and dy stay as they are. */
static inline answers by_way(const whole_case *c, const conv_algorithm *way,
                             const weight_gradient_algorithm *gradient) {
    const conv_shape *s = &c->s;
    answers a = answers_of(c);
    void *x = map_in(s->x, c->x, c->nx), *dy = map_in(s->y, c->dy, c->ny);
    void *y = map_in(s->y, a.y, c->ny), *dx = map_in(s->x, a.dx, c->nx);
    int64_t bytes = way->scratch(s, false);
    char *scratch = guarded(bytes), *packed = guarded(way->packed(s));
    way->pack(s, c->w, packed);
    way->forward(s, packed, x, c->bias, y, scratch);
    guard_check(scratch, bytes);
    scratch = guarded(bytes = way->scratch(s, true));
    way->backward_data(s, c->w, dy, dx, scratch);
    guard_check(scratch, bytes), guard_check(packed, way->packed(s));
    scratch = guarded(bytes = gradient->scratch(s));
    gradient->add(s, x, dy, a.dw, a.db, scratch);
    guard_check(scratch, bytes);
    map_out(s->y, y, a.y, c->ny), map_out(s->x, dx, a.dx, c->nx);
    float *same_x = filled(c->nx, 0), *same_dy = filled(c->ny, 0);
    map_out(s->x, x, same_x, c->nx), map_out(s->y, dy, same_dy, c->ny);
    same_bits("x after all", same_x, c->x, c->nx);
    same_bits("dy after all", same_dy, c->dy, c->ny);
    free(same_x), free(same_dy);
    return a;
}

static inline void same_answers(const whole_case *c, const answers *a, const answers *b) {
    same_bits("y", a->y, b->y, c->ny);
    same_bits("dx", a->dx, b->dx, c->nx);
    same_bits("dw", a->dw, b->dw, c->nw);
    same_bits("db", a->db, b->db, c->s.out);
}

/* Equal to the reference to the last bit, by any number of threads. */
static inline void way_is_exact(const whole_case *c, const conv_algorithm *way,
                                const weight_gradient_algorithm *gradient) {
    const int before = omp_get_max_threads();
    assert_true(way->supports(&c->s) && gradient->supports(&c->s));
    answers want = by_reference(c);
    for (int threads = 1; threads <= 6; threads++) {
        omp_set_num_threads(threads);
        answers got = by_way(c, way, gradient);
        same_answers(c, &got, &want);
        answers_free(&got);
    }
    answers_free(&want);
    omp_set_num_threads(before);
}

/* Makes x and dy numbers whose sums are rounded. y and dx are the same bits by 1 to 3 threads. */
static inline void maps_ignore_threads(whole_case *c, const conv_algorithm *way,
                                       const weight_gradient_algorithm *gradient) {
    const int before = omp_get_max_threads();
    for (int64_t k = 0; k < c->nx; k++) c->x[k] += 0.1f;
    for (int64_t k = 0; k < c->ny; k++) c->dy[k] -= 0.3f;
    map_round(c->s.x, c->x, c->nx), map_round(c->s.y, c->dy, c->ny);
    omp_set_num_threads(1);
    answers one = by_way(c, way, gradient);
    for (int threads = 2; threads <= 3; threads++) {
        omp_set_num_threads(threads);
        answers several = by_way(c, way, gradient);
        same_bits("y", several.y, one.y, c->ny);
        same_bits("dx", several.dx, one.dx, c->nx);
        answers_free(&several);
    }
    answers_free(&one);
    omp_set_num_threads(before);
}

#endif
