/* What oneDNN may use of this processor, which our own convolutions and tiles keep to as well: so its
 * switch, ONEDNN_MAX_CPU_ISA, is theirs too. Private to model/nn. Local. */
#ifndef CTAUG_MODEL_NN_ISA_DNNL_H
#define CTAUG_MODEL_NN_ISA_DNNL_H

#include <oneapi/dnnl/dnnl.h>
#include <stdbool.h>

static inline bool isa_allows(dnnl_cpu_isa_t isa) {
    return (dnnl_get_effective_cpu_isa() & isa) == isa;
}

/* Vectors of 16 numbers rather than 8. */
static inline bool isa_wide(void) { return isa_allows(dnnl_cpu_isa_avx512_core); }

/* Vectors of bf16 numbers. */
static inline bool isa_bf16(void) { return isa_allows(dnnl_cpu_isa_avx512_core_bf16); }

/* AMX. Asking is asking the operating system for tiles besides. */
static inline bool isa_tiles(void) { return isa_allows(dnnl_cpu_isa_avx512_core_amx); }

/* Whether products of bf16 numbers are quicker than of the same numbers in f32. By vectors they are
 * not on an Emerald Rapids, which stands for Intel's here: a core adds 86 GFLOP/s of bf16 products and
 * 176 of f32, and two trained R64 at 163 and 407. On a Zen 5 the library's convolutions in bf16 are
 * twice as fast as in f32. */
static inline bool isa_bf16_quicker(void) {
    return isa_tiles() || (isa_bf16() && !__builtin_cpu_is("intel"));
}

#endif
