#!/usr/bin/env python3
"""Makes autoencoder.h: losses, outputs and gradients of two small autoencoders with a frozen
discriminator, the weight of the adversarial loss, and the losses of single images, by PyTorch in
double precision, for tests/test_autoencoder.c and tests/test_image_losses.c.

The network is written from Rombach et al. 2022 and Esser et al. 2021 with the names of
model/net/autoencoder.c, the pyramid as convolutions with stride (Burt & Adelson 1983). All values
follow from a formula that the tests repeat. The image (start 113) is one whose gradients PyTorch
computes in single precision, too, to 3e-5: with others a unit of the discriminator lies so near
the bend of its leaky ReLU that rounding changes some by 1e-4 to 2e-3. Run from the top (Debian's
python3-torch; needed only to make the file again): python3 tests/golden/autoencoder.py >
tests/golden/autoencoder.h
"""
import math

import torch
import torch.nn.functional as F

BATCH, SIZE, GROUPS, HEAD, LEVELS = 2, 16, 8, 32, 4
CASES = [dict(factor=4, z=3, base=16, blocks=1), dict(factor=8, z=6, base=8, blocks=2)]
MULTIPLES = (1, 2, 4, 4)
UNIT = 0.1  # of what the last convolutions give
ROUND = 0.05  # half the width of the tip of absolute differences
WINDOWS = ((-1350, 150), (-160, 240), (-500, 1300))
WEIGHTS = dict(pixels=0.5, features=0.25, kl=0.125, adversarial=0.375)  # of each sample


def wave(start, *shape, step=0.7):
    n = math.prod(shape)
    return torch.sin(start + step * torch.arange(n, dtype=torch.float64)).reshape(shape)


def phase(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return (h % 1000) / 100.0


class Network:
    def __init__(self, factor, z, base, blocks):
        self.factor, self.z, self.base, self.blocks = factor, z, base, blocks
        self.levels = 3 if factor == 4 else 4
        self.params = {}

    def param(self, name, *shape, one=0.0):
        if name not in self.params:
            fan = math.prod(shape[1:]) if len(shape) > 1 else shape[0]
            values = one + wave(phase(name), *shape) / math.sqrt(fan)
            self.params[name] = values.float().double().requires_grad_()
        return self.params[name]

    def conv(self, name, x, out, kernel, stride=1):
        weight = self.param(f"{name}.weight", out, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, self.param(f"{name}.bias", out), stride, kernel // 2)

    def norm(self, name, x):
        c = x.shape[1]
        return F.group_norm(x, GROUPS, self.param(f"{name}.weight", c, one=1.0),
                            self.param(f"{name}.bias", c))

    def residual(self, name, x, out):
        skip = x if x.shape[1] == out else self.conv(f"{name}.sk", x, out, 1)
        h = self.conv(f"{name}.c1", F.silu(self.norm(f"{name}.n1", x)), out, 3)
        return skip + self.conv(f"{name}.c2", F.silu(self.norm(f"{name}.n2", h)), out, 3)

    def attention(self, name, x):
        b, c, h, w = x.shape
        heads = max(c // HEAD, 1)
        qkv = self.conv(f"{name}.qkv", self.norm(f"{name}.n", x), 3 * c, 1)
        q, k, v = (t.reshape(b, heads, c // heads, h * w).transpose(-1, -2)
                   for t in qkv.chunk(3, 1))
        y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(c // heads), -1) @ v
        return x + self.conv(f"{name}.o", y.transpose(-1, -2).reshape(b, c, h, w), c, 1)

    def middle(self, side, h, channels):
        h = self.attention(f"{side}.ma", self.residual(f"{side}.m1", h, channels))
        return self.residual(f"{side}.m2", h, channels)

    def encode(self, x):
        h = self.conv("encoder.inp", x, self.base, 3)
        for level in range(self.levels):
            channels = self.base * MULTIPLES[level]
            for i in range(self.blocks):
                h = self.residual(f"encoder.{level}.{i}", h, channels)
            if level + 1 < self.levels:
                h = self.conv(f"encoder.{level}.down", h, channels, 3, 2)
        h = F.silu(self.norm("encoder.on", self.middle("encoder", h, channels)))
        return UNIT * self.conv("encoder.oc", h, 2 * self.z, 3) + self.coarse_moments(x)

    def haar(self):
        """The four cells of the basis [4, 1, factor, factor]."""
        half = torch.ones(self.factor // 2, dtype=torch.float64)
        line = [torch.cat([half, half]), torch.cat([half, -half])]
        return torch.stack([torch.outer(line[k // 2], line[k % 2]) for k in range(4)])[:, None]

    def coarse_moments(self, x):
        means = F.conv2d(x, self.haar()[:self.z] / self.factor ** 2, stride=self.factor)
        rest = means.new_zeros(len(x), max(0, self.z - 4), *means.shape[2:])
        spread = means.new_full((len(x), self.z, *means.shape[2:]), -8.0)
        return torch.cat([means, rest, spread], 1)

    def coarse(self, latent):
        return F.conv_transpose2d(latent[:, :4], self.haar()[:self.z], stride=self.factor)

    def features(self, latent):
        deepest = self.base * MULTIPLES[self.levels - 1]
        h = self.middle("decoder", self.conv("decoder.inp", latent, deepest, 3), deepest)
        for level in reversed(range(self.levels)):
            channels = self.base * MULTIPLES[level]
            for i in range(self.blocks + 1):
                h = self.residual(f"decoder.{level}.{i}", h, channels)
            if level:
                h = self.conv(f"decoder.{level}.up", F.interpolate(h, scale_factor=2.0), channels,
                              3)
        return F.silu(self.norm("decoder.on", h))

    def score(self, x):
        c, h = 2 * self.base, x
        for k, (out, stride) in enumerate(((c, 2), (2 * c, 2), (4 * c, 2), (4 * c, 1))):
            h = F.leaky_relu(self.conv(f"d.{k}", h, out, 3, stride), 0.2)
        return self.conv("d.4", h, 1, 3)


def sample(moments, noise):
    mean, log_variance = moments.chunk(2, 1)
    return mean + torch.exp(log_variance.clamp(-30, 20) / 2) * noise


def divergence(moments):
    mean, log_variance = moments.chunk(2, 1)
    l = log_variance.clamp(-30, 20)
    return (0.5 * (mean ** 2 + l.exp() - 1 - l)).mean((1, 2, 3))


LINE = torch.tensor([1.0, 4, 6, 4, 1], dtype=torch.float64) / 16


def reduce(x):
    return F.conv2d(F.pad(x, (2, 2, 2, 2), "replicate"), torch.outer(LINE, LINE)[None, None],
                    stride=2)


def expand(x, h, w):
    y = F.conv_transpose2d(F.pad(x, (1, 1, 1, 1), "replicate"),
                           4 * torch.outer(LINE, LINE)[None, None], stride=2)
    return y[:, :, 4:4 + h, 4:4 + w]


def pyramid(x, levels):
    bands = []
    for _ in range(levels - 1):
        low = reduce(x)
        bands.append(x - expand(low, *x.shape[2:]))
        x = low
    return bands + [x]


def rounded(d):
    return F.huber_loss(d, torch.zeros_like(d), reduction="none", delta=ROUND) / ROUND


def pyramid_loss(a, b, levels):
    return sum(rounded(p - q).mean((1, 2, 3)) for p, q in zip(pyramid(a, levels),
                                                              pyramid(b, levels)))


def hu_of(y):
    return 1000 * torch.where(y.abs() <= 1, y, y.sign() * (y.abs().clamp(min=1) - 1).exp())


def window_loss(a, b):
    total = 0
    for low, high in WINDOWS:
        d = ((hu_of(a) - low) / (high - low)).clamp(0, 1) - ((hu_of(b) - low) / (high - low)
                                                            ).clamp(0, 1)
        edges = rounded(d.diff(dim=2)).sum((1, 2, 3)) + rounded(d.diff(dim=3)).sum((1, 2, 3))
        total = total + edges / (a.shape[2] * a.shape[3])
    return total / len(WINDOWS)


def channels_last(start, n, h, w, c):
    return wave(start, n, h, w, c).float().double().permute(0, 3, 1, 2)


def norm_and_wave(g):
    return g.norm().item(), (g * wave(5, *g.shape)).sum().item()


def numbers(values):
    return "{" + ", ".join(f"{v:.12g}" for v in values) + "}"


def network(index, settings):
    net = Network(**settings)
    side = SIZE // settings["factor"]
    image = 1.5 * channels_last(113, BATCH, SIZE, SIZE, 1)
    noise = channels_last(102, BATCH, side, side, settings["z"])
    moments = net.encode(image)
    latent = sample(moments, noise)
    features = net.features(latent)
    out = UNIT * net.conv("decoder.oc", features, 1, 3) + net.coarse(latent)
    score = -net.score(out).mean((1, 2, 3))
    square = 10 * ((out - image) ** 2).mean((1, 2, 3))
    detail = pyramid_loss(out, image, LEVELS) + window_loss(out, image)
    kl = divergence(moments)
    last = net.params["decoder.oc.weight"]
    # Of the mean over the batch; the adaptive weight has feature losses of weight 1/2.
    of_image, = torch.autograd.grad((square + detail / 2).mean(), last, retain_graph=True)
    of_score, = torch.autograd.grad(score.mean(), last, retain_graph=True)
    loss = (WEIGHTS["pixels"] * square + WEIGHTS["features"] * detail + WEIGHTS["kl"] * kl
            + WEIGHTS["adversarial"] * score).sum()
    loss.backward()
    flat = [t.permute(0, 2, 3, 1) for t in (moments, out)]
    names = [n for n in net.params if not n.startswith("d.")]
    print(f"static const golden_gradient golden_gradients_{index}[] = {{")
    print(",\n".join(f'    {{"{n}", {numbers(norm_and_wave(net.params[n].grad))}}}'
                     for n in names) + "};")
    lambda_ = (of_image.norm() / (of_score.norm() + 1e-4)).item()
    return (f"    {{.factor = {net.factor}, .z = {net.z}, .base = {net.base}, "
            f".blocks = {net.blocks},\n"
            f"     .moments = {numbers(norm_and_wave(flat[0]))}, "
            f".image = {numbers(norm_and_wave(flat[1]))},\n"
            f"     .reconstruction = {numbers((WEIGHTS['pixels'] * square + WEIGHTS['features'] * detail).tolist())},\n"
            f"     .kl = {numbers((WEIGHTS['kl'] * kl).tolist())},\n"
            f"     .adversarial = {numbers((WEIGHTS['adversarial'] * score).tolist())},\n"
            f"     .loss = {loss.item():.12g}, .lambda = {lambda_:.12g},\n"
            f"     .gradients = golden_gradients_{index}, .count = {len(names)}}}")


def single(name, of_image, h, w):
    """A loss of one image, and its gradient by the pixels."""
    a = (1.7 * channels_last(7, 1, h, w, 1)).float().double().requires_grad_()
    b = (1.7 * channels_last(3, 1, w, h, 1)).float().double().reshape(1, 1, h, w)
    value = of_image(a, b).sum()
    gradient, = torch.autograd.grad(value, a)
    return f"    {{{value.item():.12g}, {numbers(norm_and_wave(gradient))}}} /* {name} */"


def main():
    print("/* Made by tests/golden/autoencoder.py with PyTorch. */")
    print("#include <stdint.h>\n")
    print("typedef struct golden_gradient {\n    const char *name;\n"
          "    double by[2]; /* norm, projection on a wave */\n} golden_gradient;")
    print("typedef struct golden_autoencoder {\n    int64_t factor, z, base;\n    int blocks;\n"
          "    double moments[2], image[2], reconstruction[2], kl[2], adversarial[2];\n"
          "    double loss, lambda;\n    const golden_gradient *gradients;\n    int64_t count;\n"
          "} golden_autoencoder;")
    print("typedef struct golden_single {\n    double loss;\n    double by[2];\n} golden_single;")
    rows = [network(i, c) for i, c in enumerate(CASES)]
    print("static const golden_autoencoder golden_autoencoders[] = {\n" + ",\n".join(rows) + "};")
    print("enum { SINGLE_H = 11, SINGLE_W = 14, SINGLE_LEVELS = 3 };")
    print("enum { SINGLE_PYRAMID, SINGLE_WINDOWS };")
    print("static const golden_single golden_singles[] = {\n" + ",\n".join(
        (single("pyramid", lambda a, b: pyramid_loss(a, b, 3), 11, 14),
         single("windows", window_loss, 11, 14))) + "};")


main()
