/* The table of kernel variants and the choice of a row for this processor. */
#include "model/nn/kernels/variants.h"

#include "model/nn/kernels/attention_head.h"
#include "model/nn/kernels/conv_algorithms.h"
#include "model/nn/kernels/norm_loops.h"
#include "model/nn/kernels/winograd_kernels.h"

#include <stddef.h>

const kernel_variant kernel_variants[] = {
    {KERNEL_NORM, "norm by AVX-512 with bf16", CPU_AVX512_BF16, &norm_loops_avx512},
    {KERNEL_NORM, "norm by compiler-vectorised loops", CPU_BASELINE, &norm_loops_plain},

    {KERNEL_ATTENTION, "attention by AMX", CPU_AMX, &head_amx},
    {KERNEL_ATTENTION, "attention by AVX-512 with bf16", CPU_AVX512_BF16, &head_avx512},
    {KERNEL_ATTENTION, "attention by the library's products", CPU_BASELINE, &head_plain},

    {KERNEL_WINOGRAD, "Winograd by AVX-512 with bf16", CPU_AVX512_BF16, &winograd_avx512},
    {KERNEL_WINOGRAD, "convolution by the library", CPU_AVX512, NULL},
    {KERNEL_WINOGRAD, "Winograd by AVX2", CPU_AVX2, &winograd_avx2},

    {KERNEL_BF16_CONV, "bf16 convolution by AMX", CPU_AMX, &conv_amx},

    {KERNEL_BF16_WEIGHT_GRADIENT, "bf16 weight gradient by AMX", CPU_AMX, &weight_gradient_amx},
    {KERNEL_BF16_WEIGHT_GRADIENT, "bf16 weight gradient by AVX-512", CPU_AVX512_BF16,
     &weight_gradient_avx512},
};
const int kernel_variant_count = sizeof kernel_variants / sizeof kernel_variants[0];

const kernel_variant *kernel_variant_next(kernel_family family, const kernel_variant *last) {
    for (int i = last ? (int)(last - kernel_variants) + 1 : 0; i < kernel_variant_count; i++)
        if (kernel_variants[i].family == family && cpu_has(kernel_variants[i].needs))
            return &kernel_variants[i];
    return NULL;
}

const void *kernel_best(kernel_family family) {
    const kernel_variant *first = kernel_variant_next(family, NULL);
    return first ? first->kernels : NULL;
}
