/* The data of a phantom patient and the functions shared by the files of model/phantom.
 *
 * Organs are defined in anatomical coordinates (mm; x left, y posterior, z superior; x = 0 is the
 * midline, z = 0 about the fourth lumbar vertebra, z = 200 about the ninth thoracic one). A patient
 * maps scanner coordinates to anatomical ones: shift, scale, then a smooth displacement. Signed
 * distances are negative inside; those of ellipsoids are first-order approximations, accurate near
 * the surface.
 */
#ifndef CTAUG_MODEL_PHANTOM_ANATOMY_H
#define CTAUG_MODEL_PHANTOM_ANATOMY_H

#include "model/phantom/field.h"
#include "model/phantom/phantom.h"
#include "model/phantom/tubes.h"

#include <math.h>
#include <stdbool.h>

enum { LESIONS_MAX = 6, OUTLINE_ANGLES = 256, OUTLINE_LEVELS = 30 };

typedef struct ellipsoid {
    float at[3], inverse[3], radius_max; /* centre, 1 / half axes, largest half axis */
} ellipsoid;

/* The outline of the trunk, tabulated over height and angle around the axis x = 0, y = OUTLINE_Y.
 * The four components are the radii (mm) of the skin, of the outer face of the muscles and of the
 * inner face of the body wall, and the descent (mm) of a rib from the spine to this angle. */
typedef struct outline {
    vec4 at[OUTLINE_LEVELS][OUTLINE_ANGLES + 1];
} outline;

#define OUTLINE_Y 4.0f
#define OUTLINE_Z0 -40.0f
#define OUTLINE_STEP 10.0f

struct phantom {
    uint64_t seed, index;
    phantom_phase phase;
    phantom_implant implant;
    float hu[MAT_COUNT]; /* HU of the materials in this patient and phase */
    float noise;         /* standard deviation at the centre of the trunk, HU */
    float blur;          /* standard deviation of the point spread function, mm */
    phantom_scanner scanner;

    float scale[3], shift[3], warp; /* anatomical = (scanner - shift) / scale + warp * field */
    float couch;                    /* scanner y of the table's surface at x = 0, mm */
    float fat, visceral, age;       /* subcutaneous fat, mm; visceral fat, 0..1; 0 young .. 1 old */
    field bend, texture;

    outline trunk;
    float vertebra_z, vertebra_step; /* centre of the lowest vertebra, distance of vertebrae, mm */
    float lordosis;                  /* largest forward displacement of the spine, mm */
    int treated;                     /* vertebra with screws or cement */
    float dome, dome_left;           /* height of the diaphragm over its lowest line, mm */

    ellipsoid liver_right, liver_left, gall_bladder, spleen, spleen_hilum, kidney[2];
    ellipsoid heart, left_ventricle, right_ventricle, right_atrium, lesion[LESIONS_MAX];
    int lesions;
    float fissure[2];  /* depth (y) and width of the cleft beside the falciform ligament, mm */
    float liver_slope; /* slope of the lower surface of the liver towards the left */

    tubes great, liver_tree, lung_tree, gut, metal;
};

/* A point with the quantities that several organs need. */
typedef struct place {
    float x, y, z;
    float r, back;                    /* distance from the axis; -1 anterior .. 1 posterior */
    float skin, muscle, cavity, drop; /* components of the outline in this direction */
    vec4 wobble, fine, coarse;        /* random fields: 35 mm, 3 mm and 10 mm correlation */
} place;

/* The material at a place, or MAT_NONE if the place is outside the structure. */
material spine_at(const phantom *p, const place *at);
/* The body wall: skin, fat, muscles, ribs. */
material wall_at(const phantom *p, const place *at);
/* Everything inside the body wall; never MAT_NONE. */
material cavity_at(const phantom *p, const place *at);
material metal_at(const phantom *p, const place *at);

/* Whether the place is above the diaphragm and at least `margin` mm away from it. */
bool above_diaphragm(const phantom *p, const place *at, float margin);

/* The outline at a point, interpolated. */
vec4 outline_at(const outline *o, float x, float y, float z);

/* Drawing of a patient's parts. Local. */
void outline_draw(phantom *p, rng_stream *r);
void organs_draw(phantom *p, rng_stream *r);
status vessels_draw(phantom *p, rng_stream *r);
status gut_draw(phantom *p, rng_stream *r);
status implant_draw(phantom *p, rng_stream *r);

/* y of the centre of the vertebral bodies at height z. */
static inline float spine_y(const phantom *p, float z) {
    return 50.0f - p->lordosis * expf(-(z - 40.0f) * (z - 40.0f) * (1.0f / 4000.0f)) +
           0.0003f * z * z;
}
/* z of the centre of vertebra k. */
static inline float vertebra_centre(const phantom *p, int k) {
    return p->vertebra_z + (float)k * p->vertebra_step;
}

static inline float between(rng_stream *r, float a, float b) { return (float)rng_between(r, a, b); }

/* Smooth step: 0 at a, 1 at b, clamped outside (a may be larger than b). */
static inline float ramp(float a, float b, float x) {
    float t = (x - a) / (b - a);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return t * t * (3.0f - 2.0f * t);
}

/* Approximate signed distance to an ellipsoid, mm. */
static inline float ellipsoid_distance(const ellipsoid *e, float x, float y, float z) {
    const float dx = x - e->at[0], dy = y - e->at[1], dz = z - e->at[2];
    const float ux = dx * e->inverse[0], uy = dy * e->inverse[1], uz = dz * e->inverse[2];
    const float u = ux * ux + uy * uy + uz * uz;
    const float vx = ux * e->inverse[0], vy = uy * e->inverse[1], vz = uz * e->inverse[2];
    const float k = sqrtf(u), g = sqrtf(vx * vx + vy * vy + vz * vz) + 1e-9f;
    return k * (k - 1.0f) / g;
}

/* Fast test by bounding box whether a point can be within `reach` mm of an ellipsoid. */
static inline bool ellipsoid_near(const ellipsoid *e, float x, float y, float z, float reach) {
    const float half = e->radius_max + reach;
    return fabsf(x - e->at[0]) < half && fabsf(y - e->at[1]) < half && fabsf(z - e->at[2]) < half;
}

/* Union (min) and intersection (max) of signed distances with edges rounded over about k mm. */
static inline float smooth_min(float a, float b, float k) {
    const float h = fmaxf(k - fabsf(a - b), 0.0f) / k;
    return fminf(a, b) - 0.25f * h * h * k;
}
static inline float smooth_max(float a, float b, float k) { return -smooth_min(-a, -b, k); }

#endif
