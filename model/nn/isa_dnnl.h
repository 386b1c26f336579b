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

static inline bool isa_multiplies_bf16(void) { return isa_allows(dnnl_cpu_isa_avx512_core_bf16); }

/* AMX. Asking is asking the operating system for tiles besides. */
static inline bool isa_tiles(void) { return isa_allows(dnnl_cpu_isa_avx512_core_amx); }

#endif
