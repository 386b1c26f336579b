/* A patient: drawn from (seed, index), then evaluated point by point.
 *
 * Each group of draws has its own stream (the step of the Philox counter), so that a change of one
 * part of the anatomy does not change the other parts of any patient.
 */
#include "model/phantom/anatomy.h"
#include "model/phantom/scan.h"
#include "io/alloc.h"

/* The groups of draws: steps of RNG_PHANTOM. The noise of slices uses DRAW_NOISE and above
 * (scan.h). */
enum {
    DRAW_BODY,
    DRAW_BEND,
    DRAW_TEXTURE,
    DRAW_TRUNK,
    DRAW_ORGANS,
    DRAW_VESSELS,
    DRAW_GUT,
    DRAW_HU
};

static rng_stream stream(const phantom *p, uint32_t group) {
    return rng_open(p->seed, RNG_PHANTOM, p->index, group);
}

static void draw_body(phantom *p, rng_stream *r) {
    p->phase = (phantom_phase)rng_below(r, PHASE_COUNT);
    /* One patient in five has an implant. */
    p->implant = rng_uniform(r) < 0.2 ? (phantom_implant)(1 + rng_below(r, IMPLANT_COUNT - 1))
                                      : IMPLANT_NONE;
    const float build = between(r, 0.93f, 1.07f), stature = between(r, 0.95f, 1.05f);
    p->visceral = between(r, 0, 1) * between(r, 0.3f, 1);
    p->age = between(r, 0, 1);
    p->fat = 17.0f * expf(0.45f * (float)rng_normal(r)) + 12.0f * p->visceral;
    p->fat = fminf(fmaxf(p->fat, 7), 44);
    p->scale[0] = build * between(r, 0.97f, 1.04f);
    p->scale[1] = build * between(r, 0.95f, 1.05f);
    p->scale[2] = stature;
    p->shift[0] = between(r, -8, 8);
    p->shift[1] = between(r, -6, 6);
    p->shift[2] = between(r, -8, 8);
    p->warp = 3.2f;
    p->vertebra_z = between(r, -4, 6);
    p->vertebra_step = between(r, 30, 33);
    p->lordosis = between(r, 0, 7);
    p->treated = (int)rng_below(r, 3);
    /* Noise of 9 to 24 HU at the centre of the trunk (dose); blur of soft to standard
     * reconstruction kernels. */
    p->noise = 9.0f * powf(24.0f / 9.0f, between(r, 0, 1));
    p->blur = between(r, 0.55f, 0.95f);
}

static void draw_hu(phantom *p, rng_stream *r) {
    for (int m = 0; m < MAT_COUNT; m++) {
        const material_info *info = material_info_of((material)m);
        float deviation = (float)rng_normal(r);
        deviation = fminf(fmaxf(deviation, -2), 2);
        p->hu[m] = info->hu[p->phase] + info->spread * deviation;
    }
    /* Some livers are fatty; bone density decreases with age; lesions are darker than the liver. */
    const float fatty = rng_uniform(r) < 0.2 ? between(r, 10, 30) : 0;
    p->hu[MAT_LIVER] -= fatty;
    p->hu[MAT_LESION] = p->hu[MAT_LIVER] - between(r, 15, 35);
    p->hu[MAT_CANCELLOUS_BONE] += 60.0f * (0.5f - p->age);
}

/* The place of a point in scanner coordinates. `fine` and `coarse` are not set. */
static place place_of(const phantom *p, float x, float y, float z) {
    place at = {.x = (x - p->shift[0]) / p->scale[0],
                .y = (y - p->shift[1]) / p->scale[1],
                .z = (z - p->shift[2]) / p->scale[2]};
    at.wobble = field_at(&p->bend, at.x, at.y, at.z);
    at.x += p->warp * at.wobble[0];
    at.y += p->warp * at.wobble[1];
    at.z += 0.6f * p->warp * at.wobble[2];
    const float dy = at.y - OUTLINE_Y;
    at.r = sqrtf(at.x * at.x + dy * dy);
    at.back = dy / (at.r + 1e-6f);
    const vec4 o = outline_at(&p->trunk, at.x, at.y, at.z);
    at.skin = o[0];
    at.muscle = o[1];
    at.cavity = o[2];
    at.drop = o[3];
    return at;
}

/* The patient table: a shell of carbon fibre around foam, curved upwards at the sides. */
static material table_at(const phantom *p, float x, float y) {
    const float depth = y - p->couch + x * x * (1 / 1900.0f);
    if (fabsf(x) > 210 || depth < 0 || depth > 46) return MAT_AIR;
    return depth < 3 || depth > 43 ? MAT_TABLE_SHELL : MAT_TABLE_FOAM;
}

material phantom_sample(const phantom *p, float x, float y, float z, float *hu) {
    material m = MAT_NONE;
    if (fabsf(x - p->shift[0]) < 260 && fabsf(y - p->shift[1]) < 220) {
        place at = place_of(p, x, y, z);
        if (at.r < at.skin) {
            at.fine = field_at(&p->texture, x, y, z);
            at.coarse = field_at(&p->texture, 0.31f * x, 0.31f * y, 0.31f * z);
            m = metal_at(p, &at);
            if (m == MAT_NONE) m = spine_at(p, &at);
            if (m == MAT_NONE) m = wall_at(p, &at);
            if (m == MAT_NONE) m = cavity_at(p, &at);
            const float grain = 0.8f * at.fine[0] + 0.6f * at.coarse[3];
            *hu = p->hu[m] + material_info_of(m)->texture * grain;
            if (m == MAT_LUNG) *hu += 0.35f * at.y; /* blood collects posteriorly */
            if (m == MAT_SPLEEN && p->phase == PHASE_ARTERIAL) {
                *hu += 20.0f * at.coarse[1]; /* uneven enhancement of the red pulp */
            }
            return m;
        }
    }
    m = table_at(p, x, y);
    *hu = p->hu[m];
    return m;
}

material phantom_at(const phantom *p, const double xyz[3]) {
    float hu;
    return phantom_sample(p, (float)xyz[0], (float)xyz[1], (float)xyz[2], &hu);
}

float phantom_hu(const phantom *p, material m) { return p->hu[m]; }
void phantom_use_scanner(phantom *p, phantom_scanner scanner) { p->scanner = scanner; }
phantom_phase phantom_contrast(const phantom *p) { return p->phase; }
phantom_implant phantom_has_implant(const phantom *p) { return p->implant; }

/* Places the table in contact with the skin of the back. */
static void place_table(phantom *p) {
    p->couch = -1000;
    for (float z = 0; z <= 200; z += 20)
        for (float x = -60; x <= 60; x += 12) {
            float y = 40;
            const float step = 2;
            for (place at = place_of(p, x, y, z); at.r < at.skin; at = place_of(p, x, y, z))
                y += step;
            p->couch = fmaxf(p->couch, y + x * x * (1 / 1900.0f));
        }
}

status phantom_create(uint64_t seed, uint64_t index, phantom **out) {
    status st = ST_OK;
    phantom *p = NULL;
    *out = NULL;
    TRY(array_alloc(&p, 1, sizeof *p, "a phantom patient"));
    p->seed = seed;
    p->index = index;
    rng_stream r = stream(p, DRAW_BODY);
    draw_body(p, &r);
    r = stream(p, DRAW_BEND);
    TRY(field_create(&r, 32, 16, 2.2f, &p->bend));
    r = stream(p, DRAW_TEXTURE);
    TRY(field_create(&r, 64, 2, 1.5f, &p->texture));
    r = stream(p, DRAW_TRUNK);
    outline_draw(p, &r);
    r = stream(p, DRAW_ORGANS);
    organs_draw(p, &r);
    r = stream(p, DRAW_VESSELS);
    TRY(vessels_draw(p, &r));
    TRY(implant_draw(p, &r));
    r = stream(p, DRAW_GUT);
    TRY(gut_draw(p, &r));
    r = stream(p, DRAW_HU);
    draw_hu(p, &r);
    place_table(p);
    *out = p;
    p = NULL;
done:
    phantom_free(p);
    return st;
}

void phantom_free(phantom *p) {
    if (!p) return;
    field_free(&p->bend);
    field_free(&p->texture);
    tubes *const sets[] = {&p->great, &p->liver_tree, &p->lung_tree, &p->gut, &p->metal};
    for (int k = 0; k < 5; k++) tubes_free(sets[k]);
    free(p);
}
