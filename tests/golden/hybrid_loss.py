#!/usr/bin/env python3
"""Makes hybrid_loss.h: L_hybrid = L_simple + w L_vlb and its gradient by PyTorch, for
tests/test_hybrid_loss.c.

A term of L_vlb is torch.distributions' divergence of two normal distributions, or -log of a
difference of their cdf; the prediction of x_0 is detached in it. Values follow from formulas that
the test repeats. Run from the top: python3 tests/golden/hybrid_loss.py > tests/golden/hybrid_loss.h
"""
import math

import torch
from torch.distributions import Normal, kl_divergence

PIXELS, WEIGHT, VLB, T = 16, 0.7, 0.05, 100
LEVEL = 2 / 400


def wave(start, step):
    return torch.tensor([math.sin(start + step * i) for i in range(PIXELS)], dtype=torch.float64)


def cosine(t):
    f = [math.cos((k / T + 0.008) / 1.008 * math.pi / 2) ** 2 for k in range(T + 1)]
    beta = [min(1 - f[k + 1] / f[k], 0.999) for k in range(T)]
    bar = [1.0]
    for b in beta:
        bar.append(bar[-1] * (1 - b))
    tilde = [beta[k] * (1 - bar[k]) / (1 - bar[k + 1]) for k in range(T)]
    tilde[0] = tilde[1]
    return beta[t - 1], tilde[t - 1], bar[t], bar[t - 1]


def loss_of(objective, t, predicted, output, x0, eps):
    beta, tilde, bar, before = cosine(t)
    alpha, sigma = math.sqrt(bar), math.sqrt(1 - bar)
    x_t = alpha * x0 + sigma * eps
    target = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}[objective]
    stopped = predicted.detach()
    x0_predicted = {"eps": (x_t - sigma * stopped) / alpha, "x0": stopped,
                    "v": alpha * x_t - sigma * stopped}[objective]
    v = (output + 1) / 2
    spread = torch.exp((v * math.log(beta) + (1 - v) * math.log(tilde)) / 2)
    a = math.sqrt(before) * beta / (1 - bar)
    b = math.sqrt(1 - beta) * (1 - before) / (1 - bar)
    p = Normal(a * x0_predicted + b * x_t, spread)
    if t == 1:
        upper = torch.where(x0 >= 1, 1.0, p.cdf(x0 + LEVEL / 2))
        lower = torch.where(x0 <= -1, 0.0, p.cdf(x0 - LEVEL / 2))
        term = -torch.log(upper - lower)
    else:
        term = kl_divergence(Normal(a * x0 + b * x_t, torch.tensor(math.sqrt(tilde))), p)
    return WEIGHT * (((predicted - target) ** 2).mean() + VLB * term.mean())


print("/* Made by tests/golden/hybrid_loss.py with PyTorch. */")
print("static const struct golden_hybrid {")
print("    int objective; /* eps, x0, v */")
print("    int t;")
print("    double loss, gradient[2][%d]; /* by the prediction, by the second output */" % PIXELS)
print("} golden_hybrid[] = {")
for number, objective in enumerate(("eps", "x0", "v")):
    for t in (1, 2, 37, 99):
        # Levels of x_0, both ends among them; a prediction a little beside the target.
        x0 = torch.clamp(torch.round(1.3 * wave(0.4, 1.1) / LEVEL) * LEVEL, -1, 1)
        eps = 1.2 * wave(0.9, 2.3)
        beta, tilde, bar, before = cosine(t)
        alpha, sigma = math.sqrt(bar), math.sqrt(1 - bar)
        target = {"eps": eps, "x0": x0, "v": alpha * eps - sigma * x0}[objective]
        beside = {"eps": 0.1, "x0": 0.1 * sigma, "v": 0.1}[objective]
        predicted = (target + beside * wave(0.2, 3.1)).requires_grad_()
        output = (0.8 * wave(2.5, 0.7)).requires_grad_()
        loss = loss_of(objective, t, predicted, output, x0, eps)
        loss.backward()
        print("    {%d, %d, %.14g," % (number, t, loss.item()))
        for k, g in enumerate((predicted.grad, output.grad)):
            print("     %s{%s}%s" % ("" if k else "{", ", ".join("%.12g" % x for x in g.tolist()),
                                    "}}," if k else ","))
print("};")
