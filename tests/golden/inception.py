"""Makes tests/golden/inception.txt: features that PyTorch computes with Inception v3 from
parameters and an image that follow from a formula.

Usage: inception.py > inception.txt (Debian's python3-torch; needed only to make the file again)

The network is implemented independently, from the tables of Szegedy et al. 2016 and the
differences that model/net/inception_v3.h names, on a function that gives parameters by name and
shape. tests/test_inception_v3.c repeats the formulas; tests/test_inception.py uses network() with
other parameters.
"""
import math
import sys

import numpy as np
import torch
import torch.nn.functional as F

IMAGE_SIZE = 32


def network(get, x):
    """Features [n, 2048] of grey images x [n, size, size] in [-1, 1]. get(name, *shape): a
    tensor."""

    def unit(name, x, out, kernel, stride=1, pad=None):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        pad = [k // 2 for k in kernel] if pad is None else pad
        x = F.conv2d(x, get(f"{name}.conv.weight", out, x.shape[1], *kernel), None, stride, pad)
        x = F.batch_norm(x, get(f"{name}.bn.running_mean", out), get(f"{name}.bn.running_var", out),
                         get(f"{name}.bn.weight", out), get(f"{name}.bn.bias", out), False, 0.0, 1e-3)
        return F.relu(x)

    def chain(block, x, *units):
        for name, *rest in units:
            x = unit(f"{block}.{name}", x, *rest)
        return x

    def mean_pool(x):
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)

    x = F.interpolate(x[:, None].repeat(1, 3, 1, 1), (299, 299), mode="bilinear", align_corners=False)
    x = unit("Conv2d_1a_3x3", x, 32, 3, 2, 0)
    x = unit("Conv2d_2a_3x3", x, 32, 3, 1, 0)
    x = F.max_pool2d(unit("Conv2d_2b_3x3", x, 64, 3), 3, 2)
    x = unit("Conv2d_3b_1x1", x, 80, 1)
    x = F.max_pool2d(unit("Conv2d_4a_3x3", x, 192, 3, 1, 0), 3, 2)
    for b, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = torch.cat([
            chain(b, x, ("branch1x1", 64, 1)),
            chain(b, x, ("branch5x5_1", 48, 1), ("branch5x5_2", 64, 5)),
            chain(b, x, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3),
                  ("branch3x3dbl_3", 96, 3)),
            chain(b, mean_pool(x), ("branch_pool", pooled, 1))], 1)
    b = "Mixed_6a"
    x = torch.cat([
        chain(b, x, ("branch3x3", 384, 3, 2, 0)),
        chain(b, x, ("branch3x3dbl_1", 64, 1), ("branch3x3dbl_2", 96, 3),
              ("branch3x3dbl_3", 96, 3, 2, 0)),
        F.max_pool2d(x, 3, 2)], 1)
    for b, c in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = torch.cat([
            chain(b, x, ("branch1x1", 192, 1)),
            chain(b, x, ("branch7x7_1", c, 1), ("branch7x7_2", c, (1, 7)),
                  ("branch7x7_3", 192, (7, 1))),
            chain(b, x, ("branch7x7dbl_1", c, 1), ("branch7x7dbl_2", c, (7, 1)),
                  ("branch7x7dbl_3", c, (1, 7)), ("branch7x7dbl_4", c, (7, 1)),
                  ("branch7x7dbl_5", 192, (1, 7))),
            chain(b, mean_pool(x), ("branch_pool", 192, 1))], 1)
    b = "Mixed_7a"
    x = torch.cat([
        chain(b, x, ("branch3x3_1", 192, 1), ("branch3x3_2", 320, 3, 2, 0)),
        chain(b, x, ("branch7x7x3_1", 192, 1), ("branch7x7x3_2", 192, (1, 7)),
              ("branch7x7x3_3", 192, (7, 1)), ("branch7x7x3_4", 192, 3, 2, 0)),
        F.max_pool2d(x, 3, 2)], 1)
    for b in ("Mixed_7b", "Mixed_7c"):
        parts = [chain(b, x, ("branch1x1", 320, 1))]
        h = chain(b, x, ("branch3x3_1", 384, 1))
        parts += [chain(b, h, ("branch3x3_2a", 384, (1, 3))),
                  chain(b, h, ("branch3x3_2b", 384, (3, 1)))]
        h = chain(b, x, ("branch3x3dbl_1", 448, 1), ("branch3x3dbl_2", 384, 3))
        parts += [chain(b, h, ("branch3x3dbl_3a", 384, (1, 3))),
                  chain(b, h, ("branch3x3dbl_3b", 384, (3, 1)))]
        h = mean_pool(x) if b == "Mixed_7b" else F.max_pool2d(x, 3, 1, 1)
        x = torch.cat([*parts, chain(b, h, ("branch_pool", 192, 1))], 1)
    return x.mean((2, 3))


def noise(name, count):
    """`count` numbers of [-1, 1): a hash of their index and the name (lowbias32 of C. Wellons)."""
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    v = np.arange(count, dtype=np.uint32) + np.uint32(h)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        v = (v ^ (v >> np.uint32(shift))) * np.uint32(factor)
    v ^= v >> np.uint32(16)
    return v / 2.0**31 - 1


def parameter(name, *shape):
    """Weights of variance 2 / fan-in (He et al. 2015), moments and gains that keep the scale."""
    values = noise(name, math.prod(shape))
    if name.endswith("conv.weight"):
        values = values * math.sqrt(6 / math.prod(shape[1:]))
    elif name.endswith(("running_var", "bn.weight")):
        values = 1 + 0.3 * values
    else:
        values = 0.3 * values
    return torch.from_numpy(values.astype(np.float32)).reshape(shape)


def main():
    image = noise("image", IMAGE_SIZE**2).astype(np.float32).reshape(1, IMAGE_SIZE, IMAGE_SIZE)
    double = network(lambda *a: parameter(*a).double(), torch.from_numpy(image).double())
    print(*(f"{v:.7g}" for v in double[0].tolist()), sep="\n")


if __name__ == "__main__":
    sys.exit(main())
