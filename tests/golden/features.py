"""Feature vectors by a formula that the tests repeat, for the scripts of this folder."""
import numpy as np


def features(n, dim, which):
    r, i = np.meshgrid(np.arange(n), np.arange(dim), indexing="ij")
    x = np.sin(1.3 * r * (i + 1) + which) + 0.3 * np.cos(0.7 * r + i * i) * (1 + which) + 0.1 * i * which
    return x.astype(np.float32).astype(np.float64)
