/* What the processor offers, as far as the engines may use it: the one place that is asked.
 *
 * Detection is oneDNN's, so that its environment variable ONEDNN_MAX_CPU_ISA limits our own kernels
 * together with the library's. A test can lower the limit further, for our own kernels only.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_CPU_H
#define CTAUG_MODEL_NN_KERNELS_CPU_H

#include <stdbool.h>

/* Feature sets. Each contains those before it. */
typedef enum cpu_features {
    CPU_BASELINE,    /* x86-64: SSE2 */
    CPU_AVX2,        /* x86-64-v3: AVX2, FMA, BMI 1 and 2 */
    CPU_AVX512,      /* x86-64-v4: AVX-512 F, BW, CD, DQ, VL */
    CPU_AVX512_BF16, /* products of bf16 vectors: Cooper Lake, Zen 4 and later */
    CPU_AMX          /* products of bf16 tiles: Sapphire Rapids and later */
} cpu_features;

enum { CPU_FEATURE_SETS = CPU_AMX + 1 };

/* The largest feature set that may be used. Read once. Local. */
cpu_features cpu_available(void);

static inline bool cpu_has(cpu_features needed) { return cpu_available() >= needed; }

/* "AVX2" and the like. */
const char *cpu_features_name(cpu_features set);

/* For tests: no more than `most` from now on, in this process. CPU_AMX lifts the limit. Not while
 * kernels run, and not between a convolution's opening and its last use. */
void cpu_limit(cpu_features most);

/* Whether products of bf16 numbers are faster than of the same numbers in f32. With vectors they
 * are not on Intel's processors: an Emerald Rapids multiplies bf16 vectors at half the rate of f32.
 */
bool cpu_prefers_bf16(void);

#endif
