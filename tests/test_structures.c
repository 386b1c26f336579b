/* Names of structures: rules of the study, the controlled list, and what becomes structure-N. */
#include "io/structure_words.h"
#include "io/structures.h"
#include "tests/scratch.h"

static structure_texts texts_of(const char *const *texts, int n) {
    structure_texts list = {0};
    for (int i = 0; i < n; i++) assert_ok(structure_texts_add(&list, texts[i]));
    return list;
}

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))

static void texts_are_sorted_and_once(void **state) {
    (void)state;
    static const char *const given[] = {"b", "a", "b", "", "B", "a"};
    static const char *const want[] = {"", "B", "a", "b"};
    char text[STRUCTURE_TEXT + 1];
    structure_texts list = texts_of(given, COUNT(given));
    assert_int_equal(list.count, 4);
    for (int i = 0; i < 4; i++) assert_string_equal(list.at[i], want[i]);
    memset(text, 'x', sizeof text);
    text[STRUCTURE_TEXT - 1] = '\0';
    assert_ok(structure_texts_add(&list, text));
    text[STRUCTURE_TEXT - 1] = 'x';
    text[STRUCTURE_TEXT] = '\0';
    assert_int_equal(structure_texts_add(&list, text), ST_INPUT);
    assert_null(strstr(status_message(), "xxx"));
    structure_texts_free(&list);
}

static void known_words_pass(void **state) {
    (void)state;
    static const char *const known[] = {
        "liver",
        "Liver",
        "LIVER",
        "kidney_left",
        "Left Kidney",
        "Kidney_L",
        "Lung_R",
        "GTV",
        "GTVp-2",
        "GTV1",
        "PTV 60",
        "vertebrae_L1",
        "rib_left_12",
        "OpticNrv_L",
        "SpinalCord",
        "Parotid (left)",
        "heart",
        "aorta",
        "lesion",
        "tumour",
        "Tumor",
        "bone",
        "spleen",
        "spot",
        "block",
        "organ",
        "portal_vein_and_splenic_vein",
        "white matter",
        "segment 3",
        "structure 01234567890123456789012345678901234567890123456789ABCD",
        "structure-0123456789abcdef0123456789abcdef"};
    static const char *const unknown[] = {
        "",
        " ",
        "lesion QUODLIBET",
        "Liver Smith",
        "4711815",
        "12",
        "liver 4711815",
        "liver 1960",
        "lesion 01-02-58",
        "GTV 12 34",
        "structure 4711815",
        "structure MUELLER",
        "white",
        "Dr. House liver",
        "l\xc3\xa9sion",
        "liver\n",
        "liver;heart",
        "liver\x1b[2J",
        "liver^heart",
        "liver liver liver liver liver liver liver liver liver liver liver liver lung",
        "pneumonoultramicroscopicsilicovolcanoconiosis",
        "structure 0123456789abcdef0123456789abcdeg"};
    for (int i = 0; i < COUNT(known); i++)
        if (!structure_is_known(known[i])) fail_msg("'%s' should pass", known[i]);
    for (int i = 0; i < COUNT(unknown); i++)
        if (structure_is_known(unknown[i])) fail_msg("'%s' should not pass", unknown[i]);
}

static void assert_named(const structure_names *names, const char *text, const char *name) {
    const int value = structure_value(names, text);
    assert_in_range(value, 0, names->set.count - 1);
    assert_string_equal(names->set.name[value], name);
}

static void others_are_numbered(void **state) {
    (void)state;
    static const char *const given[] = {"Zoe's tumour", "liver",      "Adam",  "structure 2",
                                        "structure-1",  "background", "Liver", "BACKGROUND"};
    structure_texts texts = texts_of(given, COUNT(given));
    structure_names names = {0};
    assert_ok(structure_names_make(&texts, NULL, 0, &names));
    assert_int_equal(names.set.count, 7);
    assert_named(&names, "liver", "liver");
    assert_named(&names, "Liver", "Liver");
    assert_named(&names, "structure-1", "structure-1");
    assert_named(&names, "structure 2", "structure 2");
    assert_named(&names, "Adam", "structure-2"); /* structure-1 is taken */
    assert_named(&names, "Zoe's tumour", "structure-3");
    assert_int_equal(structure_value(&names, "background"), 0);
    assert_int_equal(structure_value(&names, "BACKGROUND"), 0);
    assert_int_equal(structure_value(&names, "lung"), -1);
    assert_int_equal(names.renamed, 2);
    for (int k = 2; k < names.set.count; k++)
        assert_true(strcmp(names.set.name[k - 1], names.set.name[k]) < 0);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

static void rules_choose_and_rename(void **state) {
    (void)state;
    static const char *const rules[] = {"liver: Liver | LIVER|hepar", "kidney : ren: left|Zoe",
                                        "spleen: lien"};
    static const char *const given[] = {"LIVER", "Liver", "liver", "ren: left", "Zoe", "lung"};
    structure_texts texts = texts_of(given, COUNT(given));
    structure_names names = {0};
    char name[LABEL_NAME];
    assert_ok(structure_rules_check(rules, COUNT(rules)));
    assert_ok(structure_names_make(&texts, rules, COUNT(rules), &names));
    assert_int_equal(names.set.count, 3); /* no text is a spleen */
    assert_named(&names, "LIVER", "liver");
    assert_named(&names, "Liver", "liver");
    assert_named(&names, "ren: left", "kidney");
    assert_named(&names, "Zoe", "kidney");
    assert_int_equal(structure_value(&names, "liver"), 0); /* not as it is written in the rule */
    assert_int_equal(structure_value(&names, "lung"), 0);
    assert_int_equal(names.left_out, 2);
    assert_int_equal(names.renamed, 0);
    structure_rule_name(rules[1], name);
    assert_string_equal(name, "kidney");
    structure_names_free(&names);
    structure_texts_free(&texts);
}

static void as_many_as_a_store_holds(void **state) {
    (void)state;
    structure_texts texts = {0};
    structure_names names = {0};
    char text[32];
    for (int i = 0; i < STRUCTURES_MAX; i++) {
        snprintf(text, sizeof text, "Patient %03d", i);
        assert_ok(structure_texts_add(&texts, text));
    }
    assert_ok(structure_names_make(&texts, NULL, 0, &names));
    assert_int_equal(names.set.count, LABELS_MAX);
    assert_named(&names, "Patient 254", "structure-255");
    structure_names_free(&names);
    assert_ok(structure_texts_add(&texts, "Patient"));
    assert_int_equal(structure_names_make(&texts, NULL, 0, &names), ST_INPUT);
    assert_says("name 256 structures");
    assert_null(strstr(status_message(), "Patient"));
    /* A rule makes one of many. */
    static const char *const rules[] = {"one: Patient 001|Patient 002"};
    assert_ok(structure_names_make(&texts, rules, 1, &names));
    assert_int_equal(names.set.count, 2);
    assert_int_equal(names.left_out, 254);
    structure_names_free(&names);
    structure_texts_free(&texts);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_sorted_and_once), cmocka_unit_test(known_words_pass),
        cmocka_unit_test(others_are_numbered),       cmocka_unit_test(rules_choose_and_rename),
        cmocka_unit_test(as_many_as_a_store_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
