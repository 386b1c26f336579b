/* The solid organs, and the order in which the structures inside the trunk are tested: vessels and
 * heart, then lungs above the diaphragm; below it muscles of the back, kidneys, liver, spleen and
 * gut, and fat where there is none of them. */
#include "model/phantom/anatomy.h"

static ellipsoid make(float x, float y, float z, float a, float b, float c) {
    return (ellipsoid){
        .at = {x, y, z}, .inverse = {1 / a, 1 / b, 1 / c}, .radius_max = fmaxf(a, fmaxf(b, c))};
}

/* A random ellipsoid: the centre is displaced by up to `shift` mm along each axis, and the half
 * axes vary by the fraction `spread`. */
static ellipsoid vary(rng_stream *r, const float at[3], const float half[3], float shift,
                      float spread) {
    float c[3], h[3];
    for (int k = 0; k < 3; k++) {
        c[k] = at[k] + between(r, -shift, shift);
        h[k] = half[k] * (1.0f + between(r, -spread, spread));
    }
    return make(c[0], c[1], c[2], h[0], h[1], h[2]);
}

/* The diaphragm's height over the lowest line of the lungs decreases with the distance rho from the
 * axis as sqrt(1 - rho^3); it is lower under the heart than under the lungs. */
bool above_diaphragm(const phantom *p, const place *at, float margin) {
    /* The costodiaphragmatic recess is deeper posteriorly. */
    const float lowest = 88.0f - 0.32f * at->y;
    const float z = at->z + 3.0f * at->wobble[0] - lowest + margin;
    if (z <= 0) return false;
    const float left = ramp(-25, 45, at->x),
                cup = 14.0f * expf(-(at->x - 12) * (at->x - 12) / 700.0f);
    const float height = p->dome + left * (p->dome_left - p->dome) - cup;
    const float rho = (at->r + margin) / at->cavity, h = z / height;
    return rho * rho * rho + h * h > 1;
}

/* Signed distance to the liver: two ellipsoids, the right one cut by the plane of the lower
 * surface. */
static float liver_distance(const phantom *p, const place *at) {
    const float x = at->x, y = at->y, z = at->z;
    float right = ellipsoid_distance(&p->liver_right, x, y, z);
    const float under = 0.74f * (x + 60) - p->liver_slope * (z - 66) + 0.22f * (y + 10);
    right = smooth_max(right, under, 16);
    const float left = ellipsoid_distance(&p->liver_left, x, y, z);
    return smooth_min(right, left, 18) + 2.2f * at->wobble[1];
}

/* Draws lesions by rejection: inside the liver and apart from other organs and from each other. */
static void lesions_draw(phantom *p, rng_stream *r) {
    p->lesions = rng_uniform(r) < 0.6 ? 1 + (int)rng_below(r, LESIONS_MAX - 1) : 0;
    int placed = 0;
    for (int tries = 0; tries < 400 && placed < p->lesions; tries++) {
        const float radius = between(r, 6, 10) + 12.0f * powf(between(r, 0, 1), 3);
        place at = {.x = between(r, -115, 40), .y = between(r, -75, 55), .z = between(r, 50, 165)};
        const float dy = at.y - OUTLINE_Y;
        at.r = sqrtf(at.x * at.x + dy * dy);
        at.cavity = outline_at(&p->trunk, at.x, at.y, at.z)[2];
        const ellipsoid kidney = p->kidney[0];
        bool free = liver_distance(p, &at) < -radius && at.r < at.cavity - radius &&
                    !above_diaphragm(p, &at, radius) &&
                    ellipsoid_distance(&kidney, at.x, at.y, at.z) > radius + 8 &&
                    ellipsoid_distance(&p->gall_bladder, at.x, at.y, at.z) > radius + 3;
        for (int k = 0; k < placed; k++) {
            const float *c = p->lesion[k].at;
            const float apart = hypotf(hypotf(at.x - c[0], at.y - c[1]), at.z - c[2]);
            free = free && apart > radius + p->lesion[k].radius_max + 4;
        }
        if (!free) continue;
        const float centre[3] = {at.x, at.y, at.z}, half[3] = {radius, radius, radius};
        p->lesion[placed++] = vary(r, centre, half, 0, 0.18f);
    }
    p->lesions = placed;
}

void organs_draw(phantom *p, rng_stream *r) {
    p->dome = between(r, 92, 106);
    p->dome_left = p->dome - between(r, 6, 16);
    p->fissure[0] = between(r, -62, -30);
    p->fissure[1] = between(r, 0.4f, 2);
    p->liver_slope = between(r, 0.58f, 0.76f);
    p->liver_right = vary(r, (float[]){-64, -2, 114}, (float[]){84, 92, 100}, 5, 0.05f);
    p->liver_left = vary(r, (float[]){12, -46, 134}, (float[]){60, 34, 36}, 8, 0.14f);
    p->gall_bladder = vary(r, (float[]){-44, -46, 78}, (float[]){14, 20, 27}, 6, 0.2f);
    p->spleen = vary(r, (float[]){86, 34, 126}, (float[]){38, 50, 50}, 5, 0.1f);
    p->spleen_hilum = vary(r, (float[]){40, -6, 122}, (float[]){40, 46, 74}, 4, 0.05f);
    p->kidney[0] = vary(r, (float[]){-59, 40, 66}, (float[]){25, 29, 52}, 4, 0.08f);
    p->kidney[1] = vary(r, (float[]){59, 42, 78}, (float[]){25, 29, 54}, 4, 0.08f);
    p->heart = vary(r, (float[]){26, -36, 210}, (float[]){58, 45, 46}, 5, 0.06f);
    const float *h = p->heart.at;
    p->left_ventricle = make(h[0] + 17, h[1] + 4, h[2] - 2, 20, 18, 35);
    p->right_ventricle = make(h[0] - 14, h[1] - 19, h[2], 28, 15, 36);
    p->right_atrium = make(h[0] - 42, h[1] + 14, h[2] + 6, 18, 22, 34);
    lesions_draw(p, r);
}

static material heart_at(const phantom *p, const place *at) {
    const float x = at->x, y = at->y, z = at->z;
    if (z < 150 || !ellipsoid_near(&p->heart, x, y, z, 14)) return MAT_NONE;
    const float d = ellipsoid_distance(&p->heart, x, y, z) + 1.5f * at->wobble[2];
    const float atrium = ellipsoid_distance(&p->right_atrium, x, y, z);
    if (atrium < 0) return MAT_HEART_BLOOD;
    if (d > 0 && atrium > 3) {
        /* Fat around the heart: more in front, little below, where the heart rests on the
         * diaphragm. */
        const float fat = 3.0f + 6.0f * p->visceral + 4.0f * ramp(-10, -60, y);
        const float below = ramp(-0.95f, -0.45f, (z - p->heart.at[2]) * p->heart.inverse[2]);
        return d < fmaxf(fat * below, 1) ? MAT_VISCERAL_FAT : MAT_NONE;
    }
    if (ellipsoid_distance(&p->left_ventricle, x, y, z) + 1.5f * at->coarse[0] < 0 ||
        ellipsoid_distance(&p->right_ventricle, x, y, z) + 1.5f * at->coarse[0] < 0) {
        return MAT_HEART_BLOOD;
    }
    return MAT_MYOCARDIUM;
}

static material thorax_at(const phantom *p, const place *at) {
    /* Mediastinum: fat around aorta, oesophagus and azygos vein, in front of and beside the spine,
     * and behind the sternum. */
    const float mx = (at->x - 6) * (1 / 27.0f), my = (at->y - 26) * (1 / 36.0f);
    const float ox = at->x - 12, oy = at->y + 1, tube = sqrtf(ox * ox * 0.6f + oy * oy);
    if (tube < 7.5f) return tube < 2 ? MAT_GUT_FLUID : MAT_GUT_WALL;
    const float fx = (at->x - 8) * (1 / 40.0f), fy = (at->y + 80) * (1 / 26.0f);
    if (fx * fx + fy * fy < 1 || mx * mx + my * my + 0.12f * at->wobble[3] < 1)
        return MAT_VISCERAL_FAT;
    int which;
    const float d = tubes_distance(&p->lung_tree, at->x, at->y, at->z, &which);
    /* Vessels become thinner towards the pleura. */
    return d < -1.3f * ramp(0.72f, 0.98f, at->r / at->cavity) ? MAT_LUNG_VESSEL : MAT_LUNG;
}

/* A kidney with cortex, pyramids, sinus and renal pelvis, in perirenal fat. */
static material kidney_at(const phantom *p, const place *at, int side) {
    const ellipsoid *e = &p->kidney[side];
    if (!ellipsoid_near(e, at->x, at->y, at->z, 22)) return MAT_NONE;
    const float out = side ? 1.0f : -1.0f, dz = at->z - e->at[2];
    /* The upper pole is closer to the spine and more posterior; the hilum faces medially and
     * anteriorly. */
    const float dx = out * (at->x - e->at[0]) + 0.2f * dz, dy = at->y - e->at[1] - 0.14f * dz;
    const float u = 0.85f * dx + 0.53f * dy, v = -0.53f * dx + 0.85f * dy;
    const ellipsoid body = {.inverse = {e->inverse[0], e->inverse[1], e->inverse[2]}};
    float d = ellipsoid_distance(&body, u, v, dz) + 0.7f * at->coarse[2];
    const ellipsoid sinus = {.at = {-17, 0, 0}, .inverse = {1 / 19.0f, 1 / 9.5f, 1 / 30.0f}};
    const float hollow = ellipsoid_distance(&sinus, u, v, dz);
    if (d < 0 && hollow > 0) {
        /* Pyramids of medulla between columns of cortex. */
        const float wave = at->coarse[1] + at->coarse[3];
        return d < -6.5f && hollow < 14 && wave > -0.7f ? MAT_KIDNEY_MEDULLA : MAT_KIDNEY_CORTEX;
    }
    if (hollow < 0 && u > -26) {
        const ellipsoid pelvis = {.at = {-17, -1, -3}, .inverse = {1 / 12.0f, 1 / 4.5f, 1 / 17.0f}};
        if (ellipsoid_distance(&pelvis, u, v, dz) + at->coarse[0] < 0) return MAT_RENAL_PELVIS;
        return MAT_VISCERAL_FAT;
    }
    /* There is no fat at the upper pole. */
    const float pole = ramp(0.45f, 0.85f, dz * e->inverse[2]);
    const float fat = (4.0f + 9.0f * p->visceral + 4.0f * at->wobble[2]) * (1 - pole);
    return d < fmaxf(fat, 0.8f) ? MAT_VISCERAL_FAT : MAT_NONE;
}

static material liver_at(const phantom *p, const place *at) {
    const float x = at->x, y = at->y, z = at->z;
    if (x > 85 || z < 15) return MAT_NONE;
    if (p->implant != IMPLANT_CLIPS && ellipsoid_near(&p->gall_bladder, x, y, z, 4)) {
        const float d = ellipsoid_distance(&p->gall_bladder, x, y, z) + 1.5f * at->wobble[3];
        if (d < 0) return d > -1.2f ? MAT_GUT_WALL : MAT_BILE;
    }
    if (at->r > at->cavity - 1.5f) return MAT_NONE;
    if (liver_distance(p, at) > 0) return MAT_NONE;
    /* The falciform ligament and the fissure behind it separate the left lobe. */
    const float fissure =
        fabsf(x - 6 - 0.3f * (y + 60) + 5.0f * at->wobble[3] + 1.2f * at->coarse[0]);
    if (fissure <
        p->fissure[1] * ramp(146, 118, z) * ramp(p->fissure[0] + 15, p->fissure[0] - 10, y))
        return MAT_VISCERAL_FAT;
    /* The hilum: fat around the portal vein. */
    const ellipsoid hilum = {.at = {-30, -4, 100}, .inverse = {1 / 24.0f, 1 / 9.0f, 1 / 13.0f}};
    if (ellipsoid_distance(&hilum, x, y, z) + 2.0f * at->wobble[2] < 0) return MAT_VISCERAL_FAT;
    for (int k = 0; k < p->lesions; k++) {
        if (!ellipsoid_near(&p->lesion[k], x, y, z, 3)) continue;
        if (ellipsoid_distance(&p->lesion[k], x, y, z) + 1.2f * at->coarse[3] < 0) {
            return MAT_LESION;
        }
    }
    int which;
    if (tubes_distance(&p->liver_tree, x, y, z, &which) < 0) {
        return p->liver_tree.items[which].inside;
    }
    return MAT_LIVER;
}

static material spleen_at(const phantom *p, const place *at) {
    if (!ellipsoid_near(&p->spleen, at->x, at->y, at->z, 6)) return MAT_NONE;
    if (at->r > at->cavity - 2 || above_diaphragm(p, at, 2)) return MAT_NONE;
    const float d = ellipsoid_distance(&p->spleen, at->x, at->y, at->z);
    const float hollow = ellipsoid_distance(&p->spleen_hilum, at->x, at->y, at->z);
    return smooth_max(d, -hollow, 7) + 2.5f * at->wobble[1] < 0 ? MAT_SPLEEN : MAT_NONE;
}

/* Psoas, quadratus lumborum and the crura of the diaphragm. */
static material back_muscle_at(const phantom *p, const place *at) {
    const float x = fabsf(at->x), y = at->y - spine_y(p, at->z), z = at->z;
    if (x > 90 || y < -45) return MAT_NONE;
    const float thick = ramp(135, -5, z), strand = 0.05f * at->wobble[0];
    const float px = (x - 26 - 14 * thick) / (5 + 18 * thick), py = (y - 4) / (7 + 17 * thick);
    if (thick > 0 && px * px + py * py + strand < 1) return MAT_MUSCLE;
    const float qx = (x - 66) * (1 / 22.0f), qy = (y - 28 + 0.2f * (x - 66)) * (1 / 7.5f);
    if (z < 100 && qx * qx + qy * qy + strand < 1) return MAT_MUSCLE;
    const float crus = ramp(40, 100, z);
    const float cx = (x - 15 - 3 * crus) * (1 / 6.0f), cy = (y + 20) / (4 + 13 * crus);
    return crus > 0 && cx * cx + cy * cy + strand < 1 ? MAT_MUSCLE : MAT_NONE;
}

static material vessel_at(const phantom *p, const place *at) {
    int which;
    const float d = tubes_distance(&p->great, at->x, at->y, at->z, &which);
    if (d >= 0) return MAT_NONE;
    const material m = p->great.items[which].inside;
    if (m != MAT_AORTA || d < -1.8f) return m;
    if (p->implant == IMPLANT_STENT && at->z > 20 && at->z < 110) {
        /* Struts: a zigzag over angle and height. */
        const float angle = atan2f(at->y - 20, at->x - 6);
        const float zig = fabsf(fmodf(angle * (6 / 6.2832f) + 10, 1.0f) - 0.5f) * 18.0f;
        if (fabsf(fmodf(at->z + zig, 14.0f) - 7) < 1.3f) return MAT_NITINOL;
    }
    return at->coarse[2] > 3.0f - 2.1f * p->age ? MAT_CALCIFICATION : m;
}

static material gut_at(const phantom *p, const place *at) {
    int which;
    if (at->r > at->cavity - 2) return MAT_NONE;
    const float d = tubes_distance(&p->gut, at->x, at->y, at->z, &which);
    if (which < 0) return MAT_NONE;
    const tube *t = &p->gut.items[which];
    const float surface = d + 1.6f * at->wobble[3] + 0.8f * at->coarse[1];
    if (surface >= 0) return MAT_NONE;
    if (t->inside == MAT_PANCREAS) {
        /* Lobules with fat between them; the fat increases with age. */
        return surface > -2.5f && at->coarse[2] > 1.5f - 1.6f * p->age ? MAT_VISCERAL_FAT
                                                                       : MAT_PANCREAS;
    }
    if (t->inside == MAT_GUT_WALL || surface > (t->radius > 15 ? -2.6f : -2.1f))
        return MAT_GUT_WALL;
    if (at->y < t->level) return MAT_GUT_GAS;
    return t->inside == MAT_STOOL && at->fine[0] + at->coarse[0] > 2.4f ? MAT_GUT_GAS : t->inside;
}

material cavity_at(const phantom *p, const place *at) {
    material m = vessel_at(p, at);
    if (m == MAT_NONE) m = heart_at(p, at);
    if (m != MAT_NONE) return m;
    if (at->z > 50 && above_diaphragm(p, at, 0)) {
        return above_diaphragm(p, at, -2.5f) ? thorax_at(p, at) : MAT_MUSCLE; /* the diaphragm */
    }
    m = back_muscle_at(p, at);
    if (m == MAT_NONE) m = kidney_at(p, at, at->x > 0);
    if (m == MAT_NONE) m = liver_at(p, at);
    if (m == MAT_NONE) m = spleen_at(p, at);
    if (m == MAT_NONE) m = gut_at(p, at);
    return m == MAT_NONE ? MAT_VISCERAL_FAT : m;
}
