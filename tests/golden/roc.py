#!/usr/bin/env python3
"""Makes roc.h: areas under the curve and rates by scipy, for tests/test_roc.c.

Scores follow from a formula that the test repeats; those of a step > 0 have ties.
Run from the top: python3 tests/golden/roc.py > tests/golden/roc.h
"""
import numpy as np
import scipy.stats
from philox import BOOTSTRAP, Stream

SEED, RESAMPLES = 21, 50
# positive and negative items, step, fpr
CASES = [(40, 70, 0, 0.1), (25, 100, 0, 0.29), (60, 50, 0.25, 0.1), (7, 5, 0.5, 0), (30, 30, 0, 1)]


def scores(n, shift, step):
    i = np.arange(n)
    x = np.sin(2.3 * i + shift) + shift + 0.3 * np.cos(i * i)
    return np.floor(x / step + 0.5) * step if step else x


def auc(positive, negative):
    u = scipy.stats.mannwhitneyu(positive, negative, method="asymptotic").statistic
    return u / (len(positive) * len(negative))


def tpr(positive, negative, fpr):
    best = 0
    for threshold in np.concatenate([positive, negative]):
        if (negative >= threshold).mean() <= fpr + 1e-12:
            best = max(best, (positive >= threshold).mean())
    return best


def draw(x, resample, step):
    stream = Stream(SEED, BOOTSTRAP, resample, step)
    return x[[stream.below(len(x)) for _ in x]]


print("/* Made by tests/golden/roc.py with scipy. */")
print(f"enum {{ GOLDEN_SEED = {SEED}, GOLDEN_RESAMPLES = {RESAMPLES} }};")
print("static const struct golden_roc {")
print("    int positives, negatives;")
print("    double step, fpr, auc, tpr;")
print("    double mean_auc, mean_tpr, last_auc, last_tpr; /* of the resamples */")
print("} golden_roc[] = {")
for positives, negatives, step, fpr in CASES:
    p, n = scores(positives, 0.6, step), scores(negatives, 0, step)
    pairs = [(draw(p, i, 0), draw(n, i, 1)) for i in range(RESAMPLES)]
    drawn = np.array([(auc(a, b), tpr(a, b, fpr)) for a, b in pairs])
    numbers = [auc(p, n), tpr(p, n, fpr), *drawn.mean(0), *drawn[-1]]
    text = ", ".join(f"{v:.15g}" for v in numbers)
    print(f"    {{{positives}, {negatives}, {step}, {fpr}, {text}}},")
print("};")
