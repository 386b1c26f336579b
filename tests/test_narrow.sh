#!/bin/bash
# What the oneDNN engine does on processors with AVX2 alone, tested wherever the tests run: Winograd,
# layouts of its own for other convolutions, and bf16 numbers multiplied by way of f32.
set -eu
export ONEDNN_MAX_CPU_ISA=AVX2
for name in kernels plan unet; do
    "${BUILD:-build}/tests/test_$name"
done
