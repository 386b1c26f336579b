#!/bin/bash
# The engines on narrower processors: ONEDNN_MAX_CPU_ISA limits oneDNN and our own kernels, so the
# variants of every feature set below that of this processor are tested here.
#   AVX2              Winograd in bf16 too, blocked layouts for the other convolutions, bf16 values
#                     multiplied in f32
#   AVX512_CORE       no bf16 products: oneDNN's convolutions, bf16 values multiplied in f32
#   AVX512_CORE_BF16  no AMX: bf16 products with vectors, or in f32 where that is faster
set -eu
build=${BUILD:-build}
narrow() { # ISA of oneDNN, our name of the feature set
    export ONEDNN_MAX_CPU_ISA=$1
    "$build/tests/test_kernel_variants" "$2"
    for name in kernels kernels_attention plan unet; do
        "$build/tests/test_$name"
    done
}
grep -qw avx2 /proc/cpuinfo && narrow AVX2 AVX2
grep -qw avx512bw /proc/cpuinfo && narrow AVX512_CORE AVX-512
grep -qw amx_bf16 /proc/cpuinfo && narrow AVX512_CORE_BF16 "AVX-512 with bf16"
exit 0
