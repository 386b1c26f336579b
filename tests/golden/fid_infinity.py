#!/usr/bin/env python3
"""Makes fid_infinity.h: extrapolated Frechet distances by numpy, for tests/test_fid_infinity.c.

Run from the top: python3 tests/golden/fid_infinity.py > tests/golden/fid_infinity.h
"""
import numpy as np
from features import features
from philox import subset

SEED = 9
SIZES = (40, 55, 80, 100)
# dim, n_a, n_b, draws, whole reference
CASES = [(3, 120, 150, 2, 0), (6, 200, 100, 3, 0), (6, 70, 100, 1, 1)]


def frechet(a, b):
    gap = a.mean(0) - b.mean(0)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(ca @ cb).astype(complex)).real.sum()
    return gap @ gap + np.trace(ca) + np.trace(cb) - 2 * root


print("/* Made by tests/golden/fid_infinity.py with numpy. */")
print("#include <stdint.h>\n")
print(f"enum {{ GOLDEN_SEED = {SEED}, GOLDEN_SIZES = {len(SIZES)} }};")
print(f"static const int64_t GOLDEN_SIZE[] = {{{', '.join(map(str, SIZES))}}};")
print("static const struct golden_fid_infinity {")
print("    int dim, n_a, n_b, draws, whole;")
print("    double intercept, slope, fid[GOLDEN_SIZES];")
print("} golden_fid_infinity[] = {")
for dim, n_a, n_b, draws, whole in CASES:
    a, b = features(n_a, dim, 0), features(n_b, dim, 1)
    fid = []
    for i, n in enumerate(SIZES):
        indices = range(i * draws, (i + 1) * draws)
        fid.append(np.mean([frechet(a if whole else a[subset(SEED, k, 0, n_a, n)],
                                    b[subset(SEED, k, 1, n_b, n)]) for k in indices]))
    slope, intercept = np.polyfit(1 / np.array(SIZES), fid, 1)
    print(f"    {{{dim}, {n_a}, {n_b}, {draws}, {whole}, {intercept:.15g}, {slope:.15g},")
    print(f"     {{{', '.join(f'{v:.15g}' for v in fid)}}}}},")
print("};")
