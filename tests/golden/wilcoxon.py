#!/usr/bin/env python3
"""Makes wilcoxon.h: signed-rank tests by scipy, for tests/test_wilcoxon.c.

Differences follow from a formula that the test repeats. Those of a step > 0 are rounded to its
multiples and so have ties and zeros.
Run from the top: python3 tests/golden/wilcoxon.py > tests/golden/wilcoxon.h
"""
import warnings

import numpy as np
import scipy.stats

# n, shift, step
CASES = [(1, 0.1, 0), (5, 0.2, 0), (12, 0.5, 0), (12, 0.1, 0), (30, 0.3, 0), (50, 0.02, 0), (50, 0.6, 0),
         (51, 0.02, 0), (60, 0.3, 0), (300, 0.1, 0), (10, 0.3, 0.5), (60, 0.3, 0.25), (60, -0.2, 0.5),
         (7, 2, 1.5)]


def differences(n, shift, step):
    i = np.arange(n)
    x = np.sin(1.7 * i) + 0.3 * np.cos(0.9 * i * i) + shift
    return np.floor(x / step + 0.5) * step if step else x


warnings.simplefilter("ignore")  # the approximation for few pairs
print("/* Made by tests/golden/wilcoxon.py with scipy. */")
print("static const struct golden_wilcoxon {")
print("    int n;")
print("    double shift, step;")
print("    int zeros, exact;")
print("    double p, effect;")
print("} golden_wilcoxon[] = {")
for n, shift, step in CASES:
    d = differences(n, shift, step)
    kept = d[d != 0]
    ties = len(set(np.abs(kept))) < len(kept)
    exact = len(kept) <= 50 and len(kept) == n and not ties
    p = scipy.stats.wilcoxon(d, zero_method="wilcox", correction=True,
                             mode="exact" if exact else "approx").pvalue
    ranks = scipy.stats.rankdata(np.abs(kept))
    effect = (ranks * np.sign(kept)).sum() / ranks.sum()
    print(f"    {{{n}, {shift}, {step}, {n - len(kept)}, {int(exact)}, {p:.15g}, {effect:.15g}}},")
print("};")
