#!/usr/bin/env python3
"""Makes ms_ssim.h: structural similarities by numpy and scipy, for tests/test_ms_ssim.c.

The window is applied as a whole by scipy.signal, not separated. Images follow from a formula that
the test repeats; the last case has the opposite sign.
Run from the top: python3 tests/golden/ms_ssim.py > tests/golden/ms_ssim.h
"""
import numpy as np
from philox import SUBSET, Stream
from scipy import signal

SEED, PAIRS, IMAGES, PAIR_SIZE, PAIR_RANGE = 3, 12, 5, 30, 2.5
CASES = [(200, 2, 1, 1), (176, 1, 2, 1), (175, 1, 2, 1), (64, 255, 1, 1), (45, 2, 1, 1), (11, 2, 1, 1),
         (64, 2, 1, -1)]  # size, range, number of the second image, sign of the second image
WEIGHTS = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])


def image(size, which):
    r, c = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    x = np.sin(0.11 * r * (1 + 0.02 * which) + 0.05 * c) + 0.2 * np.cos(1.9 * r * c + which)
    return x.astype(np.float32).astype(np.float64)


def similarity(a, b, value_range, single=False):
    at = np.arange(11) - 5
    window = np.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5**2))
    window /= window.sum()
    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    means = []
    while len(means) < 5 and len(a) >= 11:
        def local(x):
            return signal.convolve2d(x, window, mode="valid")

        mu_a, mu_b = local(a), local(b)
        var_a, var_b, cov = local(a * a) - mu_a**2, local(b * b) - mu_b**2, local(a * b) - mu_a * mu_b
        cs = (2 * cov + c2) / (var_a + var_b + c2)
        whole = cs * (2 * mu_a * mu_b + c1) / (mu_a**2 + mu_b**2 + c1)
        means.append((max(cs.mean(), 0), whole.mean()))
        half = len(a) // 2
        a, b = (x[:2 * half, :2 * half].reshape(half, 2, half, 2).mean((1, 3)) for x in (a, b))
    weights = WEIGHTS[:len(means)] / WEIGHTS[:len(means)].sum()
    if single:
        return means[0][1]
    factors = [m[0] for m in means[:-1]] + [max(means[-1][1], 0)]
    return np.prod(np.array(factors) ** weights)


def pair(i):
    stream = Stream(SEED, SUBSET, i, 2)
    first, second = stream.below(IMAGES), stream.below(IMAGES - 1)
    return first, second + (second >= first)


print("/* Made by tests/golden/ms_ssim.py with numpy and scipy. */")
print("static const struct golden_ms_ssim {")
print("    int size;")
print("    double range;")
print("    int which, sign;")
print("    double similarity, single; /* of all scales, of the first one */")
print("} golden_ms_ssim[] = {")
for size, value_range, which, sign in CASES:
    s, one = (similarity(image(size, 0), sign * image(size, which), value_range, single)
              for single in (False, True))
    print(f"    {{{size}, {value_range}, {which}, {sign}, {s:.15g}, {one:.15g}}},")
print("};")
values = [similarity(image(PAIR_SIZE, a), image(PAIR_SIZE, b), PAIR_RANGE) for a, b in map(pair, range(PAIRS))]
print(f"enum {{ GOLDEN_SEED = {SEED}, GOLDEN_PAIRS = {PAIRS}, GOLDEN_IMAGES = {IMAGES}, GOLDEN_SIZE = {PAIR_SIZE} }};")
print(f"static const double GOLDEN_RANGE = {PAIR_RANGE}, GOLDEN_MEAN = {np.mean(values):.15g};")
print(f"static const double GOLDEN_PAIR[GOLDEN_PAIRS] = {{{', '.join(f'{v:.15g}' for v in values)}}};")
