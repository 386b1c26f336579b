/* What counts as obeyed: attribute by attribute on facts written by hand, and the means over
 * patients, the balance and the chance of pairs in closed form. */
#include "model/metric/bootstrap.h"
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

/* What `got` says of one question of an attribute: 1, 0, or -1 if it was not asked. */
static int answer(const shown *asked, const shown *got, obedience_attribute a, int question) {
    int64_t right[OBEY_QUESTIONS] = {0}, all[OBEY_QUESTIONS] = {0};
    obedience_names names;
    obedience_names_of(&labels, &names);
    obedience_answer(&names, asked, got, a, right, all);
    return all[question] == 0 ? -1 : (int)right[question];
}

/* The number of questions. */
static int64_t questions(const shown *asked, const shown *got, obedience_attribute a) {
    int64_t right[OBEY_QUESTIONS] = {0}, all[OBEY_QUESTIONS] = {0}, sum = 0;
    obedience_names names;
    obedience_names_of(&labels, &names);
    obedience_answer(&names, asked, got, a, right, all);
    for (int q = 0; q < OBEY_QUESTIONS; q++) sum += all[q];
    return sum;
}

enum { LIVER, KIDNEY, LESION }; /* the names */
static int question(int item, int of) { return item * OBEY_ANSWERS + of; }

/* Three names: both kidneys have one. Presence is asked of each. */
static void structures_are_compared_by_name(void **state) {
    (void)state;
    const shown asked = {.labels = {[1] = true, [2] = true}}, got = {.labels = {[1] = true}};
    const shown right = {.labels = {[1] = true, [3] = true}};
    obedience_names names;
    obedience_names_of(&labels, &names);
    assert_int_equal(names.count, 3);
    assert_string_equal(names.name[KIDNEY], "kidney");
    assert_int_equal(questions(&asked, &got, OBEY_STRUCTURES), 3);
    assert_int_equal(answer(&asked, &got, OBEY_STRUCTURES, question(LIVER, 1)), 1);
    assert_int_equal(answer(&asked, &got, OBEY_STRUCTURES, question(KIDNEY, 1)), 0);
    assert_int_equal(answer(&asked, &got, OBEY_STRUCTURES, question(LESION, 0)), 1);
    assert_int_equal(answer(&got, &asked, OBEY_STRUCTURES, question(KIDNEY, 0)), 0);
    assert_int_equal(answer(&asked, &right, OBEY_STRUCTURES, question(KIDNEY, 1)), 1);
}

/* Sides have to be those that are asked for, neither fewer nor more. */
static void sides_and_sizes_are_those_of_structures_that_are_there(void **state) {
    (void)state;
    shown asked = {.facts.structures = 3}, got = {.facts.structures = 2};
    const shown none = {.facts.structures = 0};
    asked.facts.structure[0] = structure("kidney", SIDE_LEFT, 40);
    asked.facts.structure[1] = structure("lesion", SIDE_RIGHT, 12);
    asked.facts.structure[2] = structure("liver", SIDE_UNKNOWN, 100);
    got.facts.structure[0] = structure("kidney", SIDE_RIGHT, 48);
    got.facts.structure[1] = structure("lesion", SIDE_RIGHT, 16);
    assert_int_equal(questions(&asked, &got, OBEY_SIDES), 2);
    assert_int_equal(answer(&asked, &got, OBEY_SIDES, question(KIDNEY, 1)), 0);
    assert_int_equal(answer(&asked, &got, OBEY_SIDES, question(LESION, 2)), 1);
    /* The kidney of the other side has no size that was asked for. */
    assert_int_equal(questions(&asked, &got, OBEY_SIZES), 1);
    assert_int_equal(answer(&asked, &got, OBEY_SIZES, question(LESION, 0)), 0);
    got.facts.structure[1].size = 14;
    assert_int_equal(answer(&asked, &got, OBEY_SIZES, question(LESION, 0)), 1);
    assert_int_equal(questions(&asked, &none, OBEY_SIDES), 0);
    assert_int_equal(questions(&none, &got, OBEY_SIZES), 0);
    /* Both of a name by two structures, or by one that is on both sides. */
    got.facts.structure[1] = structure("kidney", SIDE_LEFT, 40);
    assert_int_equal(answer(&asked, &got, OBEY_SIDES, question(KIDNEY, 1)), 0);
    assert_int_equal(answer(&asked, &got, OBEY_SIZES, question(KIDNEY, 0)), 1);
    asked.facts.structure[1] = structure("kidney", SIDE_RIGHT, 40);
    assert_int_equal(answer(&asked, &got, OBEY_SIDES, question(KIDNEY, 3)), 1);
    got.facts = (caption_facts){.structures = 1};
    got.facts.structure[0] = structure("kidney", SIDE_BOTH, 40);
    assert_int_equal(answer(&asked, &got, OBEY_SIDES, question(KIDNEY, 3)), 1);
}

static void phase_and_noise_may_be_unknown(void **state) {
    (void)state;
    const shown asked = {.facts = {.contrast = CONTRAST_AGENT, .noise = 9.4}};
    shown got = {.facts = {.contrast = CONTRAST_NATIVE, .noise = 9.6}};
    assert_int_equal(answer(&asked, &got, OBEY_PHASE, CONTRAST_AGENT), 0);
    assert_int_equal(answer(&asked, &got, OBEY_NOISE, 0), 0); /* 9 is low, 10 moderate */
    got.facts.noise = 3;
    assert_int_equal(answer(&asked, &got, OBEY_NOISE, 0), 1);
    got.facts = (caption_facts){.contrast = CONTRAST_UNKNOWN};
    assert_int_equal(questions(&asked, &got, OBEY_PHASE), 0);
    assert_int_equal(questions(&asked, &got, OBEY_NOISE), 0);
}

enum { SLICES = 8, PATIENTS = 3 };

/* Patient 0 has slices 0..3, patient 1 4..7, patient 2 none. */
static void fill(shown asked[SLICES], shown got[SLICES], const double noise[SLICES],
                 const double made[SLICES]) {
    for (int i = 0; i < SLICES; i++) {
        asked[i] = got[i] = (shown){.patient = i / 4};
        asked[i].facts.noise = noise[i];
        got[i].facts.noise = made[i];
    }
}

static double accuracy_of(const obedience_table *t) {
    double mean[OBEY_QUESTIONS];
    for (int64_t k = 0; k < t->count; k++) {
        double sum = 0;
        int known = 0;
        for (int64_t p = 0; p < t->patients; p++) {
            const double share = t->value[k * t->patients + p];
            if (!isnan(share)) sum += share, known++;
        }
        mean[k] = sum / known;
    }
    return obedience_balanced(t, mean, 1);
}

/* Low noise is asked for in six slices of eight. */
static void what_is_rare_counts_as_what_is_common(void **state) {
    (void)state;
    static const double noise[SLICES] = {5, 5, 5, 15, 5, 5, 5, 15};
    static const double low[SLICES] = {5, 5, 5, 5, 5, 5, 5, 5};
    static const double some[SLICES] = {5, 5, 15, 15, 5, 15, 15, 15};
    shown asked[SLICES], got[SLICES];
    obedience_names names;
    obedience_table t;
    obedience_names_of(&labels, &names);
    fill(asked, got, noise, low);
    assert_int_equal(obedience_table_make(&names, asked, got, SLICES, OBEY_NOISE, PATIENTS, &t),
                     ST_OK);
    assert_int_equal(t.count, 2);
    assert_true(isnan(t.value[2]) && isnan(t.value[PATIENTS + 2]));
    assert_float_equal(accuracy_of(&t), 0.5, 1e-12); /* six of eight slices are right */
    assert_float_equal(obedience_balanced(&t, t.chance, 1), 0.5, 1e-12);
    obedience_table_free(&t);
    fill(asked, got, noise, some);
    assert_int_equal(obedience_table_make(&names, asked, got, SLICES, OBEY_NOISE, PATIENTS, &t),
                     ST_OK);
    /* Low: 2/3 and 1/3 of the patients' slices; moderate: all. */
    assert_float_equal(t.value[0], 2.0 / 3, 1e-12);
    assert_float_equal(t.value[1], 1.0 / 3, 1e-12);
    assert_float_equal(accuracy_of(&t), 0.75, 1e-12);
    /* The other patient's slices: 1 of 4 low for what patient 0 asks, 2 of 4 for patient 1. */
    assert_float_equal(t.chance[0], 0.375, 1e-12);
    assert_float_equal(t.chance[1], 0.625, 1e-12);
    obedience_table_free(&t);
}

/* A level that slices of one patient alone were asked does not count, nor then the other one. */
static void what_was_asked_of_one_patient_does_not_count(void **state) {
    (void)state;
    static const double noise[SLICES] = {5, 5, 5, 5, 5, 5, 5, 15};
    shown asked[SLICES], got[SLICES];
    obedience_names names;
    obedience_table t;
    obedience_names_of(&labels, &names);
    fill(asked, got, noise, noise);
    assert_int_equal(obedience_table_make(&names, asked, got, SLICES, OBEY_NOISE, PATIENTS, &t),
                     ST_OK);
    assert_int_equal(t.count, 0);
    assert_true(isnan(obedience_balanced(&t, t.chance, 1)));
    obedience_table_free(&t);
    /* The second patient alone, numbered 0: there is no other. */
    for (int i = 4; i < SLICES; i++) asked[i].patient = got[i].patient = 0;
    assert_int_equal(obedience_table_make(&names, asked + 4, got + 4, 4, OBEY_NOISE, 1, &t), ST_OK);
    assert_int_equal(t.count, 2);
    assert_true(isnan(t.chance[0]));
    assert_float_equal(accuracy_of(&t), 1, 0);
    obedience_table_free(&t);
}

/* Which questions count does not depend on what is shown: phase cannot be told of any slice. */
static void what_cannot_be_told_leaves_its_item_out(void **state) {
    (void)state;
    shown asked[SLICES], got[SLICES];
    obedience_names names;
    obedience_table t;
    obedience_value v;
    obedience_names_of(&labels, &names);
    for (int i = 0; i < SLICES; i++) {
        asked[i] = got[i] = (shown){.patient = i / 4};
        asked[i].facts.contrast = i % 2 ? CONTRAST_AGENT : CONTRAST_NATIVE;
        got[i].facts.contrast = i % 2 ? CONTRAST_AGENT : CONTRAST_UNKNOWN;
    }
    assert_int_equal(obedience_table_make(&names, asked, got, SLICES, OBEY_PHASE, PATIENTS, &t),
                     ST_OK);
    assert_int_equal(t.count, 2);
    assert_int_equal(obedience_estimate(&t, 1, &v), ST_OK);
    assert_true(isnan(v.accuracy.value));
    obedience_table_free(&t);
}

/* Presence is asked of three names, of which the liver is there throughout; sizes of each. A label
 * that was made up has no name. */
static void tables_of_structures_and_sizes(void **state) {
    (void)state;
    static const label_set more = {
        .count = 5, .name = {"background", "liver", "kidney", "lesion", "structure 4"}};
    shown asked[SLICES], got[SLICES];
    obedience_names names;
    obedience_table t;
    obedience_names_of(&more, &names);
    assert_int_equal(names.count, 3);
    for (int i = 0; i < SLICES; i++) {
        asked[i] = (shown){.patient = i / 4, .labels = {[1] = true, [2] = i % 2, [4] = true}};
        asked[i].labels[3] = i % 4 == 0;
        asked[i].facts.structures = 1;
        asked[i].facts.structure[0] = structure("liver", SIDE_UNKNOWN, 100);
        got[i] = asked[i];
        got[i].labels[3] = false;
        got[i].facts.structure[0].size = i < 6 ? 110 : 200;
    }
    assert_int_equal(
        obedience_table_make(&names, asked, got, SLICES, OBEY_STRUCTURES, PATIENTS, &t), ST_OK);
    assert_int_equal(t.count, 4); /* kidney and lesion */
    assert_float_equal(accuracy_of(&t), (1 + 0.5) / 2, 1e-12);
    obedience_table_free(&t);
    assert_int_equal(obedience_table_make(&names, asked, got, SLICES, OBEY_SIZES, PATIENTS, &t),
                     ST_OK);
    assert_int_equal(t.count, 1);
    assert_float_equal(accuracy_of(&t), (1 + 0.5) / 2, 1e-12);
    obedience_table_free(&t);
    /* One slice: nothing is asked in two ways. */
    assert_int_equal(obedience_table_make(&names, asked, got, 1, OBEY_STRUCTURES, PATIENTS, &t),
                     ST_OK);
    assert_int_equal(t.count, 0);
    obedience_table_free(&t);
}

/* Questions of one item: their mean; an item with one that is unknown is left out. */
static void balanced_is_the_mean_of_items(void **state) {
    (void)state;
    int32_t asked[] = {0, 1, 5, 6, 7, 8};
    const obedience_table t = {.count = 6, .question = asked};
    const double share[] = {1, 0, 0.25, 0, 0.5, 0, 0.75, 0, 1, 0, NAN, 0};
    assert_float_equal(obedience_balanced(&t, share, 2), (0.625 + 0.75) / 2, 1e-12);
    assert_float_equal(obedience_balanced(&t, share + 1, 2), 0, 0);
    const double none[] = {1, NAN, NAN, 0, 1, NAN};
    assert_true(isnan(obedience_balanced(&t, none, 1)));
}

/* Items 0 and 1 have two questions, item 2 one, which nobody could tell. */
static void what_real_slices_do_not_show_is_left_out(void **state) {
    (void)state;
    int32_t asked[] = {0, 1, 5, 6, 8};
    double value[] = {1, 1, 0.5, 0.5, 1, 1, 0.4, 0.56, NAN, NAN}, chance[] = {0, 1, 2, 3, 4};
    obedience_table t = {
        .count = 5, .patients = 2, .question = asked, .value = value, .chance = chance};
    bool blind[LABELS_MAX];
    assert_int_equal(obedience_find_blind(&t, blind), ST_OK);
    assert_false(blind[0]); /* 0.75 */
    assert_true(blind[1]);  /* 0.74 */
    assert_true(blind[2]);
    assert_false(blind[3]);
    obedience_leave_out(&t, blind);
    assert_int_equal(t.count, 2);
    assert_int_equal(t.question[1], 1);
    blind[0] = true, blind[1] = blind[2] = false;
    t.count = 5;
    obedience_leave_out(&t, blind);
    assert_int_equal(t.count, 3);
    assert_int_equal(t.question[0], 5);
    assert_float_equal(t.value[2], 0.4, 0);
    assert_float_equal(t.value[3], 0.56, 0);
    assert_float_equal(t.chance[1], 3, 0);
}

enum { MANY = 12 };

/* The interval of a question asked twice is that of its resamples; a rare answer does not make an
 * interval of the other one. */
static void intervals_are_those_of_resamples(void **state) {
    (void)state;
    int32_t asked[] = {0, 1};
    double value[2 * MANY], drawn[20000];
    double chance[] = {0.25, 0.5};
    obedience_value v;
    bootstrap_interval want;
    const obedience_table t = {
        .count = 2, .patients = MANY, .question = asked, .value = value, .chance = chance};
    const bootstrap_array of = {
        .value = value, .measures = 1, .sets = 1, .seeds = 1, .patients = MANY};
    for (int p = 0; p < MANY; p++) value[p] = value[MANY + p] = p * p % 7 / 6.0;
    assert_true(statistics_resamples() <= 20000);
    assert_int_equal(bootstrap_draw(&of, 5, statistics_resamples(), drawn), ST_OK);
    assert_int_equal(bootstrap_percentile(drawn, statistics_resamples(), 0.95, &want), ST_OK);
    assert_int_equal(obedience_estimate(&t, 5, &v), ST_OK);
    assert_float_equal(v.accuracy.low, want.low, 1e-12);
    assert_float_equal(v.accuracy.high, want.high, 1e-12);
    assert_float_equal(v.chance, 0.375, 1e-12);
    assert_int_equal(v.accuracy.patients, MANY);
    assert_true(want.low < v.accuracy.value && v.accuracy.value < want.high);
    /* Two patients are right in what they alone are asked, ten are wrong. */
    for (int p = 0; p < MANY; p++) {
        value[p] = p < 2 ? 1 : (double)NAN;
        value[MANY + p] = p < 2 ? (double)NAN : 0;
    }
    assert_int_equal(obedience_estimate(&t, 5, &v), ST_OK);
    assert_float_equal(v.accuracy.value, 0.5, 1e-12);
    assert_float_equal(v.accuracy.low, 0.5, 1e-12);
    assert_float_equal(v.accuracy.high, 0.5, 1e-12);
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
        cmocka_unit_test(what_is_rare_counts_as_what_is_common),
        cmocka_unit_test(what_was_asked_of_one_patient_does_not_count),
        cmocka_unit_test(what_cannot_be_told_leaves_its_item_out),
        cmocka_unit_test(tables_of_structures_and_sizes),
        cmocka_unit_test(balanced_is_the_mean_of_items),
        cmocka_unit_test(what_real_slices_do_not_show_is_left_out),
        cmocka_unit_test(intervals_are_those_of_resamples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
