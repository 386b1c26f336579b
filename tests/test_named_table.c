/* Tables of named choices: names and enum values correspond, and the message for an unknown name
 * lists the known ones. */
#include "model/diffusion/sampler.h"
#include "model/net/unet.h"
#include "model/nn/kernels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void names_and_rows_belong_together(void **state) {
    (void)state;
    const named_table *const tables[] = {&schedule_kinds, &objective_kinds, &sampler_kinds,
                                         &unet_kinds,     &engine_kinds,    &loss_kinds};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        for (int k = 0; k < tables[i]->count; k++) {
            int row = -1;
            const char *name = named_table_name(tables[i], k);
            assert_int_equal(named_table_find(tables[i], name, &row), ST_OK);
            assert_int_equal(row, k);
        }
}

/* The words of a study file stand for these enum values. */
static void rows_are_those_of_the_enums(void **state) {
    (void)state;
    assert_string_equal(named_table_name(&schedule_kinds, SCHEDULE_RAISED_COSINE), "raised-cosine");
    assert_string_equal(named_table_name(&objective_kinds, OBJECTIVE_EPS), "eps");
    assert_string_equal(named_table_name(&objective_kinds, OBJECTIVE_V), "v");
    assert_string_equal(named_table_name(&sampler_kinds, SAMPLER_DDIM), "ddim");
    assert_string_equal(named_table_name(&unet_kinds, UNET_R16), "R16");
    assert_string_equal(named_table_name(&loss_kinds, LOSS_HUBER), "huber");
    assert_string_equal(kernels_of(ENGINE_OPENBLAS)->name, "openblas");
    assert_string_equal(objective_of(OBJECTIVE_X0)->name, "x0");
    assert_int_equal(unet_config_of(UNET_R64).base, 64);
}

static void unknown_names_are_answered_with_the_known_ones(void **state) {
    (void)state;
    int row = -1;
    assert_int_equal(named_table_find(&schedule_kinds, "sigmoid", &row), ST_USAGE);
    assert_int_equal(row, -1);
    assert_non_null(strstr(status_message(), "noise schedule \"sigmoid\""));
    assert_non_null(strstr(status_message(), "linear, cosine, raised-cosine"));
    assert_int_equal(named_table_find(&sampler_kinds, "", &row), ST_USAGE);
    assert_int_equal(named_table_find(&sampler_kinds, "DDIM", &row), ST_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_rows_belong_together),
        cmocka_unit_test(rows_are_those_of_the_enums),
        cmocka_unit_test(unknown_names_are_answered_with_the_known_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
