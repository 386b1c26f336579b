/* What counts as obeyed: attribute by attribute on facts written by hand, and the means over
 * patients and the chance of pairs in closed form. */
#include "pipeline/evaluate/obedience_match.h"
#include "pipeline/evaluate/phase.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static const label_set labels = {
    .count = 5, .name = {"background", "liver", "left kidney", "right kidney", "lesion"}};

static caption_structure structure(const char *name, caption_side side, double size) {
    caption_structure s = {.side = side, .size = size};
    snprintf(s.name, sizeof s.name, "%s", name);
    return s;
}

static double match(const caption_facts *asked, const caption_facts *got, obedience_attribute a) {
    const shown one = {.facts = *asked}, two = {.facts = *got};
    obedience_names names;
    obedience_names_of(&labels, &names);
    return obedience_match(&names, &one, &two, a);
}

/* Three names: both kidneys have one. */
static void structures_are_compared_by_name(void **state) {
    (void)state;
    const shown asked = {.labels = {[1] = true, [2] = true}}, got = {.labels = {[1] = true}};
    const shown none = {.labels = {false}}, right = {.labels = {[1] = true, [3] = true}};
    obedience_names names;
    obedience_names_of(&labels, &names);
    assert_int_equal(names.count, 3);
    assert_float_equal(obedience_match(&names, &asked, &got, OBEY_STRUCTURES), 2.0 / 3, 1e-12);
    assert_float_equal(obedience_match(&names, &got, &asked, OBEY_STRUCTURES), 2.0 / 3, 1e-12);
    assert_float_equal(obedience_match(&names, &asked, &right, OBEY_STRUCTURES), 1, 0);
    assert_float_equal(obedience_match(&names, &none, &none, OBEY_STRUCTURES), 1, 0);
}

static void sides_and_sizes_are_those_of_structures_that_are_there(void **state) {
    (void)state;
    caption_facts asked = {.structures = 3}, got = {.structures = 2};
    asked.structure[0] = structure("kidney", SIDE_LEFT, 40);
    asked.structure[1] = structure("lesion", SIDE_RIGHT, 12);
    asked.structure[2] = structure("liver", SIDE_UNKNOWN, 100);
    got.structure[0] = structure("kidney", SIDE_RIGHT, 48);
    got.structure[1] = structure("lesion", SIDE_RIGHT, 16);
    assert_float_equal(match(&asked, &got, OBEY_SIDES), 0.5, 1e-12);
    assert_float_equal(match(&asked, &got, OBEY_SIZES), 0, 0); /* 16 of 12; the other side's no */
    got.structure[1].size = 14;
    assert_float_equal(match(&asked, &got, OBEY_SIZES), 1, 0);
    const caption_facts none = {.structures = 0};
    assert_true(isnan(match(&asked, &none, OBEY_SIDES)));
    assert_true(isnan(match(&none, &got, OBEY_SIZES)));
    /* With two of a name the one on the side that is asked for counts. */
    got.structure[1] = structure("kidney", SIDE_LEFT, 40);
    assert_float_equal(match(&asked, &got, OBEY_SIDES), 1, 0);
}

static void phase_and_noise_may_be_unknown(void **state) {
    (void)state;
    caption_facts asked = {.contrast = CONTRAST_AGENT, .noise = 9.4};
    caption_facts got = {.contrast = CONTRAST_NATIVE, .noise = 9.6};
    assert_float_equal(match(&asked, &got, OBEY_PHASE), 0, 0);
    assert_float_equal(match(&asked, &got, OBEY_NOISE), 0, 0); /* 9 is low, 10 moderate */
    got.noise = 3;
    assert_float_equal(match(&asked, &got, OBEY_NOISE), 1, 0);
    got = (caption_facts){.contrast = CONTRAST_UNKNOWN};
    assert_true(isnan(match(&asked, &got, OBEY_PHASE)));
    assert_true(isnan(match(&asked, &got, OBEY_NOISE)));
}

/* Patient 0 has slices 0 and 1, patient 1 slice 2, patient 2 none. */
static void means_are_of_patients_and_chance_of_other_ones(void **state) {
    (void)state;
    static const double noise[3] = {5, 15, 25}, made[3] = {5, 25, 25};
    shown asked[3] = {0}, got[3] = {0};
    double accuracy[3], chance;
    obedience_names names;
    for (int i = 0; i < 3; i++) {
        asked[i].patient = got[i].patient = i == 2;
        asked[i].facts.noise = noise[i];
        got[i].facts.noise = made[i];
    }
    obedience_names_of(&labels, &names);
    obedience_shares(&names, asked, got, 3, OBEY_NOISE, 3, accuracy, &chance);
    assert_float_equal(accuracy[0], 0.5, 1e-12);
    assert_float_equal(accuracy[1], 1, 1e-12);
    assert_true(isnan(accuracy[2]));
    /* 0 asked of 2, 1 of 2, 2 of 0, 2 of 1: the last agrees. */
    assert_float_equal(chance, 0.25, 1e-12);
}

/* Class means of label 1 at -0.5 and 0.5; label 2 is in slices of one class alone. */
static void phase_is_that_of_the_nearer_class(void **state) {
    (void)state;
    enum { PIXELS = 4 };
    phases p = {.known = true};
    for (int k = 0; k < LABELS_MAX; k++) {
        p.mean[0][k] = p.mean[1][k] = (double)NAN;
        p.deviation[k] = 0.1;
    }
    p.mean[0][1] = -0.5, p.mean[1][1] = 0.5, p.mean[1][2] = 0.5;
    const uint8_t first[PIXELS] = {0, 1, 1, 2}, second[PIXELS] = {0, 0, 2, 2};
    const float low[PIXELS] = {1, -0.3f, -0.1f, 0.5f}, high[PIXELS] = {-1, 0.3f, 0.1f, 0.5f};
    assert_int_equal(phases_tell(&p, low, first, PIXELS), CONTRAST_NATIVE);
    assert_int_equal(phases_tell(&p, high, first, PIXELS), CONTRAST_AGENT);
    assert_int_equal(phases_tell(&p, high, second, PIXELS), CONTRAST_UNKNOWN);
    p.known = false;
    assert_int_equal(phases_tell(&p, low, first, PIXELS), CONTRAST_UNKNOWN);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(structures_are_compared_by_name),
        cmocka_unit_test(sides_and_sizes_are_those_of_structures_that_are_there),
        cmocka_unit_test(phase_and_noise_may_be_unknown),
        cmocka_unit_test(phase_is_that_of_the_nearer_class),
        cmocka_unit_test(means_are_of_patients_and_chance_of_other_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
