#!/usr/bin/env python3
"""Makes process.h: loss and gradient of a small network under EDM, rectified flow and consistency
tuning by PyTorch, for tests/test_process.c and tests/test_consistency.c.

EDM is written as in Karras et al. 2022: D(x) = c_skip x + c_out F(c_in x, c_noise), with the loss
lambda(sigma) |D(y + n) - y|^2 (eq. 7, 8 and table 1); the flow as in Liu et al. 2023, eq. 1;
consistency tuning of a network under EDM as in Geng et al. 2024, eq. 8 and 18. All
values follow from a formula that the test repeats. Run from the top (Debian's python3-torch; needed
only to make the file again): python3 tests/golden/process.py > tests/golden/process.h
"""
import math

import torch
import torch.nn.functional as F

SIZE, WIDTH, GROUPS, SIGMA_DATA = 6, 16, 8, 0.6
SIGMAS, TIMES = (0.05, 3.5), (0.2, 0.85)
Q, STAGE, C = 2, 1, 0.00054 * SIZE


def wave(start, *shape):
    n = math.prod(shape)
    return torch.sin(start + 0.7 * torch.arange(n, dtype=torch.float64)).reshape(shape)


SHAPES = [("t.weight", (WIDTH, WIDTH)), ("t.bias", (WIDTH,)), ("a.weight", (WIDTH, 1, 3, 3)),
          ("a.bias", (WIDTH,)), ("e.weight", (2 * WIDTH, WIDTH)), ("e.bias", (2 * WIDTH,)),
          ("n.weight", (WIDTH,)), ("n.bias", (WIDTH,)), ("b.weight", (1, WIDTH, 3, 3)),
          ("b.bias", (1,))]
params = {name: (wave(k + 1, *shape) / math.sqrt(shape[-1] if len(shape) < 4 else 9 * shape[1])
                 ).requires_grad_() for k, (name, shape) in enumerate(SHAPES)}


def network(x, t):
    rate = torch.exp(-math.log(10000) * torch.arange(WIDTH // 2).double() / (WIDTH // 2))
    angle = t[:, None] * rate[None]
    e = F.linear(torch.cat([angle.cos(), angle.sin()], 1), params["t.weight"], params["t.bias"])
    h = F.conv2d(x, params["a.weight"], params["a.bias"], 1, 1)
    e = F.linear(F.silu(e), params["e.weight"], params["e.bias"])
    scale, shift = e[:, :, None, None].chunk(2, 1)
    h = F.group_norm(h, GROUPS, params["n.weight"], params["n.bias"])
    h = F.silu(h * (1 + scale) + shift)
    return F.conv2d(h, params["b.weight"], params["b.bias"], 1, 1)


def denoise(x, sigma):
    both = sigma ** 2 + SIGMA_DATA ** 2
    skip, out = SIGMA_DATA ** 2 / both, sigma * SIGMA_DATA / both.sqrt()
    return skip * x + out * network(x / both.sqrt(), (sigma.log() / 4).flatten())


def edm(y, e):
    sigma = torch.tensor(SIGMAS, dtype=torch.float64).reshape(2, 1, 1, 1)
    weight = (sigma ** 2 + SIGMA_DATA ** 2) / (sigma * SIGMA_DATA) ** 2
    return (weight * (denoise(y + sigma * e, sigma) - y) ** 2).mean((1, 2, 3)).sum()


def consistency(y, e):
    """The first of the two samples has r = 0."""
    t = torch.tensor(SIGMAS, dtype=torch.float64).reshape(2, 1, 1, 1)
    r = (t * (1 - (1 + 8 * torch.sigmoid(-t)) / Q ** (STAGE + 1))).clamp(min=0)
    assert r[0] == 0 < r[1]
    with torch.no_grad():
        target = torch.where(r > 0, denoise(y + r * e, r.clamp(min=1e-3)), y)
    apart = (denoise(y + t * e, t) - target).flatten(1).norm(dim=1)
    return (((apart ** 2 + C ** 2).sqrt() - C) / (t - r).flatten()).sum()


def flow(y, e):
    t = torch.tensor(TIMES, dtype=torch.float64).reshape(2, 1, 1, 1)
    velocity = network((1 - t) * y + t * e, 1000 * t.flatten())
    return ((velocity - (e - y)) ** 2).mean((1, 2, 3)).sum()


def main():
    data = SIGMA_DATA * math.sqrt(2) * wave(31, 2, 1, SIZE, SIZE)
    noise = math.sqrt(2) * wave(57, 2, 1, SIZE, SIZE)
    print("/* Made by tests/golden/process.py with PyTorch. */")
    print(f"enum {{ GOLDEN_PARAMS = {len(SHAPES)} }};")
    print("typedef struct golden_process {\n    double loss;\n"
          "    double gradient[GOLDEN_PARAMS][2]; /* norm, projection on a wave */\n"
          "} golden_process;")
    for name, loss in (("edm", edm), ("flow", flow), ("consistency", consistency)):
        for p in params.values():
            p.grad = None
        value = loss(data, noise)
        value.backward()
        head = f"static const golden_process golden_{name} = {{"
        begin = " " * len(head) + ".gradient = {"
        rows = (",\n" + " " * len(begin)).join(
            f"{{{p.grad.norm().item():.12g}, "
            f"{(p.grad * wave(5, *p.shape)).sum().item():.12g}}}" for p in params.values())
        print(f"{head}.loss = {value.item():.12g},\n{begin}{rows}}}}};")


main()
