/* The table of engines, and a constant they share. */
#include "model/nn/kernels.h"
#include "model/nn/kernels_fast.h"

const float fast_exp_ends[2] = {-87.3f, 88.3f};

status kernels_find(const char *name, const kernels **out) {
    static const kernels *const engines[] = {&kernels_onednn, &kernels_openblas,
                                             &kernels_reference};
    *out = NULL;
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
        if (strcmp(name, engines[i]->name) == 0) *out = engines[i];
    }
    if (*out) return ST_OK;
    return status_fail(ST_USAGE, "no engine \"%s\": choose onednn, openblas or reference", name);
}

const char *kernels_library_version(const char *name) {
    if (strcmp(name, kernels_onednn.name) == 0) return kernels_onednn_version();
    if (strcmp(name, kernels_openblas.name) == 0) return kernels_openblas_version();
    return "";
}

bool kernels_bf16_native(void) { return __builtin_cpu_supports("avx512bf16") != 0; }
