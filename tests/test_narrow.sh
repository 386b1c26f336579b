#!/bin/bash
# What the oneDNN engine does on lesser processors, tested wherever the tests run. With AVX2 alone:
# Winograd in bf16 too, layouts of its own for other convolutions, and bf16 numbers multiplied by way
# of f32. With AVX-512 that multiplies bf16 but not in tiles (AMX): oneDNN's convolutions in bf16.
set -eu
for isa in AVX2 AVX512_CORE_BF16; do
    for name in kernels plan unet; do
        ONEDNN_MAX_CPU_ISA=$isa "${BUILD:-build}/tests/test_$name"
    done
done
