"""Makes tests/golden/unet.txt: what PyTorch computes for a small U-Net with weights given by a formula.

Usage: unet.py PEER.py > unet.txt, where PEER.py holds the PyTorch twin of model/net/unet.c (class UNet).
Needed only to remake the numbers (Debian's python3-torch). tests/test_unet.c repeats the formulas.
"""
import importlib.util
import math
import sys

import torch
import torch.nn.functional as F

spec = importlib.util.spec_from_file_location("peer", sys.argv[1])
peer = importlib.util.module_from_spec(spec)
spec.loader.exec_module(peer)


def phase(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return (h % 1000) / 100.0


def wave(n, start, step):
    return torch.sin(start + step * torch.arange(n, dtype=torch.float64))


net = peer.UNet(1, 32, [1, 2], 1, [4], 8)
for name, p in net.named_parameters():
    fan = p[0].numel() if p.dim() > 1 else p.numel()
    values = wave(p.numel(), phase(name), 0.7).reshape(p.shape) / math.sqrt(fan)
    if p.dim() == 1 and name.endswith("weight"):
        values = values + 1
    p.data = values.float()
x = wave(2 * 64, 0.1, 0.9).reshape(2, 1, 8, 8)
noise = wave(2 * 64, 0.4, 1.7).reshape(2, 1, 8, 8)
y = net(x.float(), torch.tensor([3, 701]))
loss = F.mse_loss(y, noise.float())
loss.backward()
print("loss %.9e" % loss.item())
print("output " + " ".join("%.9e" % v for v in y.flatten().tolist()))
for name, p in net.named_parameters():
    g = p.grad.flatten()
    dot = (g.double() * wave(g.numel(), 0.3, 0.11)).sum().item()
    print("grad %s %.9e %.9e %s" % (name, g.norm().item(), dot,
                                    " ".join("%.9e" % v for v in g[:4].tolist())))
