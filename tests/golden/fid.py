#!/usr/bin/env python3
"""Makes fid.h: Frechet distances by numpy in f64, for tests/test_fid.c.

The trace of the root of A B is computed from the eigenvalues of the product, which is not symmetric:
another algorithm than that of model/metric/fid.c.
Run from the top: python3 tests/golden/fid.py > tests/golden/fid.h
"""
import numpy as np
from features import features

CASES = [(3, 50, 70), (8, 200, 150), (24, 15, 400), (40, 30, 20)]  # dim, n of a, n of b


def frechet(a, b):
    gap = a.mean(0) - b.mean(0)
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    root = np.sqrt(np.linalg.eigvals(ca @ cb).astype(complex)).real.sum()
    return gap @ gap + np.trace(ca) + np.trace(cb) - 2 * root


print("/* Made by tests/golden/fid.py with numpy: dim, n of a, n of b, distance. */")
print("static const struct golden_fid {")
print("    int dim, n_a, n_b;")
print("    double distance;")
print("} golden_fid[] = {")
for dim, n_a, n_b in CASES:
    d = frechet(features(n_a, dim, 0), features(n_b, dim, 1))
    print(f"    {{{dim}, {n_a}, {n_b}, {d:.15g}}},")
print("};")
