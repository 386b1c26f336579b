#!/usr/bin/env python3
"""Makes surface.h: surface distances and components by scipy.ndimage, for tests/test_surface.c.

Volumes follow from a formula of integers that the test repeats: an ellipsoid of label 1, of which
a part of the voxels is replaced by 0 or 2.
Run from the top: python3 tests/golden/surface.py > tests/golden/surface.h
"""
import numpy as np
from scipy import ndimage

# shape, spacing, square of the radius of truth and prediction, shift of the prediction, voxels of
# 256 that are replaced, tolerance
CASES = [
    ((12, 20, 18), (1, 1, 1), 300, 300, (0, 2, 1), 0, 1),
    ((9, 24, 31), (3, 0.7, 0.7), 260, 420, (1, -2, 3), 0, 2.1),
    ((16, 16, 16), (1, 0.5, 2), 900, 250, (0, 0, 0), 10, 1.5),
    ((7, 30, 30), (5, 0.8, 0.9), 500, 450, (-1, 4, -3), 120, 0.8),
    ((10, 12, 14), (2.5, 1.1, 0.6), 5000, 5000, (0, 0, 0), 30, 1),  # the whole volume
    ((1, 15, 11), (4, 1, 1), 60, 80, (0, 1, 1), 20, 1),
]


def volume(shape, radius, shift, noise, which):
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    dz, dy, dx = z - shape[0] // 2 - shift[0], y - shape[1] // 2 - shift[1], x - shape[2] // 2 - shift[2]
    v = (9 * dz**2 + 4 * dy**2 + 5 * dx**2 < radius).astype(np.uint8)
    h = ((z * 7331 + y * 1793 + x * 283 + which * 99991 + 17) * 2654435761 % 2**32) // 2**24
    v[h < noise] = 2 * (h[h < noise] % 2)
    return v


def surface(mask):
    return mask & ~ndimage.binary_erosion(mask, ndimage.generate_binary_structure(3, 1), border_value=0)


def numbered(mask):
    """Components in the order of their first voxels, and their sizes."""
    raw, count = ndimage.label(mask, np.ones((3, 3, 3)))
    first = {}
    for i in raw.ravel():
        if i and i not in first:
            first[i] = len(first) + 1
    number = np.vectorize(lambda i: first.get(i, 0))(raw)
    return number, np.bincount(number.ravel(), minlength=count + 1)[1:]


print("/* Made by tests/golden/surface.py with scipy.ndimage. */")
print("#include <stdint.h>\n")
print("static const struct golden_surface {")
print("    int64_t shape[3];")
print("    double spacing[3];")
print("    int radius[2], shift[3], noise;")
print("    double tolerance;")
print("    double hd95, nsd, volume_error, distances; /* the last: sum of the transform of the truth */")
print("    int components, largest, checksum; /* sum of voxel index * component, modulo 1000003 */")
print("} golden_surface[] = {")
for shape, spacing, r_t, r_p, shift, noise, tolerance in CASES:
    truth = volume(shape, r_t, (0, 0, 0), noise, 0) == 1
    predicted = volume(shape, r_p, shift, noise, 1) == 1
    s_t, s_p = surface(truth), surface(predicted)
    to_t = ndimage.distance_transform_edt(~s_t, sampling=spacing)[s_p]
    to_p = ndimage.distance_transform_edt(~s_p, sampling=spacing)[s_t]
    hd95 = max(np.percentile(to_t, 95), np.percentile(to_p, 95))
    nsd = np.concatenate([to_t, to_p]) <= tolerance + 1e-6
    error = (predicted.sum() - truth.sum()) / truth.sum()
    distances = ndimage.distance_transform_edt(~truth, sampling=spacing).sum()
    number, sizes = numbered(truth)
    checksum = (np.arange(number.size) * number.ravel()).sum() % 1000003
    values = ", ".join(f"{v:.15g}" for v in (hd95, nsd.mean(), error, distances))
    text = [str(list(v)).replace("[", "{").replace("]", "}") for v in (shape, spacing, (r_t, r_p), shift)]
    print(f"    {{{', '.join(text)}, {noise}, {tolerance}, {values},")
    print(f"     {len(sizes)}, {sizes.max()}, {checksum}}},")
print("};")
