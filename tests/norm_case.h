/* One group normalisation, run by an engine in both directions and compared with the reference.
 * Included by one C file of a program.
 */
#ifndef CTAUG_TESTS_NORM_CASE_H
#define CTAUG_TESTS_NORM_CASE_H

#include "tests/kernel_case.h"

typedef struct norm_case {
    norm_shape s;
    int64_t nx, ng; /* elements and groups of the whole batch */
    bool add;
    float *x, *gain, *bias, *modulation, *mean, *rstd, *y, *dy;
    float *dx, *dgain, *dbias, *dmodulation;
} norm_case;

static inline norm_case norm_make(norm_shape s, bool modulated, bool add) {
    norm_case c = {.s = s, .nx = s.batch * s.pixels * s.channels, .ng = s.batch * s.groups};
    c.s.epsilon = 1e-5f, c.add = add;
    c.x = noise(c.nx, 5), c.gain = noise(s.channels, 6), c.bias = noise(s.channels, 7);
    c.modulation = modulated ? noise(s.batch * 2 * s.channels, 8) : NULL;
    c.mean = filled(c.ng, NAN), c.rstd = filled(c.ng, NAN);
    c.y = filled(c.nx, NAN), c.dy = noise(c.nx, 9);
    c.dx = add ? noise(c.nx, 13) : filled(c.nx, NAN);
    round_to_type(s.type, c.x, c.nx), round_to_type(s.type, c.dy, c.nx),
        round_to_type(s.type, c.dx, c.nx);
    c.dgain = filled(s.channels, 0.5f), c.dbias = filled(s.channels, 0.25f);
    c.dmodulation = modulated ? filled(s.batch * 2 * s.channels, NAN) : NULL;
    return c;
}

static inline void norm_free(norm_case *c) {
    free(c->x), free(c->gain), free(c->bias), free(c->modulation), free(c->mean), free(c->rstd);
    free(c->y), free(c->dy), free(c->dx), free(c->dgain), free(c->dbias), free(c->dmodulation);
}

static inline void norm_run(const kernels *k, norm_case *c) {
    void *x = activations_in(c->s.type, c->x, c->nx), *y = activations_in(c->s.type, c->y, c->nx);
    void *bytes = scratch_of(k->norm_scratch(&c->s));
    ok(k->norm_forward(&c->s, x, c->gain, c->bias, c->modulation, c->mean, c->rstd, y, bytes));
    activations_out(c->s.type, y, c->y, c->nx);
    free(x), free(bytes);
}

static inline void norm_run_back(const kernels *k, norm_case *c) {
    void *x = activations_in(c->s.type, c->x, c->nx), *dy = activations_in(c->s.type, c->dy, c->nx);
    void *dx = activations_in(c->s.type, c->dx, c->nx), *bytes = scratch_of(k->norm_scratch(&c->s));
    ok(k->norm_backward(&c->s, x, c->gain, c->bias, c->modulation, c->mean, c->rstd, dy, c->add, dx,
                        c->dgain, c->dbias, c->dmodulation, bytes));
    activations_out(c->s.type, dx, c->dx, c->nx);
    free(x), free(dy), free(bytes);
}

/* Tolerances: the error of xhat is a few u of itself and of mean * rstd, u = 2^-24; SiLU and the
 * affine part multiply it by at most `slope`. The reference runs in f32. A bf16 result is rounded
 * once from f32 values of that accuracy, and the sigmoid of a bf16 kernel may be off by 2^-13. */
static inline void compare_norm(const kernels *k, norm_shape s, bool modulated, bool add,
                                float offset, float spread) {
    norm_case f = norm_make(s, modulated, add), r = norm_make(s, modulated, add);
    for (int64_t i = 0; i < f.nx; i++) f.x[i] = offset + spread * f.x[i];
    round_to_type(s.type, f.x, f.nx);
    memcpy(r.x, f.x, (size_t)f.nx * sizeof(float));
    r.s.type = TYPE_F32;
    norm_run(k, &f);
    norm_run(engine(ENGINE_REFERENCE), &r);
    double slope = 2 * largest(r.gain, s.channels) + 2, rstd = largest(r.rstd, f.ng);
    double xhat = 1 + largest(r.x, r.nx) * rstd, dy = largest(r.dy, r.nx);
    double sigmoid = s.type == TYPE_BF16 && s.silu ? 0x1p-13 : 0;
    for (int64_t i = 0; i < f.ng; i++) {
        near("norm mean", f.mean[i], r.mean[i], 4 * U * (fabs(r.mean[i]) + 1 / rstd));
        near("norm rstd", f.rstd[i], r.rstd[i], 16 * U * xhat * r.rstd[i]);
    }
    all_near_in("norm y", s.type, f.y, r.y, f.nx,
                8 * U * slope * xhat + sigmoid * largest(r.y, r.nx));
    memcpy(f.mean, r.mean, (size_t)f.ng * sizeof(float));
    memcpy(f.rstd, r.rstd, (size_t)f.ng * sizeof(float));
    norm_run_back(k, &f);
    norm_run_back(engine(ENGINE_REFERENCE), &r);
    double size = (16 * U * xhat + 2 * sigmoid) * slope * dy * xhat;
    double root = sqrt((double)(s.batch * s.pixels));
    all_near_in("norm dx", s.type, f.dx, r.dx, f.nx, size * rstd * slope + (add ? U : 0));
    all_near("norm dgain", f.dgain, r.dgain, s.channels, size * root);
    all_near("norm dbias", f.dbias, r.dbias, s.channels, size * root);
    if (modulated)
        all_near("norm dscale_shift", f.dmodulation, r.dmodulation, s.batch * 2 * s.channels,
                 size * root * slope);
    norm_free(&f), norm_free(&r);
}

#endif
