/* Names of structures: codes, sides, and codes of a study. The table itself is compared
 * with pydicom's in tests/test_export.py. */
#include "io/structure_codes.h"
#include "tests/scratch.h"

static void names_have_codes(void **state) {
    (void)state;
    static const struct {
        const char *name, *type, *side, *category;
    } cases[] = {
        {"liver", "10200004", NULL, "123037004"},
        {"Kidney_left", "64033007", "7771000", "123037004"},
        {"right kidneys", "64033007", "24028007", "123037004"},
        {"left atrium", "82471001", NULL, "123037004"},
        {"lung_upper_lobe_left", "45653009", "7771000", "123037004"},
        {"vertebrae_L1", "51282000", NULL, "123037004"},
        {"lesion 3", "52988006", NULL, "49755003"},
        {"GTV-1", "108369006", NULL, "49755003"},
        {"stent", "65818007", NULL, "260787004"},
        {"structure-7", "85756007", NULL, "123037004"},
        {"left something", "85756007", NULL, "123037004"},
        {"", "85756007", NULL, "123037004"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        structure_code code;
        structure_code_find(NULL, cases[i].name, &code);
        assert_string_equal(code.type.value, cases[i].type);
        assert_string_equal(code.category.value, cases[i].category);
        if (cases[i].side)
            assert_string_equal(code.side.value, cases[i].side);
        else
            assert_string_equal(code.side.value, "");
    }
}

/* The rules are the study's; what they do not name is the table's. */
static void a_study_adds_codes(void **state) {
    (void)state;
    static const char *const rules[] = {
        "hepar: 10200004 SCT Liver", "liver :  7771000  99LOCAL  My own liver ",
        "mole: 400010006 SCT Nevus | 49755003 SCT Morphologically Abnormal Structure",
        "Kidney_left: 64033007 SCT Kidney", "GTV-1: 86049000 SCT Malignant neoplasm"};
    const structure_codes own = {rules, sizeof rules / sizeof *rules};
    static const struct {
        const char *name, *value, *scheme, *meaning, *side, *category;
    } cases[] = {{"hepar", "10200004", "SCT", "Liver", "", "123037004"},
                 {"liver", "7771000", "99LOCAL", "My own liver", "", "123037004"},
                 {"mole", "400010006", "SCT", "Nevus", "", "49755003"},
                 {"Kidney_left", "64033007", "SCT", "Kidney", "", "123037004"},
                 {"kidney left", "64033007", "SCT", "Kidney", "7771000", "123037004"},
                 {"GTV-1", "86049000", "SCT", "Malignant neoplasm", "", "49755003"},
                 {"Hepar", "85756007", "SCT", "Tissue", "", "123037004"}};
    assert_int_equal(structure_codes_check(rules, own.count), ST_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        structure_code code;
        structure_code_find(&own, cases[i].name, &code);
        assert_string_equal(code.type.value, cases[i].value);
        assert_string_equal(code.type.scheme, cases[i].scheme);
        assert_string_equal(code.type.meaning, cases[i].meaning);
        assert_string_equal(code.side.value, cases[i].side);
        assert_string_equal(code.category.value, cases[i].category);
    }
}

static void wrong_codes_are_refused(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "liver",
        "liver: 10200004",
        "liver: 10200004 SCT",
        "liver 10200004 SCT Liver",
        ": 10200004 SCT Liver",
        "liver: 10200005 SCT Liver", /* a digit misspelt */
        "liver: 10020004 SCT Liver", /* two exchanged */
        "liver: 1020000x SCT Liver",
        "liver: 12345 SCT Liver",      /* too short */
        "liver: 10200004 SCT Li\\ver", /* divides values in DICOM */
        "liver: 10200004 SCT Li\tver",
        "liver: 10200004567890123 99X Liver", /* 17 characters */
        "liver: 1 99LOCAL9012345678 Liver",
        "liver: 10200004 SCT Liver | 49755003 SCT",
        "liver: 10200004 SCT Liver | 49755004 SCT Abnormal",
        "liver: 1 99X 0123456789012345678901234567890123456789012345678901234567890123x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(structure_codes_check(&wrong[i], 1), ST_USAGE);
    const char *const twice[] = {"liver: 10200004 SCT Liver", " liver: 10200004 SCT Liver"};
    assert_int_equal(structure_codes_check(twice, 2), ST_USAGE);
    assert_non_null(strstr(status_message(), "entry 2 has \"liver\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_codes),
        cmocka_unit_test(a_study_adds_codes),
        cmocka_unit_test(wrong_codes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
