#!/usr/bin/env python3
"""Makes clip.h: the loss of CLIP and its gradients by PyTorch, for tests/test_clip_loss.c.

All values follow from a formula that the test repeats. Run from the top:
python3 tests/golden/clip.py > tests/golden/clip.h
"""
import torch
import torch.nn.functional as F

PAIRS, WIDTH, LOG_SCALE = 8, 5, 1.5


def wave(start):
    n = PAIRS * WIDTH
    values = torch.sin(start + 0.7 * torch.arange(n, dtype=torch.float64))
    return values.float().double().reshape(PAIRS, WIDTH).requires_grad_()


image, text = wave(0.2), wave(3.1)
log_scale = torch.tensor(LOG_SCALE, dtype=torch.float64, requires_grad=True)
logits = log_scale.exp() * F.normalize(image) @ F.normalize(text).T
truth = torch.arange(PAIRS)
loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
loss.backward()


def array(name, values):
    print(f"static const double {name}[] = {{"
          + ", ".join(f"{v:.12g}" for v in values.flatten().tolist()) + "};")


print("/* Made by tests/golden/clip.py with PyTorch. */")
print(f"enum {{ GOLDEN_PAIRS = {PAIRS}, GOLDEN_WIDTH = {WIDTH} }};")
array("golden_log_scale", log_scale)
array("golden_loss", loss)
array("golden_slope", log_scale.grad)
array("golden_image", image.grad)
array("golden_text", text.grad)
