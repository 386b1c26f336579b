/* Stomach, pancreas, duodenum, adrenal glands, colon and small bowel, modelled as tubes.
 *
 * The patient is supine, so gas collects in front: a tube contains gas where y is less than its
 * level.
 */
#include "model/phantom/anatomy.h"

#define NO_GAS -INFINITY

/* Adds a chain of tubes through n points {x, y, z, radius}. Points are displaced by up to `shift`
 * mm along each axis, radii vary by up to 12 %. */
static status chain(tubes *t, rng_stream *r, const float (*through)[4], int n, float shift,
                    material inside, float level) {
    status st = ST_OK;
    float last[4] = {0};
    for (int i = 0; i < n; i++) {
        float next[4];
        for (int k = 0; k < 3; k++) next[k] = through[i][k] + between(r, -shift, shift);
        next[3] = through[i][3] * between(r, 0.88f, 1.12f);
        if (i) TRY(tubes_add(t, last, next, last[3], next[3], inside, level));
        for (int k = 0; k < 4; k++) last[k] = next[k];
    }
done:
    return st;
}

static status stomach_draw(phantom *p, rng_stream *r, material content) {
    static const float path[][4] = {{54, 2, 158, 27},  {60, -12, 138, 31}, {58, -32, 116, 26},
                                    {42, -50, 98, 20}, {18, -56, 88, 16},  {-8, -52, 90, 13},
                                    {-22, -42, 92, 9}};
    const float filling = between(r, 0.75f, 1.12f), level = between(r, -58, -22);
    float scaled[7][4];
    for (int i = 0; i < 7; i++) {
        for (int k = 0; k < 3; k++) scaled[i][k] = path[i][k];
        scaled[i][3] = path[i][3] * filling;
    }
    return chain(&p->gut, r, scaled, 7, 3, content, level);
}

static status colon_draw(phantom *p, rng_stream *r) {
    static const float ascending[][4] = {
        {-92, 8, -30, 24}, {-93, 12, 0, 22}, {-92, 12, 28, 20}, {-86, -12, 46, 18}};
    static const float transverse[][4] = {
        {-86, -12, 46, 18}, {-66, -48, 44, 17}, {-34, -66, 38, 17}, {6, -70, 40, 17},
        {44, -62, 58, 16},  {78, -40, 86, 16},  {97, -4, 104, 15}};
    static const float descending[][4] = {
        {97, -4, 104, 15}, {99, 16, 78, 13}, {99, 20, 44, 13}, {97, 16, 10, 13}, {94, 12, -30, 14}};
    status st = ST_OK;
    TRY(chain(&p->gut, r, ascending, 4, 4, MAT_STOOL, between(r, -14, 4)));
    TRY(chain(&p->gut, r, transverse, 7, 5, rng_uniform(r) < 0.5 ? MAT_STOOL : MAT_GUT_FLUID,
              between(r, -78, -52)));
    TRY(chain(&p->gut, r, descending, 5, 4, MAT_STOOL,
              rng_uniform(r) < 0.5 ? NO_GAS : between(r, 4, 12)));
done:
    return st;
}

/* Small bowel: loops on a jittered lattice, close enough to touch, with mesenteric fat between. */
static status small_bowel_draw(phantom *p, rng_stream *r, material content) {
    status st = ST_OK;
    for (float z = -30; z < 84; z += 23)
        for (float y = -76; y < 16; y += 23)
            for (float x = -76; x < 80; x += 25) {
                const float c[3] = {x + between(r, -8, 8), y + between(r, -7, 7),
                                    z + between(r, -8, 8)};
                const float angle = between(r, 0, 6.2832f), rise = between(r, -0.5f, 0.5f);
                const float half = between(r, 6, 19), radius = between(r, 9.5f, 13.5f);
                const double kind = rng_uniform(r), omitted = rng_uniform(r);
                const float gas = c[1] + between(r, -6, 3);
                const float edge = c[0] * c[0] / 8400 + (c[1] + 32) * (c[1] + 32) / 2300;
                if (edge > 1 || omitted < 0.06 + 0.16 * p->visceral) continue;
                const float along[3] = {cosf(angle) * half, sinf(angle) * half * 0.7f, rise * half};
                float a[3], b[3];
                for (int k = 0; k < 3; k++) {
                    a[k] = c[k] - along[k];
                    b[k] = c[k] + along[k];
                }
                const material inside = kind < 0.3   ? MAT_GUT_WALL
                                        : kind < 0.8 ? content
                                                     : MAT_GUT_FLUID;
                TRY(tubes_add(&p->gut, a, b, radius, radius, inside, kind > 0.86 ? gas : NO_GAS));
            }
done:
    return st;
}

status gut_draw(phantom *p, rng_stream *r) {
    static const float pancreas[][4] = {{-26, -10, 72, 13}, {-20, -14, 84, 12}, {2, -22, 92, 9},
                                        {26, -12, 101, 10}, {48, 2, 108, 9.5f}, {66, 16, 114, 8}};
    static const float duodenum[][4] = {{-22, -42, 92, 9}, {-40, -22, 84, 11}, {-42, -8, 60, 11},
                                        {-32, 4, 42, 11},  {-2, 4, 38, 10},    {24, -2, 50, 10}};
    static const float adrenal_right[][4] = {{-30, 30, 122, 2.6f}, {-38, 40, 112, 2.4f}};
    static const float adrenal_left[][4] = {{31, 22, 118, 2.8f}, {38, 34, 108, 2.4f}};
    status st = ST_OK;
    const material content = rng_uniform(r) < 0.3 ? MAT_ORAL_CONTRAST : MAT_GUT_FLUID;
    TRY(stomach_draw(p, r, content));
    TRY(chain(&p->gut, r, pancreas, 6, 3, MAT_PANCREAS, NO_GAS));
    TRY(chain(&p->gut, r, duodenum, 6, 2, content, NO_GAS));
    TRY(chain(&p->gut, r, adrenal_right, 2, 2, MAT_GUT_WALL, NO_GAS));
    TRY(chain(&p->gut, r, adrenal_left, 2, 2, MAT_GUT_WALL, NO_GAS));
    TRY(colon_draw(p, r));
    TRY(small_bowel_draw(p, r, content));
    TRY(tubes_index(&p->gut, 8));
done:
    return st;
}
