"""The networks of ctaug as PyTorch modules, written from the papers and descriptions in the headers
of model/net/, with the layers' names of model/README.md ("Weights"): load_state_dict() takes what
`ctaug weights` writes. Needs torch."""
import math

import torch
import torch.nn.functional as F
from torch import nn

GROUPS, HEAD, CODES = 8, 32, 16  # of norms; channels of a head, of encoded codes


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
    """width: of the embedding; 0: there is none."""

    def __init__(self, inside, out, width=0):
        super().__init__()
        self.n1, self.c1 = nn.GroupNorm(GROUPS, inside), nn.Conv2d(inside, out, 3, padding=1)
        if width:
            self.e = nn.Linear(width, 2 * out)
        self.n2, self.c2 = nn.GroupNorm(GROUPS, out), nn.Conv2d(out, out, 3, padding=1)
        if inside != out:
            self.sk = nn.Conv2d(inside, out, 1)

    def forward(self, x, e=None):
        h = self.n2(self.c1(F.silu(self.n1(x))))
        if e is not None:
            scale, shift = self.e(e)[:, :, None, None].chunk(2, 1)
            h = h * (1 + scale) + shift
        h = self.c2(F.silu(h))
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


def attend(q, k, v, heads, mask):
    """q [b, n, c], k, v [b, m, c], mask [b, m] (0: not attended to): [b, n, c]."""
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    score = split(q) @ split(k).transpose(-1, -2) / math.sqrt(q.shape[-1] // heads)
    score = score.masked_fill(mask[:, None, None] == 0, -math.inf)
    return (torch.softmax(score, -1) @ split(v)).transpose(1, 2).flatten(2)


class TokenLinear(nn.Conv2d):
    """A linear layer of tokens [b, n, inside], stored as a convolution with kernel 1."""

    def __init__(self, inside, out):
        super().__init__(inside, out, 1)

    def forward(self, x):
        return F.linear(x, self.weight[:, :, 0, 0], self.bias)


class CrossAttention(nn.Module):
    """Of pixels to the states of a text, which have `width` channels."""

    def __init__(self, channels, width):
        super().__init__()
        self.n, self.q = nn.GroupNorm(GROUPS, channels), nn.Conv2d(channels, channels, 1)
        self.kv, self.o = TokenLinear(width, 2 * channels), nn.Conv2d(channels, channels, 1)
        self.heads = max(1, channels // HEAD)

    def forward(self, x, text, mask):
        q = self.q(self.n(x)).flatten(2).transpose(1, 2)
        y = attend(q, *self.kv(text).chunk(2, -1), self.heads, mask)
        return x + self.o(y.transpose(1, 2).reshape(x.shape))


class UNet(nn.Module):
    """Denoiser and generator: x [b, channels + maps, size, size], t, position [b], kind [b, classes
    + 1]. channels: 1, or those of a latent. If the network has them, also numbers [b, 2 *
    numbers], d [b], codes [b, bits, factor * size, factor * size], text [b, tokens, width] and mask
    [b, tokens]; codes: (bits, factor), text: width."""

    def __init__(self, size, maps, base=16, mult=(1, 2, 2), blocks=1, attention=(16,), classes=2,
                 channels=1, codes=(0, 1), text=0, numbers=0, step_size=False, spread=False):
        super().__init__()
        width, self.base, self.mult, self.blocks = 4 * base, base, mult, blocks
        self.t, self.position = two_linear(base, width), two_linear(base, width)
        self.add_module("class", nn.ModuleDict({"0": nn.Linear(classes + 1, width)}))
        if numbers:
            self.numbers = two_linear(2 * numbers, width)
        if step_size:
            self.d = two_linear(base, width)
        if text:
            self.sentence = two_linear(text, width)
        bits, factor = codes
        self.codes = nn.ModuleList(nn.Conv2d(CODES if k else bits, CODES, 3, 2, 1)
                                   for k in range(factor.bit_length() - 1))
        self.inp = nn.Conv2d(channels + maps + (CODES if bits else 0), base, 3, padding=1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        wide, skips, side = base, [base], size

        def block(inside, out):
            parts = {"0": Residual(inside, out, width)}
            if side in attention:
                parts["1"] = Attention(out)
            if side in attention and text:
                parts["2"] = CrossAttention(out, text)
            return nn.ModuleDict(parts)

        for level, times in enumerate(mult):
            for _ in range(blocks):
                self.down.append(block(wide, base * times))
                wide = base * times
                skips.append(wide)
            if level + 1 < len(mult):
                self.down.append(named(**{"0": nn.Conv2d(wide, wide, 3, 2, 1)}))
                skips.append(wide)
                side //= 2
        self.m1, self.ma = Residual(wide, wide, width), Attention(wide)
        if text:
            self.mt = CrossAttention(wide, text)
        self.m2 = Residual(wide, wide, width)
        for level in reversed(range(len(mult))):
            for _ in range(blocks + 1):
                self.up.append(block(wide + skips.pop(), base * mult[level]))
                wide = base * mult[level]
            if level:
                self.up.append(named(**{"0": nn.Conv2d(wide, wide, 3, padding=1)}))
                side *= 2
        self.on = nn.GroupNorm(GROUPS, wide)
        self.oc = nn.Conv2d(wide, 2 if spread else channels, 3, padding=1)

    def run_block(self, block, x, e, text):
        x = block["0"](x, e)
        x = block["1"](x) if "1" in block else x
        return block["2"](x, *text) if "2" in block else x

    def forward(self, x, t, position, kind, numbers=None, d=None, codes=None, text=None, mask=None):
        e = through(self.t, embedding(t, self.base))
        e = e + through(self.position, embedding(position, self.base, 1000.0))
        if numbers is not None:
            e = e + through(self.numbers, numbers)
        if d is not None:
            e = e + through(self.d, embedding(d, self.base, 1000.0))
        if text is not None:
            mean = (text * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
            e = e + through(self.sentence, mean)
        e = F.silu(e + self.get_submodule("class")["0"](kind))
        if codes is not None:
            for layer in self.codes:
                codes = F.silu(layer(codes))
            x = torch.cat([x, codes], 1)
        h = self.inp(x)
        skips, down, up, text = [h], iter(self.down), iter(self.up), (text, mask)
        for level in range(len(self.mult)):
            for _ in range(self.blocks):
                h = self.run_block(next(down), h, e, text)
                skips.append(h)
            if level + 1 < len(self.mult):
                h = next(down)["0"](h)
                skips.append(h)
        h = self.ma(self.m1(h, e))
        h = self.m2(self.mt(h, *text) if hasattr(self, "mt") else h, e)
        for level in reversed(range(len(self.mult))):
            for _ in range(self.blocks + 1):
                h = self.run_block(next(up), torch.cat([h, skips.pop()], 1), e, text)
            if level:
                h = next(up)["0"](F.interpolate(h, scale_factor=2.0))
        return self.oc(F.silu(self.on(h)))


def middle(width):
    """The lowest level of a side of the autoencoder."""
    return {"m1": Residual(width, width), "ma": Attention(width), "m2": Residual(width, width)}


class Encoder(nn.ModuleDict):
    def __init__(self, z, widths, blocks):
        deepest = widths[-1]
        super().__init__({"inp": nn.Conv2d(1, widths[0], 3, padding=1), **middle(deepest),
                          "on": nn.GroupNorm(GROUPS, deepest),
                          "oc": nn.Conv2d(deepest, 2 * z, 3, padding=1)})
        self.levels = [str(k) for k in range(len(widths))]
        for k, width in enumerate(widths):
            above = widths[max(k - 1, 0)]
            self[str(k)] = named(**{str(i): Residual(width if i else above, width)
                                    for i in range(blocks)})
            if k + 1 < len(widths):
                self[str(k)]["down"] = nn.Conv2d(width, width, 3, 2, 1)

    def forward(self, x):
        h = self["inp"](x)
        for level in self.levels:
            for layer in self[level].values():
                h = layer(h)
        h = self["m2"](self["ma"](self["m1"](h)))
        return self["oc"](F.silu(self["on"](h)))


class Decoder(nn.ModuleDict):
    def __init__(self, z, widths, blocks):
        deepest = widths[-1]
        super().__init__({"inp": nn.Conv2d(z, deepest, 3, padding=1), **middle(deepest),
                          "on": nn.GroupNorm(GROUPS, widths[0]),
                          "oc": nn.Conv2d(widths[0], 1, 3, padding=1)})
        self.levels = [str(k) for k in reversed(range(len(widths)))]
        for k, width in enumerate(widths):
            below = (*widths, deepest)[k + 1]
            self[str(k)] = named(**{str(i): Residual(width if i else below, width)
                                    for i in range(blocks + 1)})
            if k > 0:
                self[str(k)]["up"] = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, z):
        h = self["m2"](self["ma"](self["m1"](self["inp"](z))))
        for level in self.levels:
            for name, layer in self[level].items():
                h = layer(F.interpolate(h, scale_factor=2.0) if name == "up" else h)
        return self["oc"](F.silu(self["on"](h)))


class Autoencoder(nn.Module):
    """Images [b, 1, size, size], HU by model/hu_map.h. The latents of a denoiser are the means of
    encode(), each channel times `scale`; decode() takes them without it. What the layers compute,
    times UNIT, is added to the Haar coefficients of cells, the first four channels."""

    UNIT = 0.1

    # Coefficients (mean, left - right, top - bottom, diagonals) by the quadrants of a cell.
    HAAR = ((1, 1, 1, 1), (1, -1, 1, -1), (1, 1, -1, -1), (1, -1, -1, 1))

    def __init__(self, factor, z, base, blocks):
        super().__init__()
        self.factor, self.z = factor, z
        widths = [base * k for k in ((1, 2, 4, 4) if factor == 8 else (1, 2, 4))]
        self.encoder, self.decoder = Encoder(z, widths, blocks), Decoder(z, widths, blocks)
        self.register_buffer("scale", torch.ones(z))

    def encode(self, image):
        """Means and log-variances [b, z, size / factor, size / factor]."""
        means, logs = (self.UNIT * self.encoder(image)).chunk(2, 1)
        quadrants = F.pixel_unshuffle(F.avg_pool2d(image, self.factor // 2), 2)
        coarse = torch.einsum("kq,bqhw->bkhw", means.new_tensor(self.HAAR) / 4, quadrants)
        none = torch.zeros_like(means[:, 4:])
        return means + torch.cat([coarse[:, :self.z], none], 1), logs - 8

    def decode(self, latent):
        haar, known = latent.new_tensor(self.HAAR), latent[:, :4]
        quadrants = torch.einsum("kq,bkhw->bqhw", haar[:self.z], known)
        coarse = F.interpolate(F.pixel_shuffle(quadrants, 2), scale_factor=float(self.factor // 2))
        return self.UNIT * self.decoder(latent) + coarse


class TextEncoder(nn.Module):
    """tokens, mask [b, tokens]: the states of the tokens and the vector of the sentence."""

    def __init__(self, tokens, vocabulary, width, head, blocks, embedding):
        super().__init__()
        self.heads, self.blocks = width // head, blocks
        embed = nn.Embedding(vocabulary, width)
        embed.place = nn.Parameter(torch.zeros(tokens, width))

        def block():
            return named(n1=nn.LayerNorm(width), q=TokenLinear(width, width),
                         kv=TokenLinear(width, 2 * width), o=TokenLinear(width, width),
                         n2=nn.LayerNorm(width), up=TokenLinear(width, 4 * width),
                         down=TokenLinear(4 * width, width))

        self.text = named(embed=embed, n=nn.LayerNorm(width), pool=nn.Linear(width, embedding),
                          **{str(k): block() for k in range(blocks)})

    def forward(self, tokens, mask):
        x = self.text["embed"](tokens) + self.text["embed"].place
        for k in range(self.blocks):
            layers = self.text[str(k)]
            h = layers["n1"](x)
            h = attend(layers["q"](h), *layers["kv"](h).chunk(2, -1), self.heads, mask)
            x = x + layers["o"](h)
            x = x + layers["down"](F.silu(layers["up"](layers["n2"](x))))
        states = self.text["n"](x)
        mean = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        return states, self.text["pool"](mean)


class SegNet(nn.Module):
    """Referee and segmenters: x [b, 1, size, size] to logits [b, labels, size, size]."""

    def __init__(self, labels, base=16, mult=(1, 2, 4, 4)):
        super().__init__()
        widths = [base * factor for factor in mult]

        def unit(inside, out, stride):
            return named(conv0=nn.Conv2d(inside, out, 3, stride, 1),
                         norm0=nn.GroupNorm(GROUPS, out), conv1=nn.Conv2d(out, out, 3, 1, 1),
                         norm1=nn.GroupNorm(GROUPS, out))

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
