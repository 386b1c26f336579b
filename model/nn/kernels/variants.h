/* The table of all kernels that exist in several variants, one for each feature set.
 *
 * Within a family the variant for the largest feature set comes first, and the first one that the
 * processor can run is used. Loops that the compiler vectorises by itself have their variants
 * through cloned.h instead.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_VARIANTS_H
#define CTAUG_MODEL_NN_KERNELS_VARIANTS_H

#include "model/nn/kernels/cpu.h"

/* A family of variants; in parentheses the type of kernel_variant.kernels. */
typedef enum kernel_family {
    KERNEL_NORM,                 /* norm_loops (norm_loops.h) */
    KERNEL_ATTENTION,            /* head_kernels (attention_head.h) */
    KERNEL_WINOGRAD,             /* winograd_kernels (winograd_kernels.h) */
    KERNEL_BF16_CONV,            /* conv_algorithm (conv_algorithms.h), bf16 activations */
    KERNEL_BF16_WEIGHT_GRADIENT, /* weight_gradient_algorithm, bf16 activations */
    KERNEL_FAMILIES
} kernel_family;

typedef struct kernel_variant {
    kernel_family family;
    const char *name; /* "norm by AVX-512 with bf16" */
    cpu_features needs;
    const void *kernels; /* NULL: with this set the library's convolutions are faster */
} kernel_variant;

extern const kernel_variant kernel_variants[];
extern const int kernel_variant_count;

/* The first variant of a family that this processor can run (last NULL), or the next one after
 * `last`. NULL if there is none. Local. */
const kernel_variant *kernel_variant_next(kernel_family family, const kernel_variant *last);

/* The kernels of the first variant; NULL if there is none or the library is to be used. Local. */
const void *kernel_best(kernel_family family);

#endif
