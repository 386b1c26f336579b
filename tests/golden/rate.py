#!/usr/bin/env python3
"""Makes rate.h: intervals of rates by scipy, for tests/test_rate.c.

Run from the top: python3 tests/golden/rate.py > tests/golden/rate.h
"""
from scipy import stats

RATES = [(0, 10), (10, 10), (1, 10), (3, 7), (50, 1000), (999, 1000), (37, 60), (123456, 1000000), (1, 1)]
LEVELS = (0.95, 0.8)

print("/* Made by tests/golden/rate.py with scipy. */")
print("#include <stdint.h>\n")
print("static const struct golden_rate {")
print("    int64_t hits, trials;")
print("    double level, wilson_low, wilson_high, exact_low, exact_high;")
print("} golden_rate[] = {")
for hits, trials in RATES:
    for level in LEVELS:
        test = stats.binomtest(hits, trials)
        wilson = test.proportion_ci(level, method="wilson")
        exact = test.proportion_ci(level, method="exact")
        text = ", ".join(f"{v:.15g}" for v in (*wilson, *exact))
        print(f"    {{{hits}, {trials}, {level}, {text}}},")
print("};")
