/* Kernels that exist in several variants, one for each kind of processor: the table of them all.
 *
 * Within a family the widest variant comes first, and the first that the processor can run is
 * taken. tests/test_kernel_variants.c walks all rows. (Loops that the compiler turns into vectors
 * by itself have their variants in cloned.h.)
 */
#ifndef CTAUG_MODEL_NN_KERNELS_VARIANTS_H
#define CTAUG_MODEL_NN_KERNELS_VARIANTS_H

#include "model/nn/kernels/cpu.h"

/* What a family's kernels are. */
typedef enum kernel_family {
    KERNEL_NORM,                 /* norm_loops (norm_loops.h) */
    KERNEL_ATTENTION,            /* head_kernels (attention_head.h) */
    KERNEL_WINOGRAD,             /* winograd_kernels (winograd_kernels.h) */
    KERNEL_BF16_CONV,            /* conv_algorithm (conv_algorithms.h) between bf16 activations */
    KERNEL_BF16_WEIGHT_GRADIENT, /* weight_gradient_algorithm (conv_algorithms.h), likewise */
    KERNEL_FAMILIES
} kernel_family;

typedef struct kernel_variant {
    kernel_family family;
    const char *name; /* "norm by AVX-512 with bf16" */
    cpu_features needs;
    const void *kernels; /* NULL: here the library's convolutions are faster than ours */
} kernel_variant;

extern const kernel_variant kernel_variants[];
extern const int kernel_variant_count;

/* The first variant of a family that this processor can run, or the next one after `last`; NULL if
 * there is none. Local. */
const kernel_variant *kernel_variant_next(kernel_family family, const kernel_variant *last);

/* The kernels of the first; NULL if there is none or the library's are to be taken. Local. */
const void *kernel_best(kernel_family family);

#endif
