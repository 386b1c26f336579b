/* Results of a training: what was written is read, anything else is refused by name; sizes of
 * lesions; mixtures of the arms. */
#include "pipeline/study/evaluation_arms.h"
#include "pipeline/evaluate/comparison.h"
#include "tests/scratch.h"

#include <math.h>

static const char FINGERPRINT[SHA256_HEX] =
    "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const char OTHER[SHA256_HEX] =
    "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

static void written_is_read(void **state) {
    (void)state;
    char path[PATH_SIZE];
    result r, back;
    snprintf(path, sizeof path, "%s/real-0.result", home);
    assert_int_equal(result_alloc(3, 5, &r), ST_OK);
    for (int64_t i = 0; i < TESTS * 3 * 5 * MEASURES; i++)
        r.value[i] = i % 7 == 0 ? (double)NAN : 0.01 * (double)i;
    for (int i = 0; i < CURVE_POINTS; i++) r.curve[i] = i;
    r.parameters = 1234;
    assert_int_equal(result_write(&r, path, FINGERPRINT), ST_OK);
    assert_int_equal(result_alloc(3, 5, &back), ST_OK);
    assert_true(isnan(*result_at(&back, TEST_SHIFTED, 2, 4)));
    assert_int_equal(result_read(&back, path, FINGERPRINT), ST_OK);
    for (int64_t i = 0; i < TESTS * 3 * 5 * MEASURES; i++)
        assert_true(isnan(r.value[i]) ? isnan(back.value[i]) : back.value[i] == r.value[i]);
    assert_int_equal(back.parameters, 1234);
    assert_true(back.curve[3] == 3);
    assert_int_equal(result_read(&back, path, OTHER), ST_INTEGRITY);
    result_free(&back);

    /* As many values, but of other patients and structures. */
    assert_int_equal(result_alloc(5, 3, &back), ST_OK);
    assert_int_equal(result_read(&back, path, FINGERPRINT), ST_INTEGRITY);
    result_free(&back);
    assert_int_equal(result_alloc(3, 6, &back), ST_OK);
    assert_int_equal(result_read(&back, path, FINGERPRINT), ST_INTEGRITY);
    result_free(&back);
    result_free(&r);
}

/* Every arm but `real` takes slices of a source, and none but `synthetic` ends without real ones.
 */
static void arms_mix_as_they_say(void **state) {
    (void)state;
    study s;
    study_defaults(&s);
    s.evaluate.batch = 16;
    s.evaluate.steps = 300;
    for (int arm = 0; arm < ARMS; arm++) {
        const mixture m = comparison_mixture(&s, (evaluation_arm)arm);
        const arm_mixture how = evaluation_arm_mixture((evaluation_arm)arm);
        if (arm == ARM_REAL) {
            assert_int_equal(how.source, SOURCE_NONE);
            assert_int_equal(m.synthetic, 0);
            continue;
        }
        assert_int_not_equal(how.source, SOURCE_NONE);
        assert_int_equal(m.synthetic, how.alone ? 16 : 12);
        assert_int_equal(m.real_from, arm == ARM_SYNTHETIC ? 300 : 201);
    }
}

static void structures_by_size(void **state) {
    (void)state;
    assert_true(is_lesion("Liver Lesion") && is_lesion("tumour, left") && is_lesion("GTV mass"));
    assert_false(is_lesion("liver") || is_lesion("spleen") || is_lesion("left masseter"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_is_read),
        cmocka_unit_test(arms_mix_as_they_say),
        cmocka_unit_test(structures_by_size),
    };
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return end_scratch() ? failed : 1;
}
