"""What the tests of latents share: the autoencoder of model/net/autoencoder.h and the map of HU by
numpy, and the published parameters."""
import h5py
import numpy
from numpy.lib.stride_tricks import sliding_window_view


UNIT = 0.1  # of what the last convolutions give


# x [h, w, c], weights [out, in, k, k]
def conv(p, name, x, stride=1):
    weight = p[f"{name}.weight"].astype(float)
    k = weight.shape[2]
    padded = numpy.pad(x, ((k // 2, k // 2), (k // 2, k // 2), (0, 0)))
    windows = sliding_window_view(padded, (k, k), axis=(0, 1))[::stride, ::stride]
    return numpy.einsum("hwcij,ocij->hwo", windows, weight) + p[f"{name}.bias"]


def norm(p, name, x, groups=8):
    parts = x.reshape(*x.shape[:2], groups, -1)
    mean, var = (f(parts, (0, 1, 3), keepdims=True) for f in (numpy.mean, numpy.var))
    y = ((parts - mean) / numpy.sqrt(var + 1e-5)).reshape(x.shape)
    return y * p[f"{name}.weight"] + p[f"{name}.bias"]


def silu(x):
    return x / (1 + numpy.exp(-x))


def residual(p, name, x):
    h = conv(p, f"{name}.c1", silu(norm(p, f"{name}.n1", x)))
    h = conv(p, f"{name}.c2", silu(norm(p, f"{name}.n2", h)))
    return h + (conv(p, f"{name}.sk", x) if f"{name}.sk.weight" in p else x)


def attention(p, name, x):
    c = x.shape[2]
    q, k, v = numpy.split(conv(p, f"{name}.qkv", norm(p, f"{name}.n", x)).reshape(-1, 3 * c), 3, 1)
    assert c <= 32, "one head"
    score = q @ k.T / numpy.sqrt(c)
    score = numpy.exp(score - score.max(1, keepdims=True))
    return x + conv(p, f"{name}.o", (score / score.sum(1, keepdims=True) @ v).reshape(x.shape))


def middle(p, side, h):
    return residual(p, f"{side}.m2", attention(p, f"{side}.ma", residual(p, f"{side}.m1", h)))


def haar(factor):
    """The cells of the basis [4, factor, factor]."""
    half = numpy.ones(factor // 2)
    line = numpy.concatenate([half, half]), numpy.concatenate([half, -half])
    return numpy.array([numpy.outer(line[k // 2], line[k % 2]) for k in range(4)])


def cells(x, factor):
    """x [h, w] -> [h / factor, w / factor, factor, factor]"""
    h, w = (n // factor for n in x.shape)
    return x.reshape(h, factor, w, factor).transpose(0, 2, 1, 3)


def encode(p, x, levels):
    """The means of the latents."""
    factor = 2 ** (levels - 1)
    coarse = numpy.einsum("hwij,kij->hwk", cells(x[:, :, 0], factor), haar(factor)) / factor**2
    h = conv(p, "encoder.inp", x)
    for level in range(levels):
        h = residual(p, f"encoder.{level}.0", h)
        if level + 1 < levels:
            h = conv(p, f"encoder.{level}.down", h, 2)
    h = UNIT * conv(p, "encoder.oc", silu(norm(p, "encoder.on", middle(p, "encoder", h))))
    means = h[:, :, :h.shape[2] // 2]
    z = min(4, means.shape[2])
    means[:, :, :z] += coarse[:, :, :z]
    return means


def decode(p, z, levels):
    factor, known = 2 ** (levels - 1), min(4, z.shape[2])
    coarse = numpy.einsum("hwk,kij->hiwj", z[:, :, :known], haar(factor)[:known])
    coarse = coarse.reshape(z.shape[0] * factor, -1)[:, :, None]
    h = middle(p, "decoder", conv(p, "decoder.inp", z))
    for level in reversed(range(levels)):
        h = residual(p, f"decoder.{level}.1", residual(p, f"decoder.{level}.0", h))
        if level:
            h = conv(p, f"decoder.{level}.up", h.repeat(2, 0).repeat(2, 1))
    return UNIT * conv(p, "decoder.oc", silu(norm(p, "decoder.on", h))) + coarse


def to_map(hu):
    u = hu / 1000
    return numpy.where(abs(u) <= 1, u, numpy.sign(u) * (1 + numpy.log(numpy.maximum(abs(u), 1))))


def from_map(y):
    hu = 1000 * numpy.where(abs(y) <= 1, y, numpy.sign(y) * numpy.exp(numpy.maximum(abs(y), 1) - 1))
    return numpy.clip(hu, -32768, 32767)


def published(out):
    with h5py.File(f"{out}/autoencoder/parameters.h5", "r") as f:
        return {k: v[...] for k, v in f["parameters"].items()}, f["scale"][...]
