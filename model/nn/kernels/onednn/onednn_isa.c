/* oneDNN's instruction sets as feature sets of kernels/cpu.h. */
#include "model/nn/kernels/onednn/onednn_isa.h"

#include <oneapi/dnnl/dnnl.h>

cpu_features onednn_cpu_features(void) {
    static const struct {
        dnnl_cpu_isa_t isa;
        cpu_features set;
    } sets[] = {{dnnl_cpu_isa_avx512_core_amx, CPU_AMX},
                {dnnl_cpu_isa_avx512_core_bf16, CPU_AVX512_BF16},
                {dnnl_cpu_isa_avx512_core, CPU_AVX512},
                {dnnl_cpu_isa_avx2, CPU_AVX2}};
    const dnnl_cpu_isa_t effective = dnnl_get_effective_cpu_isa();
    for (unsigned i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if ((effective & sets[i].isa) == sets[i].isa) return sets[i].set;
    return CPU_BASELINE;
}
