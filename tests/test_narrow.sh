#!/bin/bash
# What the oneDNN engine does on lesser processors, tested wherever the tests run. With AVX2 alone:
# Winograd in bf16 too, layouts of its own for other convolutions, and bf16 numbers multiplied by way
# of f32. With AVX-512 that multiplies bf16 but not in tiles (AMX): oneDNN's convolutions in bf16, and
# attention by vectors.
set -eu
lesser=AVX2
grep -qw amx_bf16 /proc/cpuinfo && lesser="$lesser AVX512_CORE_BF16"
for isa in $lesser; do
    for name in kernels kernels_attention plan unet; do
        ONEDNN_MAX_CPU_ISA=$isa "${BUILD:-build}/tests/test_$name"
    done
done
