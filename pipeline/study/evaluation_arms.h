/* The arms of the evaluation: what the segmenters of an arm are trained on. metrics.json has the
 * names as keys.
 */
#ifndef CTAUG_PIPELINE_STUDY_EVALUATION_ARMS_H
#define CTAUG_PIPELINE_STUDY_EVALUATION_ARMS_H

#include "model/named_table.h"

#include <stdbool.h>

typedef enum evaluation_arm {
    ARM_REAL,                /* labelled real slices */
    ARM_REAL_PLUS_COPIES,    /* the same slices again in place of synthetic ones: what the schedule
                                and mere repetition do */
    ARM_REAL_PLUS_SYNTHETIC, /* slices of the diffusion model */
    ARM_SYNTHETIC,           /* these alone */
    ARM_SYNTHETIC_THEN_REAL, /* these alone, then real slices alone */
    ARM_GAUSSIAN_LABELS,     /* label maps painted with a Gaussian for each structure */
    ARM_GAN,                 /* slices of a conditional GAN */
    ARM_ORACLE,              /* slices of further real patients: the ceiling */
    ARM_REAL_PLUS_INPAINTED, /* real slices into which structures were sampled */
    ARMS
} evaluation_arm;

/* By arm: "real", "real+synthetic", ... */
extern const named_table evaluation_arms;

/* Where the slices come from that an arm has besides the labelled real ones. */
typedef enum arm_source {
    SOURCE_NONE,
    SOURCE_SYNTHETIC, /* <out>/synthetic */
    SOURCE_GAUSSIAN,  /* <out>/synthetic-gaussian */
    SOURCE_GAN,       /* <out>/synthetic-gan */
    SOURCE_LABELLED,  /* the labelled real patients */
    SOURCE_HIDDEN,    /* training patients whose labels data.labelled hides */
    SOURCE_INPAINTED, /* <out>/synthetic-inpaint */
    SOURCES
} arm_source;

/* How an arm's batches are mixed: the source, whether there are no real slices beside it before
 * the last part of the steps, and whether that last part has real slices alone. */
typedef struct arm_mixture {
    arm_source source;
    bool alone, real_last;
} arm_mixture;

/* Local. */
arm_mixture evaluation_arm_mixture(evaluation_arm arm);

/* The directory of a source that is a store of synthetic volumes; NULL for the others. Static
 * storage. Local. */
const char *arm_source_directory(arm_source source);

/* The name of its generator, "diffusion" and so on. As above. */
const char *arm_source_generator(arm_source source);

#endif
