/* Phantom patients: reproducible by seed, labelled consistently with their materials, hard to
 * segment by thresholds, and imaged with the noise and partial volumes of a scanner. */
#include "model/phantom/phantom.h"
#include "io/alloc.h"

#include <math.h>
#include <omp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIZE = 64, SLICES = 14, PIXELS = SIZE * SIZE, VOXELS = SLICES * PIXELS };

typedef struct study {
    phantom *patient;
    phantom_grid grid;
    int16_t hu[VOXELS];
    uint8_t labels[VOXELS];
} study;

static study *make(uint64_t seed, uint64_t index) {
    study *s = calloc(1, sizeof *s);
    assert_non_null(s);
    assert_int_equal(phantom_create(seed, index, &s->patient), ST_OK);
    phantom_plan(s->patient, SIZE, SLICES, &s->grid);
    assert_int_equal(phantom_scan(s->patient, &s->grid, s->hu, s->labels), ST_OK);
    return s;
}

static void drop(study *s) {
    phantom_free(s->patient);
    free(s);
}

/* Patient coordinates of a point of voxel i, shifted by u, v, w voxels along z, y, x. */
static void point_of(const phantom_grid *g, int64_t i, double u, double v, double w,
                     double xyz[3]) {
    xyz[2] = g->origin[2] + g->spacing[0] * ((double)(i / PIXELS) + u);
    xyz[1] = g->origin[1] + g->spacing[1] * ((double)(i / SIZE % SIZE) + v);
    xyz[0] = g->origin[0] + g->spacing[2] * ((double)(i % SIZE) + w);
}

static void same_seed_same_bytes(void **state) {
    (void)state;
    study *a = make(7, 3);
    omp_set_num_threads(3);
    study *b = make(7, 3);
    omp_set_num_threads(1);
    study *c = make(7, 3), *other_seed = make(8, 3), *other_patient = make(7, 4);
    assert_memory_equal(a->hu, b->hu, sizeof a->hu);
    assert_memory_equal(a->hu, c->hu, sizeof a->hu);
    assert_memory_equal(a->labels, c->labels, sizeof a->labels);
    assert_true(memcmp(a->labels, other_seed->labels, sizeof a->labels) != 0);
    assert_true(memcmp(a->labels, other_patient->labels, sizeof a->labels) != 0);
    drop(a);
    drop(b);
    drop(c);
    drop(other_seed);
    drop(other_patient);
}

static void materials_are_told_apart(void **state) {
    (void)state;
    static const material order[] = {MAT_AIR,           MAT_LUNG,    MAT_FAT,
                                     MAT_BILE,          MAT_MUSCLE,  MAT_CANCELLOUS_BONE,
                                     MAT_CORTICAL_BONE, MAT_TITANIUM};
    bool has[LABEL_COUNT] = {0};
    assert_true(MAT_COUNT >= 10);
    for (int m = 0; m < MAT_COUNT; m++) {
        const material_info *info = material_info_of((material)m);
        assert_non_null(info->name);
        has[info->label] = true;
        for (int k = 0; k < PHASE_COUNT; k++) {
            assert_true(info->hu[k] >= -1024 && info->hu[k] <= 3071);
        }
    }
    for (int k = 0; k < LABEL_COUNT; k++) assert_true(has[k] && phantom_label_name(k));
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        for (size_t i = 1; i < sizeof order / sizeof *order; i++) {
            assert_true(material_info_of(order[i])->hu[phase] >
                        material_info_of(order[i - 1])->hu[phase]);
        }
}

/* Where a whole voxel is of one label, the label map must have that label. */
static void labels_are_those_of_the_materials(void **state) {
    (void)state;
    study *s = make(1, 0);
    int64_t seen[LABEL_COUNT] = {0}, wrong = 0;
    for (int64_t i = 0; i < VOXELS; i += 3) {
        phantom_label label = LABEL_BACKGROUND;
        bool pure = true;
        for (int k = 0; k < 27 && pure; k++) {
            double xyz[3];
            point_of(&s->grid, i, 0.4 * (k / 9 - 1), 0.4 * (k / 3 % 3 - 1), 0.4 * (k % 3 - 1), xyz);
            const phantom_label here = material_info_of(phantom_at(s->patient, xyz))->label;
            pure = k == 0 || here == label;
            label = here;
        }
        if (!pure) continue;
        seen[label]++;
        if (s->labels[i] != label) wrong++;
    }
    /* 27 points can miss a thin structure. */
    assert_true(wrong * 500 < VOXELS / 3);
    assert_true(seen[LABEL_LIVER] > 100 && seen[LABEL_LUNG] > 100);
    drop(s);
}

static void organs_have_the_size_of_organs(void **state) {
    (void)state;
    /* Lung and heart are cut by the upper end of the field. */
    static const struct {
        phantom_label label;
        double least, most; /* ml */
    } range[] = {{LABEL_LIVER, 800, 2600}, {LABEL_SPLEEN, 60, 520}, {LABEL_KIDNEY, 160, 520},
                 {LABEL_AORTA, 25, 160},   {LABEL_BONE, 200, 1000}, {LABEL_LUNG, 300, 2600},
                 {LABEL_HEART, 40, 500}};
    for (uint64_t index = 0; index < 6; index++) {
        study *s = make(11, index);
        const double ml = s->grid.spacing[0] * s->grid.spacing[1] * s->grid.spacing[2] / 1000;
        double volume[LABEL_COUNT] = {0};
        for (int64_t i = 0; i < VOXELS; i++) volume[s->labels[i]] += ml;
        for (size_t k = 0; k < sizeof range / sizeof *range; k++) {
            const double v = volume[range[k].label];
            if (v < range[k].least || v > range[k].most) {
                fail_msg("patient %d: %s of %.0f ml", (int)index,
                         phantom_label_name(range[k].label), v);
            }
        }
        drop(s);
    }
}

static void lesions_are_darker_than_their_liver(void **state) {
    (void)state;
    int with = 0, phases[PHASE_COUNT] = {0}, implants = 0;
    enum { PATIENTS = 30 };
    for (uint64_t index = 0; index < PATIENTS; index++) {
        phantom *p = NULL;
        assert_int_equal(phantom_create(5, index, &p), ST_OK);
        const float below = phantom_hu(p, MAT_LIVER) - phantom_hu(p, MAT_LESION);
        assert_true(below >= 15 && below <= 35);
        bool lesion = false;
        for (int i = 0; i < 40 * 40 * 40 && !lesion; i++) {
            const double xyz[3] = {-130 + 4.5 * (i % 40), -90 + 4.0 * (i / 40 % 40),
                                   20 + 4.0 * (i / 1600)};
            lesion = phantom_at(p, xyz) == MAT_LESION;
        }
        with += lesion;
        phases[phantom_contrast(p)]++;
        implants += phantom_has_implant(p) != IMPLANT_NONE;
        phantom_free(p);
    }
    assert_in_range(with, PATIENTS / 4, PATIENTS * 4 / 5);
    for (int k = 0; k < PHASE_COUNT; k++) assert_true(phases[k] > 2);
    assert_in_range(implants, 2, PATIENTS / 2);
}

/* A lesion must be surrounded by liver. */
static void lesions_lie_in_the_liver(void **state) {
    (void)state;
    int64_t liver = 0, other = 0;
    for (uint64_t index = 0; index < 8; index++) {
        study *s = make(5, index);
        for (int64_t i = PIXELS; i < VOXELS - PIXELS; i++) {
            if (s->labels[i] != LABEL_LESION) continue;
            const int64_t near[] = {i - 1, i + 1, i - SIZE, i + SIZE};
            for (int k = 0; k < 4; k++) {
                liver += s->labels[near[k]] == LABEL_LIVER;
                other += s->labels[near[k]] != LABEL_LIVER && s->labels[near[k]] != LABEL_LESION;
            }
        }
        drop(s);
    }
    assert_true(liver > 50 && other * 8 < liver);
}

/* The best Dice of any thresholds low <= HU < high, from the histograms of the label and the rest.
 */
static double best_threshold_dice(const study *s, phantom_label label) {
    enum { LOW = -200, BINS = 600 };
    int64_t inside[BINS + 1] = {0}, all[BINS + 1] = {0}, total = 0;
    for (int64_t i = 0; i < VOXELS; i++) {
        total += s->labels[i] == label;
        const int bin = s->hu[i] - LOW;
        if (bin < 0 || bin >= BINS) continue;
        all[bin + 1]++;
        inside[bin + 1] += s->labels[i] == label;
    }
    for (int k = 0; k < BINS; k++) {
        all[k + 1] += all[k];
        inside[k + 1] += inside[k];
    }
    double best = 0;
    for (int a = 0; a < BINS; a++)
        for (int b = a + 1; b <= BINS; b++) {
            const double hit = (double)(inside[b] - inside[a]), taken = (double)(all[b] - all[a]);
            best = fmax(best, 2 * hit / (taken + (double)total));
        }
    return best;
}

static void thresholds_do_not_segment(void **state) {
    (void)state;
    static const phantom_label soft[] = {LABEL_LIVER, LABEL_SPLEEN, LABEL_KIDNEY, LABEL_HEART};
    for (uint64_t index = 0; index < 6; index++) {
        study *s = make(2, index);
        for (int k = 0; k < 4; k++) {
            const double dice = best_threshold_dice(s, soft[k]);
            if (dice > 0.8) {
                fail_msg("patient %d: thresholds find the %s with Dice %.2f", (int)index,
                         phantom_label_name(soft[k]), dice);
            }
        }
        drop(s);
    }
}

/* Mean power of the noise in a ring of frequencies (cycles per pixel), by a plain DFT. */
static double ring_power(const float *noise, int n, double low, double high) {
    double sum = 0;
    int count = 0;
    for (int v = -n / 2; v < n / 2; v++)
        for (int u = 0; u < n / 2; u++) {
            const double f = hypot(u, v) / n;
            if (f < low || f >= high || (u == 0 && v <= 0)) continue;
            double re = 0, im = 0;
            for (int y = 0; y < n; y++)
                for (int x = 0; x < n; x++) {
                    const double angle = 2 * M_PI * ((u * x + v * y) % n) / n;
                    re += noise[y * n + x] * cos(angle);
                    im += noise[y * n + x] * sin(angle);
                }
            sum += (re * re + im * im) / (n * n);
            count++;
        }
    assert_true(count > 0);
    return sum / count;
}

static void noise_has_a_ramp_spectrum(void **state) {
    (void)state;
    enum { N = 64 };
    static float noise[N * N], again[N * N];
    phantom *p = NULL;
    double power[3] = {0}, variance = 0;
    assert_int_equal(phantom_create(3, 0, &p), ST_OK);
    for (int k = 0; k < 4; k++) {
        assert_int_equal(phantom_noise(p, k, N, N, 3.0, noise), ST_OK);
        for (int i = 0; i < N * N; i++) variance += noise[i] * noise[i] / (4.0 * N * N);
        power[0] += ring_power(noise, N, 0.0, 0.035);
        power[1] += ring_power(noise, N, 0.09, 0.11);
        power[2] += ring_power(noise, N, 0.19, 0.21);
    }
    assert_true(fabs(variance - 1) < 0.06);
    assert_true(power[0] < 0.5 * power[1]);
    assert_true(power[2] > 1.4 * power[1] && power[2] < 2.4 * power[1]);
    assert_int_equal(phantom_noise(p, 2, N, N, 3.0, again), ST_OK);
    assert_true(memcmp(noise, again, sizeof noise) != 0);
    phantom_free(p);
}

/* Mean square of the differences of neighbours along x inside the liver. */
static double liver_roughness(const study *s, const int16_t *hu) {
    double sum = 0;
    int count = 0;
    for (int64_t i = 1; i < VOXELS - 2; i++) {
        bool inside = i % SIZE > 0 && i % SIZE < SIZE - 2;
        for (int64_t k = i - 1; k <= i + 2; k++) inside &= s->labels[k] == LABEL_LIVER;
        if (!inside) continue;
        sum += (double)(hu[i + 1] - hu[i]) * (hu[i + 1] - hu[i]);
        count++;
    }
    assert_true(count > 100);
    return sum / count;
}

/* Mean over rows of the largest difference of neighbours, HU, in pixels of 1 mm at the right flank:
 * the step from air to skin. `plan` is the grid of the whole patient. */
static double skin_step(const phantom *p, const phantom_grid *plan) {
    static int16_t hu[VOXELS];
    static uint8_t labels[VOXELS];
    double xyz[3], sum = 0;
    phantom_grid g = *plan;
    int64_t i = PIXELS * (SLICES / 2) + SIZE * (SIZE / 2) + 1;
    for (point_of(plan, i, 0, 0, 0, xyz); phantom_at(p, xyz) == MAT_AIR;)
        point_of(plan, ++i, 0, 0, 0, xyz);
    g.spacing[1] = g.spacing[2] = 1;
    g.origin[0] = xyz[0] - SIZE / 2;
    g.origin[1] = xyz[1] - SIZE / 2;
    assert_int_equal(phantom_scan(p, &g, hu, labels), ST_OK);
    for (int64_t row = 0; row < VOXELS / SIZE; row++) {
        int largest = 0;
        for (int64_t x = 1; x < SIZE; x++) {
            const int step = abs(hu[row * SIZE + x] - hu[row * SIZE + x - 1]);
            if (step > largest) largest = step;
        }
        sum += largest;
    }
    return sum / (VOXELS / SIZE);
}

/* The same patient, seen by another scanner: a larger field of view, twice the noise, drawn
 * independently, and less blur at the skin. */
static void second_scanner(void **state) {
    (void)state;
    enum { N = 64 };
    static float first[N * N], second[N * N];
    static int16_t difference[VOXELS];
    study *a = make(7, 3), *b = make(7, 3);
    phantom_grid wide;
    double both = 0;
    phantom_use_scanner(b->patient, SCANNER_SECOND);
    phantom_plan(b->patient, SIZE, SLICES, &wide);
    assert_true(fabs(wide.spacing[1] / a->grid.spacing[1] - 1.2) < 1e-12);
    assert_true(wide.spacing[0] == a->grid.spacing[0] && wide.origin[2] == a->grid.origin[2]);
    assert_int_equal(phantom_scan(b->patient, &a->grid, b->hu, b->labels), ST_OK);
    assert_memory_equal(a->labels, b->labels, sizeof a->labels);
    /* Texture is the same in both scans and cancels in their difference. With noise s and f s the
     * three variances give (1 + f^2) s^2 / ((f^2 - 1) s^2), which is 5 / 3 for f = 2 alone. */
    for (int64_t i = 0; i < VOXELS; i++) difference[i] = (int16_t)(b->hu[i] - a->hu[i]);
    const double ratio =
        liver_roughness(a, difference) / (liver_roughness(b, b->hu) - liver_roughness(a, a->hu));
    assert_true(fabs(ratio - 5.0 / 3) < 0.1);
    const double soft = skin_step(a->patient, &a->grid), hard = skin_step(b->patient, &a->grid);
    assert_true(hard > 1.15 * soft);
    for (int k = 0; k < 4; k++) {
        assert_int_equal(phantom_noise(a->patient, k, N, N, 3.0, first), ST_OK);
        assert_int_equal(phantom_noise(b->patient, k, N, N, 3.0, second), ST_OK);
        for (int i = 0; i < N * N; i++) both += first[i] * second[i] / (4.0 * N * N);
    }
    assert_true(fabs(both) < 0.04);
    drop(a);
    drop(b);
}

/* At the skin a voxel measures the mean of its content, not the value at its centre. */
static void voxels_average_what_they_hold(void **state) {
    (void)state;
    study *s = make(4, 1);
    double of_mean = 0, of_centre = 0;
    int count = 0;
    for (int64_t i = 0; i < VOXELS; i++) {
        double sum = 0;
        int air = 0;
        for (int k = 0; k < 216; k++) {
            double xyz[3];
            point_of(&s->grid, i, (k / 36 + 0.5) / 6 - 0.5, (k / 6 % 6 + 0.5) / 6 - 0.5,
                     (k % 6 + 0.5) / 6 - 0.5, xyz);
            const material m = phantom_at(s->patient, xyz);
            air += m == MAT_AIR;
            sum += phantom_hu(s->patient, m) / 216;
        }
        if (air < 72 || air > 144) {
            if (air == 0 || air == 216) i += 2; /* no boundary near */
            continue;
        }
        double xyz[3];
        point_of(&s->grid, i, 0, 0, 0, xyz);
        of_mean += fabs(s->hu[i] - sum);
        of_centre += fabs(s->hu[i] - phantom_hu(s->patient, phantom_at(s->patient, xyz)));
        count++;
    }
    assert_true(count > 50);
    assert_true(of_mean / count < 90);
    assert_true(of_centre / count > 2 * of_mean / count);
    drop(s);
}

static void the_field_of_view_holds_the_patient(void **state) {
    (void)state;
    for (uint64_t index = 0; index < 5; index++) {
        study *s = make(9, index);
        for (int64_t k = 0; k < SLICES; k++)
            for (int64_t i = 0; i < SIZE; i++) {
                assert_true(s->hu[k * PIXELS + i] < -850); /* in front of the belly */
                assert_true(s->labels[k * PIXELS + i * SIZE] == LABEL_BACKGROUND);
            }
        drop(s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_seed_same_bytes),
        cmocka_unit_test(materials_are_told_apart),
        cmocka_unit_test(labels_are_those_of_the_materials),
        cmocka_unit_test(organs_have_the_size_of_organs),
        cmocka_unit_test(lesions_are_darker_than_their_liver),
        cmocka_unit_test(lesions_lie_in_the_liver),
        cmocka_unit_test(thresholds_do_not_segment),
        cmocka_unit_test(noise_has_a_ramp_spectrum),
        cmocka_unit_test(second_scanner),
        cmocka_unit_test(voxels_average_what_they_hold),
        cmocka_unit_test(the_field_of_view_holds_the_patient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
