/* Smooth random fields: four channels of white noise on a periodic lattice, blurred to a
 * correlation length, each with mean 0 and variance 1, evaluated by trilinear interpolation. One
 * field deforms a patient, another one is the texture of the tissues. */
#ifndef CTAUG_MODEL_PHANTOM_FIELD_H
#define CTAUG_MODEL_PHANTOM_FIELD_H

#include "io/status.h"
#include "model/rng.h"

typedef float vec4 __attribute__((vector_size(16)));

typedef struct field {
    int n;      /* lattice points along an axis, a power of two */
    float cell; /* distance of lattice points, mm */
    vec4 *at;   /* n*n*n, z y x; owned */
} field;

/* Draws a field. `blur` is the standard deviation of the Gaussian blur in cells: at least 1 (below
 * that the lattice becomes visible) and less than n / 6. Local. */
status field_create(rng_stream *r, int n, float cell, float blur, field *out);
void field_free(field *f);

/* The four channels at a point (mm) within 4096 cells of the origin. Local. */
static inline vec4 field_at(const field *f, float x, float y, float z) {
    /* A shift by whole periods makes coordinates positive, so that a cast to int rounds down. */
    const float shift = 4096.0f, scale = 1.0f / f->cell;
    const float px = x * scale + shift, py = y * scale + shift, pz = z * scale + shift;
    const int ix = (int)px, iy = (int)py, iz = (int)pz, mask = f->n - 1, n = f->n;
    const float tx = px - (float)ix, ty = py - (float)iy, tz = pz - (float)iz;
    const int x0 = ix & mask, x1 = (ix + 1) & mask;
    const vec4 *r00 = f->at + ((int64_t)(iz & mask) * n + (iy & mask)) * n;
    const vec4 *r01 = f->at + ((int64_t)(iz & mask) * n + ((iy + 1) & mask)) * n;
    const vec4 *r10 = f->at + ((int64_t)((iz + 1) & mask) * n + (iy & mask)) * n;
    const vec4 *r11 = f->at + ((int64_t)((iz + 1) & mask) * n + ((iy + 1) & mask)) * n;
    const vec4 a = r00[x0] + tx * (r00[x1] - r00[x0]), b = r01[x0] + tx * (r01[x1] - r01[x0]);
    const vec4 c = r10[x0] + tx * (r10[x1] - r10[x0]), d = r11[x0] + tx * (r11[x1] - r11[x0]);
    const vec4 low = a + ty * (b - a), high = c + ty * (d - c);
    return low + tz * (high - low);
}

#endif
