#!/usr/bin/env python3
"""Makes kid.h: kernel distances by numpy in f64 on the same subsets, for tests/test_kid.c.

Run from the top: python3 tests/golden/kid.py > tests/golden/kid.h
"""
import numpy as np
from features import features
from philox import BOOTSTRAP, Stream, subset

SEED, RESAMPLES, LEVEL = 5, 200, 0.8
CASES = [(4, 30, 40, 6, 10), (33, 300, 290, 3, 270), (2, 9, 8, 5, 2)]  # dim, n_a, n_b, subsets, size


def discrepancy(x, y):
    m, dim = x.shape

    def kernel(u, v):
        return ((u[:, None, :] * v[None, :, :]).sum(-1) / dim + 1) ** 3

    off = ~np.eye(m, dtype=bool)
    return kernel(x, x)[off].mean() + kernel(y, y)[off].mean() - 2 * kernel(x, y).mean()


print("/* Made by tests/golden/kid.py with numpy. */")
print(f"enum {{ GOLDEN_SEED = {SEED}, GOLDEN_RESAMPLES = {RESAMPLES} }};")
print(f"static const double GOLDEN_LEVEL = {LEVEL};")
print("static const struct golden_kid {")
print("    int dim, n_a, n_b, subsets, size;")
print("    double first, mean, low, high;")
print("} golden_kid[] = {")
for dim, n_a, n_b, subsets, size in CASES:
    a, b = features(n_a, dim, 0), features(n_b, dim, 1)
    value = np.array([discrepancy(a[subset(SEED, i, 0, n_a, size)], b[subset(SEED, i, 1, n_b, size)])
                      for i in range(subsets)])
    drawn = []
    for i in range(RESAMPLES):
        stream = Stream(SEED, BOOTSTRAP, i, 0)
        drawn.append(value[[stream.below(subsets) for _ in range(subsets)]].mean())
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    text = ", ".join(f"{v:.15g}" for v in (value[0], value.mean(), low, high))
    print(f"    {{{dim}, {n_a}, {n_b}, {subsets}, {size}, {text}}},")
print("};")
