/* Classes of kernels and parts of the body: names of makers, defined terms, and texts that say
 * nothing. */
#include "io/scan_traits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* Longer than any name of a kernel. */
#define LONG "B30f, STANDARD, SOFT, BONE, LUNG, EDGE, B30f, STANDARD, SOFT, BONE, LUNG, EDGE, B30f"

static void kernels_have_the_class_that_their_makers_give_them(void **state) {
    (void)state;
    static const char *const soft[] = {
        "STANDARD", "SOFT", "soft", "HD STND", "B30f",    "B31s", "B40s",
        "H31s",     "Br40", "Hr38", "I30f\\3", "J40f\\2", "FC13", "FC01",
        "FC18-H",   "FC26", "B",    "C ",      " STD ",   "UB",   "Bf39f\\1"};
    static const char *const sharp[] = {"BONE", "LUNG", "BONEPLUS", "HD LUNG", "EDGE",  "B60f",
                                        "B80s", "B50f", "Br64f\\3", "Ur77",    "H70h",  "FC51",
                                        "FC30", "FC86", "YA",       "L",       "sharp", "D"};
    static const char *const nothing[] = {"",
                                          "DETAIL",
                                          "T20f",
                                          "FC",
                                          "FC4",
                                          "FC44",
                                          "FC100",
                                          "B3",
                                          "B300",
                                          "S80s",
                                          "12",
                                          "_",
                                          "\\B30f",
                                          "Doe^Jane",
                                          "STANDARDS",
                                          "BON",
                                          "|",
                                          "|SOFT",
                                          "SOFT|STANDARD",
                                          LONG};
    for (size_t i = 0; i < sizeof soft / sizeof *soft; i++)
        if (kernel_class_of(soft[i]) != KERNEL_SOFT) fail_msg("%s is not soft", soft[i]);
    for (size_t i = 0; i < sizeof sharp / sizeof *sharp; i++)
        if (kernel_class_of(sharp[i]) != KERNEL_SHARP) fail_msg("%s is not sharp", sharp[i]);
    for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
        if (kernel_class_of(nothing[i]) != KERNEL_UNKNOWN) fail_msg("%s is known", nothing[i]);
}

static void parts_of_the_body_are_the_defined_terms(void **state) {
    (void)state;
    static const struct {
        const char *text;
        body_part part;
    } terms[] = {{"HEAD", BODY_HEAD},         {"BRAIN ", BODY_HEAD},  {"NECK", BODY_NECK},
                 {"CHEST", BODY_CHEST},       {"Chest", BODY_CHEST},  {"ABDOMEN", BODY_ABDOMEN},
                 {"PELVIS", BODY_PELVIS},     {"HIP", BODY_PELVIS},   {"ABDOMENPELVIS", BODY_TRUNK},
                 {"LSPINE", BODY_SPINE},      {"SHOULDER", BODY_ARM}, {"THIGH", BODY_LEG},
                 {"KNEE", BODY_LEG},          {"", BODY_UNKNOWN},     {"Doe", BODY_UNKNOWN},
                 {"EXTREMITY", BODY_UNKNOWN}, {"CHES", BODY_UNKNOWN}, {"CHESTS", BODY_UNKNOWN},
                 {"HEAD|BRAIN", BODY_UNKNOWN}};
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++)
        if (body_part_of(terms[i].text) != terms[i].part) fail_msg("\"%s\"", terms[i].text);
}

static void words_are_read_back(void **state) {
    (void)state;
    for (int k = 0; k < KERNEL_CLASSES; k++)
        assert_int_equal(kernel_class_of(kernel_class_word((kernel_class)k)), k);
    for (int b = 0; b < BODY_PARTS; b++)
        assert_int_equal(body_part_of(body_part_word((body_part)b)), b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kernels_have_the_class_that_their_makers_give_them),
        cmocka_unit_test(parts_of_the_body_are_the_defined_terms),
        cmocka_unit_test(words_are_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
