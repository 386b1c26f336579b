#!/usr/bin/env python3
"""Makes bootstrap.h: bootstrap means and intervals by numpy and scipy, for tests/test_bootstrap.c.

Values follow from a formula that the test repeats. A resample is gathered by index, value by value,
and averaged by nanmean: another algorithm than the weights of model/metric/bootstrap.c.
Run from the top: python3 tests/golden/bootstrap.py > tests/golden/bootstrap.h
"""
import warnings

import numpy as np
import scipy.stats
from philox import BOOTSTRAP, Stream

SEED, RESAMPLES, LEVEL = 77, 400, 0.9
# sets, seeds, patients, number of trainings, every how many-th value is undefined
CASES = [(1, 1, 30, 0, 0), (3, 3, 20, 0, 7), (2, 4, 12, 5, 3), (3, 1, 5, 0, 2)]
MEASURES = 2


def values(sets, seeds, patients, hole):
    """[measures][sets][seeds][patients]"""
    i = np.arange(MEASURES * sets * seeds * patients)
    x = np.sin(1.7 * i) + 0.4 * np.cos(0.3 * (i % patients)) ** 3 + 0.2 * (i // patients)
    if hole:
        x[i % hole == 0] = np.nan
    return x.reshape(MEASURES, sets, seeds, patients)


def statistic(x):
    """x: [trainings][patients] of one measure"""
    return np.nanmean(np.nanmean(x, axis=0))


def resample(x, trainings, index):
    sets, seeds, patients = x.shape
    stream = Stream(SEED, BOOTSTRAP, index, 0)
    who = [stream.below(patients) for _ in range(patients)]
    stream = Stream(SEED, BOOTSTRAP, index, 1 + trainings)
    rows = []
    for _ in range(sets):
        s = stream.below(sets)
        rows += [x[s, stream.below(seeds)][who] for _ in range(seeds)]
    return statistic(np.array(rows))


def bca(estimate, drawn, left_out):
    drawn = drawn[~np.isnan(drawn)]
    normal = scipy.stats.norm
    tie = np.isclose(drawn, estimate, rtol=0, atol=1e-12)  # sums in another order differ by rounding
    bias = normal.ppf(((drawn < estimate) & ~tie).mean() + 0.5 * tie.mean())
    gap = np.nanmean(left_out) - left_out[~np.isnan(left_out)]
    a = (gap**3).sum() / (6 * (gap**2).sum() ** 1.5)
    z = bias + normal.ppf([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return np.quantile(drawn, normal.cdf(bias + z / (1 - a * z)))


warnings.simplefilter("ignore")  # means of nothing are NAN, as intended
print("/* Made by tests/golden/bootstrap.py with numpy and scipy. Intervals: percentile, BCa. */")
print(f"enum {{ GOLDEN_SEED = {SEED}, GOLDEN_RESAMPLES = {RESAMPLES}, GOLDEN_MEASURES = {MEASURES} }};")
print(f"static const double GOLDEN_LEVEL = {LEVEL};")
print("static const struct golden_bootstrap {")
print("    int sets, seeds, patients, trainings, hole, measure, undefined;")
print("    double mean, drawn_0, drawn_last, low, high, bca_low, bca_high;")
print("} golden_bootstrap[] = {")
for sets, seeds, patients, trainings, hole in CASES:
    for measure, x in enumerate(values(sets, seeds, patients, hole)):
        rows = x.reshape(-1, patients)
        mean = statistic(rows)
        drawn = np.array([resample(x, trainings, i) for i in range(RESAMPLES)])
        left_out = np.array([statistic(np.delete(rows, p, axis=1)) for p in range(patients)])
        low, high = np.nanquantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        numbers = [mean, drawn[0], drawn[-1], low, high, *bca(mean, drawn, left_out)]
        text = ", ".join("NAN" if np.isnan(v) else f"{v:.15g}" for v in numbers)
        undefined = np.isnan(drawn).sum()
        print(f"    {{{sets}, {seeds}, {patients}, {trainings}, {hole}, {measure}, {undefined}, {text}}},")
print("};")
