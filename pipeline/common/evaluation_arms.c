/* The names of the evaluation's arms. */
#include "pipeline/common/evaluation_arms.h"

static const char *const names[ARMS] = {
    [ARM_REAL] = "real", [ARM_REAL_PLUS_SYNTHETIC] = "real_plus_synthetic"};
const named_table evaluation_arms = NAMED_TABLE("evaluation arm", names);
