/* The feature sets of the processor that the engines may use. No other file queries the processor.
 *
 * Detection is done by oneDNN, so that its environment variable ONEDNN_MAX_CPU_ISA limits our own
 * kernels together with the library's. A test can lower the limit further, for our own kernels
 * only.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_CPU_H
#define CTAUG_MODEL_NN_KERNELS_CPU_H

#include <stdbool.h>

/* Feature sets. Each contains those before it. */
typedef enum cpu_features {
    CPU_BASELINE,    /* x86-64: SSE2 */
    CPU_AVX2,        /* x86-64-v3: AVX2, FMA, BMI 1 and 2 */
    CPU_AVX512,      /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */
    CPU_AVX512_BF16, /* dot products of bf16 vectors: Cooper Lake, Zen 4 and later */
    CPU_AMX          /* products of bf16 matrix tiles: Sapphire Rapids and later */
} cpu_features;

enum { CPU_FEATURE_SETS = CPU_AMX + 1 };

/* The largest feature set that may be used. Detected once. Local. */
cpu_features cpu_available(void);

static inline bool cpu_has(cpu_features needed) { return cpu_available() >= needed; }

/* "AVX2" and the like. Static. Local. */
const char *cpu_features_name(cpu_features set);

/* For tests: uses at most `max` from now on, in this process. CPU_AMX removes the limit. Must not
 * be called while kernels run, nor between the opening of a convolution and its last use. Local. */
void cpu_limit(cpu_features max);

/* Whether bf16 products are faster than f32 products of the same values. With AMX they are. With
 * AVX-512 they are not on Intel's processors, which multiply bf16 vectors at half the rate of f32
 * vectors (see tests/bench/README.md). Local. */
bool cpu_prefers_bf16(void);

#endif
