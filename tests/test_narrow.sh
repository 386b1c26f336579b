#!/bin/bash
# What the oneDNN engine does on lesser processors, tested wherever the tests run. With AVX2 alone:
# Winograd in bf16 too, layouts of its own for other convolutions, and bf16 numbers multiplied by way
# of f32. With AVX-512 that knows no bf16: the library's convolutions, bf16 by way of f32. With one that
# does, but not in tiles (AMX): bf16 by vectors, or by way of f32 where that is quicker.
set -eu
lesser=AVX2
grep -qw avx512bw /proc/cpuinfo && lesser="$lesser AVX512_CORE"
grep -qw amx_bf16 /proc/cpuinfo && lesser="$lesser AVX512_CORE_BF16"
for isa in $lesser; do
    for name in kernels kernels_attention plan unet; do
        ONEDNN_MAX_CPU_ISA=$isa "${BUILD:-build}/tests/test_$name"
    done
done
