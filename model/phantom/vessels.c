/* Great vessels, vessel trees of liver and lungs, and metal implants, modelled as tubes. */
#include "model/phantom/anatomy.h"

/* Adds a vessel through n points {x, y, z, radius}. */
static status vessel(tubes *t, const float (*through)[4], int n, material inside) {
    status st = ST_OK;
    for (int i = 1; i < n; i++) {
        TRY(tubes_add(t, through[i - 1], through[i], through[i - 1][3], through[i][3], inside,
                      -INFINITY));
    }
done:
    return st;
}

static status great_draw(phantom *p, rng_stream *r) {
    status st = ST_OK;
    tubes *t = &p->great;
    const float a = between(r, 9.0f, 11.0f) + 2.0f * p->age, v = between(r, 9, 12);
    const float ax = between(r, 3, 8), front = spine_y(p, 60) - 29;
    const float aorta[][4] = {{ax + 12, spine_y(p, 230) - 20, 230, a + 1.5f},
                              {ax + 9, spine_y(p, 180) - 24, 180, a + 1},
                              {ax + 3, spine_y(p, 130) - 27, 130, a},
                              {ax, front, 80, a - 1},
                              {ax, front, 35, a - 2},
                              {ax - 2, front + 1, -6, a - 2.5f}};
    const float iliac_left[][4] = {{ax - 2, front + 1, -6, 6}, {ax + 24, front + 8, -45, 6}};
    const float iliac_right[][4] = {{ax - 2, front + 1, -6, 6}, {ax - 28, front + 6, -45, 6}};
    const float cava[][4] = {{-20, front + 3, -40, v},      {-21, front + 2, 40, v},
                             {-24, front - 2, 100, v + 1},  {-24, front - 10, 150, v + 2},
                             {-18, front - 26, 185, v + 3}, {-16, -18, 215, v + 3}};
    const float celiac[][4] = {{ax + 1, front - 6, 106, 4}, {ax, front - 26, 104, 3.4f}};
    const float splenic_artery[][4] = {
        {ax, front - 26, 104, 2.6f}, {38, 0, 112, 2.4f}, {66, 22, 120, 2}};
    const float hepatic_artery[][4] = {{ax, front - 26, 104, 2.6f}, {-24, -14, 100, 2}};
    const float mesenteric_artery[][4] = {{ax, front - 6, 92, 3.8f},
                                          {ax, front - 21, 80, 3.4f},
                                          {ax - 2, front - 26, 40, 3},
                                          {ax - 6, front - 30, 0, 2.4f}};
    const float mesenteric_vein[][4] = {
        {-14, front - 30, 0, 4}, {-10, front - 27, 50, 5}, {-6, -8, 86, 6.5f}};
    const float portal[][4] = {{-6, -8, 86, 7}, {-22, -8, 96, 7}, {-44, -6, 108, 7}};
    const float splenic_vein[][4] = {
        {-6, -8, 86, 5}, {22, -1, 100, 4.4f}, {50, 14, 110, 4}, {68, 24, 118, 3.4f}};
    TRY(vessel(t, aorta, 6, MAT_AORTA));
    TRY(vessel(t, iliac_left, 2, MAT_AORTA));
    TRY(vessel(t, iliac_right, 2, MAT_AORTA));
    TRY(vessel(t, cava, 6, MAT_VEIN));
    TRY(vessel(t, celiac, 2, MAT_ARTERY));
    TRY(vessel(t, splenic_artery, 3, MAT_ARTERY));
    TRY(vessel(t, hepatic_artery, 2, MAT_ARTERY));
    TRY(vessel(t, mesenteric_artery, 4, MAT_ARTERY));
    TRY(vessel(t, mesenteric_vein, 3, MAT_PORTAL_VEIN));
    TRY(vessel(t, portal, 3, MAT_PORTAL_VEIN));
    TRY(vessel(t, splenic_vein, 4, MAT_PORTAL_VEIN));
    for (int side = 0; side < 2; side++) {
        const float *k = p->kidney[side].at, out = side ? 1.0f : -1.0f;
        const float artery[][4] = {{ax, front, k[2] + 8, 3},
                                   {k[0] - out * 14, k[1] - 10, k[2] + 2, 2.6f}};
        const float vein[][4] = {{side ? 2.0f : -21.0f, front - 10 * (float)side, k[2] + 2, 5},
                                 {side ? 26.0f : -30.0f, front - 6 * (float)side, k[2], 4.6f},
                                 {k[0] - out * 14, k[1] - 12, k[2] - 3, 4.2f}};
        TRY(vessel(t, artery, 2, MAT_ARTERY));
        TRY(vessel(t, vein, 3, MAT_VEIN));
    }
    /* Mesenteric branches: thin vessels in the fat between the loops of bowel. */
    for (int k = 0; k < 5; k++) {
        const float at[3] = {-8, front - 30, 70 - 22 * (float)k};
        const float along[3] = {k % 2 ? 0.75f : -0.75f, -0.6f, -0.25f};
        TRY(tubes_tree(t, r, at, along, 2.4f, 34, 4, k % 2 ? MAT_ARTERY : MAT_PORTAL_VEIN));
    }
    TRY(tubes_index(t, 1));
done:
    return st;
}

status vessels_draw(phantom *p, rng_stream *r) {
    static const float portal_directions[][3] = {
        {-0.85f, -0.35f, 0.4f}, {-0.85f, 0.45f, 0.1f}, {-0.6f, 0, -0.8f}, {0.8f, -0.5f, 0.35f}};
    static const float vein_directions[][3] = {{-0.95f, 0.1f, -0.3f},
                                               {-0.45f, -0.8f, -0.4f},
                                               {0.55f, -0.75f, -0.35f},
                                               {-0.6f, 0.1f, -0.8f}};
    static const float lung_directions[][3] = {{0.45f, 0.55f, -0.7f},
                                               {0.75f, 0.05f, -0.65f},
                                               {0.5f, -0.6f, -0.6f},
                                               {0.15f, 0.5f, -0.85f},
                                               {0.85f, 0.5f, -0.2f}};
    status st = ST_OK;
    TRY(great_draw(p, r));
    for (int k = 0; k < 4; k++) {
        const float hilum[3] = {-40, -6, 108}, cava[3] = {-24, -2, 164};
        TRY(tubes_tree(&p->liver_tree, r, hilum, portal_directions[k], 5.2f, 40, 5,
                       MAT_PORTAL_BRANCH));
        TRY(tubes_tree(&p->liver_tree, r, cava, vein_directions[k], 5.0f, 44, 5, MAT_HEPATIC_VEIN));
    }
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < 5; k++) {
            const float out = side ? 1.0f : -1.0f, hilum[3] = {out * 36, 14, 226};
            const float direction[3] = {out * lung_directions[k][0], lung_directions[k][1],
                                        lung_directions[k][2]};
            TRY(tubes_tree(&p->lung_tree, r, hilum, direction, 6, 42, 8, MAT_LUNG_VESSEL));
        }
    TRY(tubes_index(&p->liver_tree, 1));
    TRY(tubes_index(&p->lung_tree, 1));
done:
    return st;
}

static status screws_draw(phantom *p) {
    status st = ST_OK;
    for (int side = 0; side < 2; side++) {
        const float out = side ? 1.0f : -1.0f;
        float heads[2][3];
        for (int k = 0; k < 2; k++) {
            const float z = vertebra_centre(p, p->treated + k) + 6, y = spine_y(p, z);
            const float tip[3] = {out * 8, y - 6, z}, head[3] = {out * 19, y + 38, z + 1};
            TRY(tubes_add(&p->metal, tip, head, 2.8f, 3.2f, MAT_TITANIUM, -INFINITY));
            const float cap[3] = {out * 19.5f, y + 43, z + 1};
            TRY(tubes_add(&p->metal, head, cap, 5.5f, 5.5f, MAT_TITANIUM, -INFINITY));
            for (int i = 0; i < 3; i++) heads[k][i] = cap[i];
        }
        TRY(tubes_add(&p->metal, heads[0], heads[1], 2.8f, 2.8f, MAT_TITANIUM, -INFINITY));
    }
done:
    return st;
}

status implant_draw(phantom *p, rng_stream *r) {
    status st = ST_OK;
    if (p->implant == IMPLANT_SCREWS) TRY(screws_draw(p));
    for (int k = 0; k < 3 && p->implant == IMPLANT_CLIPS; k++) {
        float a[3], b[3];
        for (int i = 0; i < 3; i++) {
            a[i] = p->gall_bladder.at[i] + between(r, -9, 9) + (i == 1 ? 14.0f : 0);
            b[i] = a[i] + between(r, -5, 5);
        }
        TRY(tubes_add(&p->metal, a, b, 1.2f, 1.2f, MAT_STEEL, -INFINITY));
    }
    TRY(tubes_index(&p->metal, 1));
done:
    return st;
}

material metal_at(const phantom *p, const place *at) {
    int which;
    if (p->metal.count == 0) return MAT_NONE;
    return tubes_distance(&p->metal, at->x, at->y, at->z, &which) < 0 ? p->metal.items[which].inside
                                                                      : MAT_NONE;
}
