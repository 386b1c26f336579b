/* Detects the processor's feature set once and applies the limit that tests set. */
#include "model/nn/kernels/cpu.h"

#include "model/nn/kernels/onednn/onednn_isa.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static cpu_features detected;
static cpu_features limit = CPU_AMX;

/* oneDNN checks AVX2 alone; the compiler's feature set x86-64-v3 contains more. */
static bool has_all_of_avx2(void) {
#ifdef __clang__ /* does not accept the name of the set */
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2");
#else
    return __builtin_cpu_supports("x86-64-v3");
#endif
}

static void detect(void) {
    detected = onednn_cpu_features();
    if (!has_all_of_avx2()) detected = CPU_BASELINE;
}

cpu_features cpu_available(void) {
    pthread_once(&once, detect);
    return detected < limit ? detected : limit;
}

void cpu_limit(cpu_features max) { limit = max; }

const char *cpu_features_name(cpu_features set) {
    static const char *const names[CPU_FEATURE_SETS] = {[CPU_BASELINE] = "x86-64",
                                                        [CPU_AVX2] = "AVX2",
                                                        [CPU_AVX512] = "AVX-512",
                                                        [CPU_AVX512_BF16] = "AVX-512 with bf16",
                                                        [CPU_AMX] = "AMX"};
    return names[set];
}

bool cpu_prefers_bf16(void) {
    return cpu_has(CPU_AMX) || (cpu_has(CPU_AVX512_BF16) && !__builtin_cpu_is("intel"));
}
