/* The table of engines, and the lookups in it. */
#include "model/nn/kernels.h"
#include "model/nn/kernels/cpu.h"
#include "model/nn/kernels/engines.h"

#include <string.h>

static const struct row {
    const char *name;
    const kernels *kernels;
    const char *(*version)(void); /* of its library; NULL: it has none */
} TABLE[] = {[ENGINE_ONEDNN] = {"onednn", &kernels_onednn, kernels_onednn_version},
             [ENGINE_OPENBLAS] = {"openblas", &kernels_openblas, kernels_openblas_version},
             [ENGINE_REFERENCE] = {"reference", &kernels_reference, NULL}};

const named_table engine_kinds = NAMED_TABLE("engine", TABLE);

const kernels *kernels_of(engine_kind engine) { return TABLE[engine].kernels; }

const char *kernels_library_version(engine_kind engine) {
    return TABLE[engine].version ? TABLE[engine].version() : "";
}

bool kernels_bf16_native(void) { return cpu_has(CPU_AVX512_BF16); }
