/* The arms of the evaluation: which slices the segmenters of an arm are trained on. The evaluation
 * writes metrics.json with the names as keys, and the report reads them.
 */
#ifndef CTAUG_PIPELINE_COMMON_EVALUATION_ARMS_H
#define CTAUG_PIPELINE_COMMON_EVALUATION_ARMS_H

#include "model/named_table.h"

enum { ARM_REAL, ARM_REAL_PLUS_SYNTHETIC, ARMS };

/* By arm: "real", "real_plus_synthetic". */
extern const named_table evaluation_arms;

#endif
