"""The networks of ctaug as PyTorch modules, written from the papers that model/net/ names, with the
layers' names of model/README.md ("Weights"): load_state_dict() takes what `ctaug weights` writes.
Needs torch."""
import math

import torch
import torch.nn.functional as F
from torch import nn

GROUPS, HEAD = 8, 32


def named(**layers):
    return nn.ModuleDict(layers)


def embedding(value, dim, scale=1.0):
    rate = torch.exp(-math.log(10000) * torch.arange(dim // 2) / (dim // 2))
    angle = value[:, None] * scale * rate[None]
    return torch.cat([angle.cos(), angle.sin()], 1)


def two_linear(inside, out):
    return nn.ModuleDict({"0": nn.Linear(inside, out), "2": nn.Linear(out, out)})


def through(layers, x):
    return layers["2"](F.silu(layers["0"](x)))


class Residual(nn.Module):
    def __init__(self, inside, out, width):
        super().__init__()
        self.n1, self.c1 = nn.GroupNorm(GROUPS, inside), nn.Conv2d(inside, out, 3, padding=1)
        self.e = nn.Linear(width, 2 * out)
        self.n2, self.c2 = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, padding=1)
        if inside != out:
            self.sk = nn.Conv2d(inside, out, 1)

    def forward(self, x, e):
        h = self.c1(F.silu(self.n1(x)))
        scale, shift = self.e(e)[:, :, None, None].chunk(2, 1)
        h = self.c2(F.silu(self.n2(h) * (1 + scale) + shift))
        return h + (self.sk(x) if hasattr(self, "sk") else x)


class Attention(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.n, self.qkv = nn.GroupNorm(GROUPS, channels), nn.Conv2d(channels, 3 * channels, 1)
        self.o = nn.Conv2d(channels, channels, 1)
        self.heads = max(1, channels // HEAD)

    def forward(self, x):
        b, c, h, w = x.shape
        qkv = self.qkv(self.n(x)).reshape(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)
        y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(c // self.heads), -1) @ v
        return x + self.o(y.transpose(-1, -2).reshape(b, c, h, w))


class UNet(nn.Module):
    """Denoiser and generator: x [b, 1 + maps, size, size], t, position [b], kind [b, classes +
    1]."""

    def __init__(self, size, maps, base=16, mult=(1, 2, 2), blocks=1, attention=(16,), classes=2):
        super().__init__()
        width, self.base, self.mult, self.blocks = 4 * base, base, mult, blocks
        self.t, self.position = two_linear(base, width), two_linear(base, width)
        self.add_module("class", nn.ModuleDict({"0": nn.Linear(classes + 1, width)}))
        self.inp = nn.Conv2d(1 + maps, base, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        channels, skips, side = base, [base], size

        def block(inside, out):
            parts = {"0": Residual(inside, out, width)}
            if side in attention:
                parts["1"] = Attention(out)
            return nn.ModuleDict(parts)

        for level, factor in enumerate(mult):
            for _ in range(blocks):
                self.down.append(block(channels, base * factor))
                channels = base * factor
                skips.append(channels)
            if level + 1 < len(mult):
                self.down.append(named(**{"0": nn.Conv2d(channels, channels, 3, 2, 1)}))
                skips.append(channels)
                side //= 2
        self.m1, self.ma = Residual(channels, channels, width), Attention(channels)
        self.m2 = Residual(channels, channels, width)
        for level in reversed(range(len(mult))):
            for _ in range(blocks + 1):
                self.up.append(block(channels + skips.pop(), base * mult[level]))
                channels = base * mult[level]
            if level:
                self.up.append(named(**{"0": nn.Conv2d(channels, channels, 3, padding=1)}))
                side *= 2
        self.on, self.oc = nn.GroupNorm(GROUPS, channels), nn.Conv2d(channels, 1, 3, padding=1)

    def run_block(self, block, x, e):
        x = block["0"](x, e)
        return block["1"](x) if "1" in block else x

    def forward(self, x, t, position, kind):
        e = through(self.t, embedding(t, self.base))
        e = e + through(self.position, embedding(position, self.base, 1000.0))
        e = F.silu(e + self.get_submodule("class")["0"](kind))
        h = self.inp(x)
        skips, down, up = [h], iter(self.down), iter(self.up)
        for level in range(len(self.mult)):
            for _ in range(self.blocks):
                h = self.run_block(next(down), h, e)
                skips.append(h)
            if level + 1 < len(self.mult):
                h = next(down)["0"](h)
                skips.append(h)
        h = self.m2(self.ma(self.m1(h, e)), e)
        for level in reversed(range(len(self.mult))):
            for _ in range(self.blocks + 1):
                h = self.run_block(next(up), torch.cat([h, skips.pop()], 1), e)
            if level:
                h = next(up)["0"](F.interpolate(h, scale_factor=2.0))
        return self.oc(F.silu(self.on(h)))


class SegNet(nn.Module):
    """Referee and segmenters: x [b, 1, size, size] to logits [b, labels, size, size]."""

    def __init__(self, labels, base=16, mult=(1, 2, 4, 4)):
        super().__init__()
        widths = [base * factor for factor in mult]

        def unit(inside, out, stride):
            return named(conv0=nn.Conv2d(inside, out, 3, stride, 1), norm0=nn.GroupNorm(GROUPS, out),
                         conv1=nn.Conv2d(out, out, 3, 1, 1), norm1=nn.GroupNorm(GROUPS, out))

        self.down = nn.ModuleList(unit(widths[k - 1] if k else 1, widths[k], 2 if k else 1)
                                  for k in range(len(mult)))
        self.up = nn.ModuleList(unit(widths[k + 1] + widths[k], widths[k], 1)
                                for k in range(len(mult) - 1))
        self.out = nn.Conv2d(widths[0], labels, 1)

    def forward(self, x):
        def through_unit(unit, h):
            h = F.silu(unit["norm0"](unit["conv0"](h)))
            return F.silu(unit["norm1"](unit["conv1"](h)))

        skips = []
        for unit in self.down:
            x = through_unit(unit, x)
            skips.append(x)
        for level in reversed(range(len(self.up))):
            x = torch.cat([F.interpolate(x, scale_factor=2.0), skips[level]], 1)
            x = through_unit(self.up[level], x)
        return self.out(x)


class Discriminator(nn.Module):
    """Hinge loss of a real patch (sign 1); u: the state of the power iteration, not used here."""

    def __init__(self, maps, base=16):
        super().__init__()
        widths = [1 + maps, 2 * base, 4 * base, 8 * base, 8 * base, 1]
        self.d = nn.ModuleList(nn.Conv2d(a, b, 3, 2 if k < 3 else 1, 1)
                               for k, (a, b) in enumerate(zip(widths, widths[1:])))
        for layer in self.d:
            layer.register_buffer("u", torch.zeros(layer.out_channels))

    def forward(self, image, maps):
        h = torch.cat([image, maps], 1)
        for layer in self.d[:-1]:
            h = F.leaky_relu(layer(h), 0.2)
        return F.relu(1 - self.d[-1](h)).mean()
