/* The table of the evaluation's arms. */
#include "pipeline/study/evaluation_arms.h"

#include <stddef.h>

static const char *const names[ARMS] = {
    [ARM_REAL] = "real",
    [ARM_REAL_PLUS_COPIES] = "real+copies",
    [ARM_REAL_PLUS_SYNTHETIC] = "real+synthetic",
    [ARM_SYNTHETIC] = "synthetic",
    [ARM_SYNTHETIC_THEN_REAL] = "synthetic-then-real",
    [ARM_GAUSSIAN_LABELS] = "gaussian-labels",
    [ARM_GAN] = "gan",
    [ARM_ORACLE] = "oracle",
    [ARM_REAL_PLUS_INPAINTED] = "real+inpainted",
};
const named_table evaluation_arms = NAMED_TABLE("evaluation arm", names);

arm_mixture evaluation_arm_mixture(evaluation_arm arm) {
    static const arm_mixture of[ARMS] = {
        [ARM_REAL] = {SOURCE_NONE, false, false},
        [ARM_REAL_PLUS_COPIES] = {SOURCE_LABELLED, false, true},
        [ARM_REAL_PLUS_SYNTHETIC] = {SOURCE_SYNTHETIC, false, true},
        [ARM_SYNTHETIC] = {SOURCE_SYNTHETIC, true, false},
        [ARM_SYNTHETIC_THEN_REAL] = {SOURCE_SYNTHETIC, true, true},
        [ARM_GAUSSIAN_LABELS] = {SOURCE_GAUSSIAN, false, true},
        [ARM_GAN] = {SOURCE_GAN, false, true},
        [ARM_ORACLE] = {SOURCE_HIDDEN, false, true},
        [ARM_REAL_PLUS_INPAINTED] = {SOURCE_INPAINTED, false, true},
    };
    return of[arm];
}

const char *arm_source_directory(arm_source source) {
    static const char *const of[SOURCES] = {[SOURCE_SYNTHETIC] = "synthetic",
                                            [SOURCE_GAUSSIAN] = "synthetic-gaussian",
                                            [SOURCE_GAN] = "synthetic-gan",
                                            [SOURCE_INPAINTED] = "synthetic-inpaint"};
    return of[source];
}

const char *arm_source_generator(arm_source source) {
    static const char *const of[SOURCES] = {[SOURCE_SYNTHETIC] = "diffusion",
                                            [SOURCE_GAUSSIAN] = "gaussian",
                                            [SOURCE_GAN] = "gan",
                                            [SOURCE_INPAINTED] = "in-painting"};
    return of[source];
}
