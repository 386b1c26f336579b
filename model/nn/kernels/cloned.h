/* Function multiversioning: a loop compiled for three feature sets, of which each call runs the
 * clone for the largest set that cpu.h allows. So one binary serves a cluster of different
 * processors.
 *
 *     CLONED(void, add, (float *to, const float *from, int64_t n), (to, from, n)) {
 *         for (int64_t i = 0; i < n; i++) to[i] += from[i];
 *     }
 *
 * defines a static function add(). Meant for inner loops that the compiler vectorises.
 */
#ifndef CTAUG_MODEL_NN_KERNELS_CLONED_H
#define CTAUG_MODEL_NN_KERNELS_CLONED_H

#include "model/nn/kernels/cpu.h"

enum { CLONES = 3 };

/* Index of the clone to call: 0 for x86-64, 1 for x86-64-v3, 2 for x86-64-v4. */
static inline int clone_index(void) {
    const cpu_features set = cpu_available();
    return set < CPU_AVX512 ? (int)set : CLONES - 1;
}

#define CLONED(type, name, parameters, arguments)                                                  \
    static inline __attribute__((always_inline)) type name##_body parameters;                      \
    static type name##_baseline parameters { return name##_body arguments; }                       \
    __attribute__((target("arch=x86-64-v3"))) static type name##_avx2 parameters {                 \
        return name##_body arguments;                                                              \
    }                                                                                              \
    __attribute__((target("arch=x86-64-v4"))) static type name##_avx512 parameters {               \
        return name##_body arguments;                                                              \
    }                                                                                              \
    static type name parameters {                                                                  \
        static type(*const clone[CLONES])                                                          \
            parameters = {name##_baseline, name##_avx2, name##_avx512};                            \
        return clone[clone_index()] arguments;                                                     \
    }                                                                                              \
    static inline __attribute__((always_inline)) type name##_body parameters

#endif
