#!/usr/bin/env python3
"""Makes gan.h: two steps of the discriminator by PyTorch, with torch.nn.utils.spectral_norm, and a
singular value by numpy, for tests/test_gan.c.

All values follow from a formula that the test repeats. Run from the top:
python3 tests/golden/gan.py > tests/golden/gan.h
"""
import math

import numpy
import torch
import torch.nn.functional as F

SIZE, LABELS, BASE, BATCH, STEPS, RATE = 16, 3, 4, 2, 2, 0.5


def wave(start, *shape):
    n = math.prod(shape)
    return torch.sin(start + 0.7 * torch.arange(n, dtype=torch.float64)).reshape(shape)


def layer(k, cin, cout, stride):
    """Convolution number k with the formula's weights, bias and u, normalised by PyTorch."""
    conv = torch.nn.Conv2d(cin, cout, 3, stride, 1).double()
    conv.weight.data = wave(10 * k + 1, cout, cin, 3, 3) / 3
    conv.bias.data = wave(10 * k + 2, cout)
    torch.nn.utils.spectral_norm(conv, n_power_iterations=1)
    u = wave(10 * k + 3, cout)
    conv.weight_u.copy_(u / u.norm())
    return conv


C = 2 * BASE
layers = [layer(k, *s) for k, s in enumerate([(1 + LABELS, C, 2), (C, 2 * C, 2),
                                              (2 * C, 4 * C, 2), (4 * C, 4 * C, 1), (4 * C, 1, 1)])]
# The test's arrays are channels-last.
image = 40 * wave(101, BATCH, SIZE, SIZE, 1).permute(0, 3, 1, 2)
labels = wave(102, BATCH, SIZE, SIZE, LABELS).permute(0, 3, 1, 2)
sign = torch.tensor([1.0, -1.0], dtype=torch.float64).reshape(BATCH, 1, 1, 1)

print("/* Made by tests/golden/gan.py with PyTorch and numpy. */")
print(f"enum {{ GOLDEN_STEPS = {STEPS}, GOLDEN_LAYERS = {len(layers)} }};")
print("typedef struct golden_layer {\n    double sigma, norm, along, bias_norm, u;\n} golden_layer;")
rows, losses = [], []
for step in range(STEPS):
    h = torch.cat([image, labels], 1)
    for k, conv in enumerate(layers):
        h = conv(h)
        h = F.leaky_relu(h, 0.2) if k + 1 < len(layers) else h
    loss = (F.relu(1 - sign * h).mean((1, 2, 3)) / BATCH).sum()
    losses.append(loss.item())
    for conv in layers:
        conv.zero_grad()
    loss.backward()
    for conv in layers:
        g, b = conv.weight_orig.grad, conv.bias.grad
        # W / (W / sigma) at the largest element
        at = conv.weight_orig.abs().argmax()
        sigma = (conv.weight_orig.flatten()[at] / conv.weight.flatten()[at]).item()
        rows.append((sigma, g.norm().item(), (g * wave(5, *g.shape)).sum().item(),
                     b.norm().item(), conv.weight_u[-1].item()))
        conv.weight_orig.data -= RATE * g
        conv.bias.data -= RATE * b
print("static const double golden_loss[GOLDEN_STEPS] = {"
      + ", ".join(f"{x:.12g}" for x in losses) + "};")
print("static const golden_layer golden_layers[GOLDEN_STEPS * GOLDEN_LAYERS] = {")
print(",\n".join("    {" + ", ".join(f"{x:.12g}" for x in row) + "}" for row in rows) + "};")
matrix = (wave(1, 6, 27) / 3 + wave(4, 27, 6).T / 2).numpy()
print("static const double golden_singular = "
      f"{numpy.linalg.svd(matrix, compute_uv=False)[0]:.12g};")
