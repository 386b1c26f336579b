#!/usr/bin/env python3
"""Makes shortcut.h: target, loss and gradient of self-consistency of a small shortcut model by
PyTorch, for tests/test_shortcut.c.

Written as in Frans et al. 2024 (arXiv:2410.12557, eq. 4 and 5), whose time runs from noise at 0 to
data at 1 and whose velocity goes the same way: the network predicts the opposite velocity at
1 - time. Steps of 1/128 are asked for with d = 0. All values follow from a formula that the test
repeats. Run from the top (Debian's python3-torch; needed only to make the file again):
python3 tests/golden/shortcut.py | clang-format --assume-filename=x.h > tests/golden/shortcut.h
"""
import math

import torch
import torch.nn.functional as F

SIZE, WIDTH, GROUPS = 6, 16, 8
CASES = ((3 / 4, 1 / 4), (5 / 64, 1 / 64), (1.0, 1.0))  # time from data at 0 to noise at 1, size


def wave(start, *shape):
    n = math.prod(shape)
    return torch.sin(start + 0.7 * torch.arange(n, dtype=torch.float64)).reshape(shape)


SHAPES = [("t.weight", (WIDTH, WIDTH)), ("t.bias", (WIDTH,)), ("d.weight", (WIDTH, WIDTH)),
          ("d.bias", (WIDTH,)), ("a.weight", (WIDTH, 1, 3, 3)), ("a.bias", (WIDTH,)),
          ("e.weight", (2 * WIDTH, WIDTH)), ("e.bias", (2 * WIDTH,)), ("n.weight", (WIDTH,)),
          ("n.bias", (WIDTH,)), ("b.weight", (1, WIDTH, 3, 3)), ("b.bias", (1,))]


def parameters(first):
    return {name: (wave(first + k, *shape) / math.sqrt(shape[-1] if len(shape) < 4
                                                       else 9 * shape[1])).requires_grad_()
            for k, (name, shape) in enumerate(SHAPES)}


def sinusoid(x):
    rate = torch.exp(-math.log(10000) * torch.arange(WIDTH // 2).double() / (WIDTH // 2))
    return torch.cat([(x * rate).cos(), (x * rate).sin()])[None]


def network(p, x, t, d):
    e = F.linear(sinusoid(1000 * t), p["t.weight"], p["t.bias"])
    e = e + F.linear(sinusoid(1000 * d), p["d.weight"], p["d.bias"])
    h = F.conv2d(x, p["a.weight"], p["a.bias"], 1, 1)
    e = F.linear(F.silu(e), p["e.weight"], p["e.bias"])
    scale, shift = e[:, :, None, None].chunk(2, 1)
    h = F.group_norm(h, GROUPS, p["n.weight"], p["n.bias"])
    h = F.silu(h * (1 + scale) + shift)
    return F.conv2d(h, p["b.weight"], p["b.bias"], 1, 1)


def shortcut(p, x, time, d):
    return -network(p, x, 1 - time, 0 if d == 1 / 128 else d)


def loss_of(p, ema, data, noise, time, d):
    x = (1 - time) * noise + time * data
    with torch.no_grad():
        first = shortcut(ema, x, time, d / 2)
        second = shortcut(ema, x + d / 2 * first, time + d / 2, d / 2)
        target = (first + second) / 2
    return ((shortcut(p, x, time, d) - target) ** 2).mean(), target


def main():
    p, ema = parameters(1), parameters(101)
    data, noise = wave(31, 1, 1, SIZE, SIZE), math.sqrt(2) * wave(57, 1, 1, SIZE, SIZE)
    print("/* Made by tests/golden/shortcut.py with PyTorch. */")
    print(f"enum {{ GOLDEN_PARAMS = {len(SHAPES)} }};")
    print("static const struct golden_shortcut {\n    double t, d, loss;\n"
          "    double target[2];                  /* norm, projection on a wave */\n"
          "    double gradient[GOLDEN_PARAMS][2]; /* the same of each parameter */\n"
          "} golden_shortcut[] = {")
    for t, d in CASES:
        for one in p.values():
            one.grad = None
        loss, target = loss_of(p, ema, data, noise, 1 - t, d)
        loss.backward()
        pair = lambda x: (f"{{{x.norm().item():.12g}, "
                          f"{(x * wave(5, *x.shape)).sum().item():.12g}}}")
        rows = ",\n                  ".join(pair(one.grad) for one in p.values())
        print(f"    {{.t = {t:.12g},\n     .d = {d:.12g},\n     .loss = {loss.item():.12g},\n"
              f"     .target = {pair(-target)},\n     .gradient = {{{rows}}}}},")
    print("};")


main()
