#!/usr/bin/env python3
"""Makes manifold.h: precision, recall, density and coverage by numpy, for tests/test_manifold.c.

Distances are computed from differences: another algorithm than that of model/metric/manifold.c.
Run from the top: python3 tests/golden/manifold.py > tests/golden/manifold.h
"""
import numpy as np
from features import features

CASES = [(3, 50, 70, 3), (8, 300, 150, 5), (5, 131, 400, 1), (40, 30, 20, 7)]  # dim, n_real, n_synthetic, k


def distances(x, y):
    return np.sqrt(((x[:, None, :] - y[None, :, :]) ** 2).sum(-1))


def radii(x, k):
    d = distances(x, x)
    np.fill_diagonal(d, np.inf)
    return np.sort(d, axis=1)[:, k - 1]


print("/* Made by tests/golden/manifold.py with numpy. */")
print("static const struct golden_manifold {")
print("    int dim, n_real, n_synthetic, k;")
print("    double precision, recall, density, coverage;")
print("} golden_manifold[] = {")
for dim, n_real, n_synthetic, k in CASES:
    real, synthetic = features(n_real, dim, 0), features(n_synthetic, dim, 1)
    d = distances(real, synthetic)
    in_real, in_synthetic = d <= radii(real, k)[:, None], d <= radii(synthetic, k)[None, :]
    scores = (in_real.any(0).mean(), in_synthetic.any(1).mean(), in_real.sum(0).mean() / k,
              in_real.any(1).mean())
    print(f"    {{{dim}, {n_real}, {n_synthetic}, {k}, {', '.join(f'{v:.15g}' for v in scores)}}},")
print("};")
