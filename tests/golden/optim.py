#!/usr/bin/env python3
"""Makes optim.h: a few steps of torch.optim.AdamW and RAdam, for tests/test_optim.c.

AdamW has two groups of parameters, one with weight decay and one without. The first steps of
RAdam are those before its second moment counts. Gradients follow from a formula that the test
repeats. Run from the top: python3 tests/golden/optim.py > tests/golden/optim.h
"""
import math
import torch

N, STEPS, LR, BETAS, EPS, DECAY = 12, 5, 3e-3, (0.9, 0.99), 1e-8, 0.1
RADAM_STEPS = 9


def gradient(step, i):
    return math.sin(1.7 * i + 0.9 * step) * 10.0 ** (i % 4 - 3)


def gradients(step):
    return torch.tensor([gradient(step, i) for i in range(N)], dtype=torch.float64)


def numbers(values):
    return ", ".join(f"{x:.17g}" for x in values.tolist())


def table(name, steps, rows):
    print(f"static const double {name}[{steps}][GOLDEN_N] = {{")
    print(",\n".join(f"    {{{row}}}" for row in rows))
    print("};")


value = torch.tensor([math.cos(i) for i in range(N)], dtype=torch.float64)
decayed, plain = (value[k::2].clone().requires_grad_() for k in (0, 1))
adamw = torch.optim.AdamW(
    [{"params": [decayed], "weight_decay": DECAY}, {"params": [plain], "weight_decay": 0.0}],
    lr=LR, betas=BETAS, eps=EPS)
rows = []
for step in range(1, STEPS + 1):
    grad = gradients(step)
    decayed.grad, plain.grad = grad[0::2].clone(), grad[1::2].clone()
    adamw.step()
    rows.append(numbers(torch.stack([decayed.detach(), plain.detach()], 1).reshape(-1)))

whole = value.clone().requires_grad_()
radam = torch.optim.RAdam([whole], lr=LR, betas=BETAS, eps=EPS)
rectified = []
for step in range(1, RADAM_STEPS + 1):
    whole.grad = gradients(step)
    radam.step()
    rectified.append(numbers(whole.detach()))

print("/* Made by tests/golden/optim.py with PyTorch; parameters after each step, f64. */")
print(f"enum {{ GOLDEN_N = {N}, GOLDEN_STEPS = {STEPS}, GOLDEN_RADAM_STEPS = {RADAM_STEPS} }};")
table("golden_adamw", "GOLDEN_STEPS", rows)
table("golden_radam", "GOLDEN_RADAM_STEPS", rectified)
