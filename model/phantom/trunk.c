/* The body wall: skin, subcutaneous fat, muscles with fat planes, ribs and sternum.
 *
 * The trunk is star-shaped around its axis, so its surfaces are radii over (angle, height),
 * tabulated once for each patient. Angles are represented by a rational pseudo-angle (the position
 * on a diamond), which needs no trigonometric functions. A rib follows the inner face of the wall
 * and descends towards the front; its section by a slice is an elongated ellipse.
 */
#include "model/phantom/anatomy.h"

#include <string.h>

#define PI 3.14159265f
#define RIB_STEP 27.0f

/* The pseudo-angle of (x, y): 0 at +x, 1 at +y, 2 at -x, 3 at -y. */
static inline float pseudo_angle(float x, float y) {
    const float sum = fabsf(x) + fabsf(y) + 1e-6f, t = y / sum;
    return x >= 0 ? (t >= 0 ? t : 4.0f + t) : 2.0f - t;
}

vec4 outline_at(const outline *o, float x, float y, float z) {
    const float a = pseudo_angle(x, y - OUTLINE_Y) * (OUTLINE_ANGLES / 4.0f);
    float l = (z - OUTLINE_Z0) * (1.0f / OUTLINE_STEP);
    l = l < 0 ? 0 : l > OUTLINE_LEVELS - 1.001f ? OUTLINE_LEVELS - 1.001f : l;
    int i = (int)a;
    if (i >= OUTLINE_ANGLES) i = OUTLINE_ANGLES - 1;
    const int j = (int)l;
    const float s = a - (float)i, t = l - (float)j;
    const vec4 low = o->at[j][i] + s * (o->at[j][i + 1] - o->at[j][i]);
    const vec4 high = o->at[j + 1][i] + s * (o->at[j + 1][i + 1] - o->at[j + 1][i]);
    return low + t * (high - low);
}

/* Radius of the outer face of the muscles: a superellipse, flatter posteriorly, larger anteriorly
 * with visceral fat. (dx, dy): unit direction. */
static float muscle_radius(const phantom *p, float dx, float dy, float abdomen, float z) {
    const float waist = 6.0f * expf(-(z - 70.0f) * (z - 70.0f) / 1800.0f);
    const float a = 137.0f - waist + 9.0f * p->visceral * abdomen;
    const float b =
        dy < 0 ? 93.0f + 6.0f * (1.0f - abdomen) + 20.0f * p->visceral * abdomen : 105.0f;
    const float n = 2.35f;
    float r = powf(powf(fabsf(dx) / a, n) + powf(fabsf(dy) / b, n), -1.0f / n);
    if (dy > 0) {
        const float x = r * dx; /* the groove between the erector spinae muscles */
        r -= 4.0f * expf(-x * x / 150.0f);
    }
    return r;
}

/* Thickness (mm) of the wall. Abdomen, from the midline: linea alba, rectus, semilunar line, flank;
 * thorax: ribs and their muscles. */
static float wall_thickness(float x, float dy, float thorax) {
    const float front = 4.0f + 8.0f * ramp(3, 14, x) * ramp(62, 48, x) + 12.0f * ramp(68, 105, x);
    const float flank = 16.0f, soft = dy < 0 ? front : flank;
    const float chest = 15.0f + 5.0f * ramp(40, 110, x) + (dy > 0 ? 4.0f : 0.0f);
    return soft + thorax * (chest - soft);
}

/* Relative thickness of the subcutaneous fat: large at abdomen and flanks, small at the chest. */
static float fat_profile(float dx, float dy, float r, float abdomen) {
    const float front = dy < 0 ? dy * dy : 0, x = dx * r;
    const float handle = expf(-(dy - 0.62f) * (dy - 0.62f) / 0.09f);
    return 0.5f + abdomen * (0.25f + 0.35f * front + 0.55f * handle) -
           (dy > 0 ? 0.22f * expf(-x * x / 500.0f) : 0);
}

/* Descent (mm) of a rib at an angle (degrees) from the posterior midline. */
static float rib_drop(float angle) {
    return 96.0f * ramp(5, 112, angle) + 26.0f * ramp(95, 132, angle) -
           44.0f * ramp(132, 180, angle);
}

void outline_draw(phantom *p, rng_stream *r) {
    float amount[3], phase[3], fat_amount[2], fat_phase[2];
    for (int k = 0; k < 3; k++) {
        amount[k] = between(r, -0.012f, 0.012f);
        phase[k] = between(r, 0, 2 * PI);
    }
    for (int k = 0; k < 2; k++) {
        fat_amount[k] = between(r, -0.16f, 0.16f);
        fat_phase[k] = between(r, 0, 2 * PI);
    }
    for (int j = 0; j < OUTLINE_LEVELS; j++) {
        const float z = OUTLINE_Z0 + OUTLINE_STEP * (float)j, abdomen = ramp(165, 70, z);
        const float thorax = ramp(85, 140, z);
        for (int i = 0; i <= OUTLINE_ANGLES; i++) {
            const float t = (float)(i % OUTLINE_ANGLES) * (4.0f / OUTLINE_ANGLES);
            float dx = t < 2 ? 1 - t : t - 3, dy = t < 1 ? t : t < 3 ? 2 - t : t - 4;
            const float norm = 1.0f / sqrtf(dx * dx + dy * dy);
            dx *= norm;
            dy *= norm;
            const float angle = atan2f(dy, dx);
            float muscle = muscle_radius(p, dx, dy, abdomen, z), fat = 1, wave = 1;
            for (int k = 0; k < 3; k++) {
                wave += amount[k] * cosf((float)(k + 2) * angle + phase[k] + 0.008f * z);
            }
            for (int k = 0; k < 2; k++) {
                fat += fat_amount[k] * cosf((float)(k + 2) * angle + fat_phase[k] + 0.01f * z);
            }
            muscle *= wave;
            const float x = fabsf(dx) * muscle;
            fat *= p->fat * fat_profile(dx, dy, muscle, abdomen);
            float cavity = muscle - wall_thickness(x, dy, thorax);
            if (dy > 0) {
                /* Posteriorly the erector spinae muscles reach to the ribs and the kidneys. */
                const float depth = 70.0f + 13.0f * ramp(30, 75, x) + 4.0f * thorax;
                cavity = smooth_min(cavity, (depth - OUTLINE_Y) / fmaxf(dy, 0.05f), 14);
            }
            const float drop = rib_drop(90.0f - asinf(dy) * (180.0f / PI));
            p->trunk.at[j][i] = (vec4){muscle + fmaxf(fat, 2.5f) + 1.8f, muscle, cavity, drop};
        }
    }
}

/* Cortical or cancellous bone, by the depth (mm) below the surface. */
static material bone(float depth) { return depth < 1.3f ? MAT_CORTICAL_BONE : MAT_CANCELLOUS_BONE; }

/* Ribs from the twelfth upwards. The tables give where bone and where cartilage end, from -1
 * (anterior) to 1 (posterior). */
static material rib_at(const phantom *p, const place *at) {
    static const float bone_end[] = {0.40f, -0.12f, -0.5f, -0.62f, -0.66f, -0.7f, -0.7f, -0.7f};
    static const float cartilage_end[] = {0.36f, -0.18f, -0.75f, -0.92f, -0.98f, -1, -1, -1};
    const float radial = (at->r - at->cavity - 5.5f) * (1.0f / 3.8f);
    if (fabsf(radial) > 1) return MAT_NONE;
    const float first = p->vertebra_z + 4.0f * p->vertebra_step + 2.0f;
    const float order = (at->z + at->drop - first) * (1.0f / RIB_STEP);
    const int k = (int)lrintf(order);
    if (k < 0 || k > 7 || at->back < cartilage_end[k]) return MAT_NONE;
    const bool cartilage = at->back < bone_end[k];
    const float vertical = (order - (float)k) * (RIB_STEP / (cartilage ? 5.0f : 5.8f));
    const float square = radial * radial + vertical * vertical;
    if (square > 1) return MAT_NONE;
    return cartilage ? MAT_CARTILAGE : bone((1 - sqrtf(square)) * 5.0f);
}

/* Sternum and xiphoid process, anterior, at the top of the field of view. */
static material sternum_at(const place *at) {
    const float low = 168.0f;
    if (at->z < low || at->y > 0 || fabsf(at->x) > 18) return MAT_NONE;
    const float wide = 8.0f + 8.0f * ramp(low, low + 25, at->z);
    const float u = at->x / wide, v = (at->r - at->cavity - 7.0f) * (1.0f / 5.0f);
    const float square = u * u + v * v;
    return square > 1 ? MAT_NONE : bone((1 - sqrtf(square)) * 5.0f);
}

/* Muscle, or the fat planes between muscles. */
static material muscle_at(const phantom *p, const place *at) {
    const float depth = at->r - at->cavity, thick = at->muscle - at->cavity;
    const float lateral = fabsf(at->x);
    if (at->back > 0.35f && at->r * at->back > 70) {
        /* Erector spinae: septa between the strands; the fat increases with age. */
        const float seam =
            fabsf(lateral - 40 - 0.5f * (at->y - 88) - 5.0f * at->wobble[1] - at->coarse[2]);
        if (seam < 0.3f + 1.1f * p->age && depth > 8) return MAT_FAT;
        return at->coarse[1] + 0.35f * at->fine[2] > 2.6f - 1.3f * p->age ? MAT_FAT : MAT_MUSCLE;
    }
    if (at->z < 120 && at->back < 0.5f && lateral > 60 && thick > 9) {
        /* Transversus abdominis, internal and external oblique. */
        const float share = depth / thick + 0.05f * at->wobble[0];
        if (fabsf(share - 0.33f) * thick < 0.7f || fabsf(share - 0.64f) * thick < 0.8f) {
            return MAT_FAT;
        }
    }
    if (at->z > 100 && fabsf(depth - 12.5f - at->wobble[2]) < 0.9f && at->back < 0.5f) {
        return MAT_FAT; /* between ribs and serratus anterior or latissimus dorsi */
    }
    return MAT_MUSCLE;
}

material wall_at(const phantom *p, const place *at) {
    if (at->r > at->skin - 1.8f) return MAT_SKIN;
    if (at->r > at->muscle + 0.8f * at->wobble[3]) return MAT_FAT;
    material m = at->z > 40 ? rib_at(p, at) : MAT_NONE;
    if (m == MAT_NONE) m = sternum_at(at);
    if (m != MAT_NONE) return m;
    return at->r > at->cavity ? muscle_at(p, at) : MAT_NONE;
}
