/* The spine: vertebral bodies and discs, pedicles, laminae, facets, transverse and spinous
 * processes around the vertebral canal, repeated for every vertebra.
 *
 * Bones are signed distances in the coordinates of their vertebra; their union is the minimum. Bone
 * less than CORTEX mm (END_PLATE mm towards the discs) below the surface is cortical.
 */
#include "model/phantom/anatomy.h"

#define CORTEX 1.2f
#define END_PLATE 0.6f

typedef struct vertebra {
    float half, disc; /* half the distance of vertebrae; half the height of a disc; mm */
    float wide, deep; /* half axes of the body along x and y, mm */
    float canal;      /* y of the centre of the canal, relative to the centre of the body, mm */
    bool lumbar;
} vertebra;

static vertebra vertebra_shape(const phantom *p, float z) {
    const float thoracic = ramp(90, 170, z);
    return (vertebra){.half = 0.5f * p->vertebra_step,
                      .disc = 4.6f - 1.8f * thoracic,
                      .wide = 24.5f - 5.5f * thoracic,
                      .deep = 17.0f - 1.5f * thoracic,
                      .canal = 23.5f - 1.5f * thoracic,
                      .lumbar = z < p->vertebra_z + 3.6f * p->vertebra_step};
}

/* Signed distance (maximum norm) to a box with half sides a, b, c. */
static float box(float x, float y, float z, float a, float b, float c) {
    return fmaxf(fabsf(x) - a, fmaxf(fabsf(y) - b, fabsf(z) - c));
}

/* Signed distance to a rod around the segment from a to b; its cross-section is `tall` times as
 * high (z) as wide. */
static float rod(float x, float y, float z, const float a[3], const float b[3], float radius,
                 float tall) {
    const float ax = b[0] - a[0], ay = b[1] - a[1], px = x - a[0], py = y - a[1];
    float s = (px * ax + py * ay) / (ax * ax + ay * ay);
    s = s < 0 ? 0 : s > 1 ? 1 : s;
    const float dx = px - s * ax, dy = py - s * ay;
    const float dz = (z - a[2] - s * (b[2] - a[2])) / tall;
    return sqrtf(dx * dx + dy * dy + dz * dz) - radius;
}

/* Signed distance to the posterior elements. x >= 0 (mirrored), y relative to the centre of the
 * canal. */
static float arch_distance(const vertebra *v, float x, float y, float z) {
    const float out = sqrtf(x * x * (1 / 300.0f) + y * y * (1 / 225.0f));
    const float ring = (out - 1.0f) * 15.0f;
    float d = 1e9f;
    if (y > -2) d = fmaxf(ring, fmaxf(-v->half * 0.75f - z, z - v->half * 0.5f)); /* laminae */
    const float pedicle = box(x - 14.5f, y + 7, z - v->half * 0.38f, 4.0f, 9.5f, v->half * 0.38f);
    const float fx = (x - 17) * (1 / 7.5f), fy = (y - 5) * (1 / 7.0f);
    const float facet = (sqrtf(fx * fx + fy * fy) - 1) * 7.0f; /* continuous between vertebrae */
    const float root[3] = {15, 0, 0.3f * v->half};
    const float tip_lumbar[3] = {43, 5, 0.35f * v->half}, tip[3] = {31, 13, 0.45f * v->half};
    const float transverse = rod(x, y, z, root, v->lumbar ? tip_lumbar : tip,
                                 v->lumbar ? 3.8f : 4.6f, v->lumbar ? 1.7f : 1.5f);
    const float slope = v->lumbar ? 0.15f : 0.7f, along = y - 10;
    const float thick = 2.6f + 1.6f * ramp(14, 27, along);
    const float spinous =
        box(x, along - 11.0f, z + 2.0f + slope * along, thick, 12.0f, v->lumbar ? 9.5f : 7.0f);
    d = fminf(d, fminf(pedicle, facet));
    return fminf(d, fminf(transverse, spinous));
}

/* Signed distance to the body's lateral surface: narrower at mid-height, flat posteriorly. */
static float body_distance(const vertebra *v, float x, float y, float z) {
    const float h = z / (v->half - v->disc);
    const float waist = 1.0f / (1.0f - 0.07f * fmaxf(0.0f, 1 - h * h));
    const float a = x / v->wide * waist, b = y / v->deep * waist;
    const float a2 = a * a, b2 = b * b;
    const float round = (sqrtf(sqrtf(a2 * a2 + b2 * b2 + 1.35f * a2 * b2)) - 1.0f) * v->deep;
    return fmaxf(round, y - 0.84f * v->deep);
}

material spine_at(const phantom *p, const place *at) {
    if (fabsf(at->x) > 50 || at->y < 15) return MAT_NONE;
    const float y = at->y - spine_y(p, at->z), x = at->x + 1.5f * at->wobble[1];
    if (y < -21) return MAT_NONE;
    const float order = (at->z - p->vertebra_z) / p->vertebra_step;
    const int k = (int)lrintf(order);
    const float z = (order - (float)k) * p->vertebra_step;
    const vertebra v = vertebra_shape(p, at->z);
    const float rough = 0.4f * at->coarse[0];

    const float body = body_distance(&v, x, y, z) + rough, end = fabsf(z) - (v.half - v.disc);
    const float cy = (y - v.canal) * (1 / 8.8f), cx = x * (1 / 11.8f), canal = cx * cx + cy * cy;
    if (canal < 1) return canal < 0.62f ? MAT_SPINAL_CANAL : MAT_VISCERAL_FAT;
    const float behind = arch_distance(&v, fabsf(x), y - v.canal, z) + rough;
    const float d = fminf(fmaxf(body, end), behind);
    if (d < 0) {
        if (p->implant == IMPLANT_CEMENT && k == p->treated && y < 12 && at->wobble[2] > -0.7f &&
            body < -4 && end < -3) {
            return MAT_BONE_CEMENT;
        }
        const bool plate = body < 0 && behind > 0 && end > -END_PLATE;
        const bool shell = behind > 0 ? body > -CORTEX : behind > -CORTEX && body > -CORTEX;
        return plate || shell ? MAT_CORTICAL_BONE : MAT_CANCELLOUS_BONE;
    }
    return body < -0.5f ? MAT_DISC : MAT_NONE;
}
