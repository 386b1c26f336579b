/* Names of structures: codes, sides, and which names may be shown. The table itself is compared
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
        structure_code_find(cases[i].name, &code);
        assert_string_equal(code.type.value, cases[i].type);
        assert_string_equal(code.category.value, cases[i].category);
        if (cases[i].side)
            assert_string_equal(code.side.value, cases[i].side);
        else
            assert_null(code.side.value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
