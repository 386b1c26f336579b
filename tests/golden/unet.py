"""Makes tests/golden/unet.txt: results of PyTorch for a small U-Net whose weights follow from a
formula; with the word text tests/golden/unet_text.txt, those of one that attends to a text.

Usage: unet.py [text] > unet.txt (Debian's python3-torch; needed only to make the files again)

The network is implemented independently, from the papers that model/net/unet.c names, on a
dictionary of tensors with the parameter names of that file; attention to a text by
multi_head_attention_forward. tests/torch_case.h repeats the formulas. Parameters and inputs are
rounded to f32, and the rest is computed in f64: gradients change by some 40 times what parameters
change by (of other texts by more than 100 times), so that those in f32 have four digits.
"""
import math
import sys

import torch
import torch.nn.functional as F

BASE, MULT, BLOCKS, ATTENTION, SIZE, HEAD, GROUPS = 32, (1, 2), 1, (4,), 8, 32, 8
TOKENS, WIDTH = 5, 6
params = {}


def wave(n, start, step):
    return torch.sin(start + step * torch.arange(n, dtype=torch.float64))


def phase(name):
    h = 2166136261
    for byte in name.encode():
        h = ((h ^ byte) * 16777619) & 0xFFFFFFFF
    return (h % 1000) / 100.0


def param(name, *shape, one=0.0):
    """A parameter by the formula: a wave scaled by the root of the fan-in; gains of norms around
    1."""
    if name not in params:
        count = math.prod(shape)
        fan = count // shape[0] if len(shape) > 1 else count
        values = one + wave(count, phase(name), 0.7) / math.sqrt(fan)
        params[name] = values.reshape(shape).float().to(torch.get_default_dtype()).requires_grad_()
    return params[name]


def conv(name, x, out, kernel, stride=1):
    weight = param(f"{name}.weight", out, x.shape[1], kernel, kernel)
    return F.conv2d(x, weight, param(f"{name}.bias", out), stride, kernel // 2)


def linear(name, x, out):
    return F.linear(x, param(f"{name}.weight", out, x.shape[1]), param(f"{name}.bias", out))


def norm(name, x):
    c = x.shape[1]
    return F.group_norm(x, GROUPS, param(f"{name}.weight", c, one=1.0), param(f"{name}.bias", c))


def residual(name, x, e, out):
    h = conv(f"{name}.c1", F.silu(norm(f"{name}.n1", x)), out, 3)
    scale, shift = linear(f"{name}.e", F.silu(e), 2 * out)[:, :, None, None].chunk(2, 1)
    h = norm(f"{name}.n2", h) * (1 + scale) + shift
    skip = x if x.shape[1] == out else conv(f"{name}.sk", x, out, 1)
    return skip + conv(f"{name}.c2", F.silu(h), out, 3)


def attention(name, x):
    b, c, h, w = x.shape
    heads = max(1, c // HEAD)
    qkv = conv(f"{name}.qkv", norm(f"{name}.n", x), 3 * c, 1)
    q, k, v = qkv.reshape(b, 3, heads, c // heads, h * w).transpose(-1, -2).unbind(1)
    scores = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(c // heads), -1)
    y = (scores @ v).transpose(-1, -2).reshape(b, c, h, w)
    return x + conv(f"{name}.o", y, c, 1)


def text_attention(name, x, text, pads):
    """text [batch, tokens, WIDTH]; pads [batch, tokens] is true where there is no token."""
    b, c, h, w = x.shape
    q = param(f"{name}.q.weight", c, c, 1, 1)[:, :, 0, 0]
    k, v = param(f"{name}.kv.weight", 2 * c, WIDTH, 1, 1)[:, :, 0, 0].chunk(2)
    bias = torch.cat([param(f"{name}.q.bias", c), param(f"{name}.kv.bias", 2 * c)])
    y = F.multi_head_attention_forward(
        norm(f"{name}.n", x).reshape(b, c, h * w).permute(2, 0, 1), text.transpose(0, 1),
        text.transpose(0, 1), c, max(1, c // HEAD), None, bias, None, None, False, 0.0,
        param(f"{name}.o.weight", c, c, 1, 1)[:, :, 0, 0], param(f"{name}.o.bias", c),
        key_padding_mask=pads, need_weights=False, use_separate_proj_weight=True, q_proj_weight=q,
        k_proj_weight=k, v_proj_weight=v)[0]
    return x + y.permute(1, 2, 0).reshape(b, c, h, w)


def attentions(name, text_name, x, condition):
    x = attention(name, x)
    return text_attention(text_name, x, *condition) if condition else x


def stage(name, x, e, out, condition):
    x = residual(f"{name}.0", x, e, out)
    return attentions(f"{name}.1", f"{name}.2", x, condition) if x.shape[2] in ATTENTION else x


def unet(x, t, condition=None):
    """condition: states of a text and its pads."""
    rate = torch.exp(-math.log(10000) * torch.arange(BASE // 2) / (BASE // 2))
    angle = t.to(torch.get_default_dtype())[:, None] * rate[None]
    e = linear("t.0", torch.cat([angle.cos(), angle.sin()], 1), 4 * BASE)
    e = linear("t.2", F.silu(e), 4 * BASE)
    if condition:
        text, pads = condition
        there = (~pads).to(torch.get_default_dtype())[:, :, None]
        mean = (text * there).sum(1) / there.sum(1)
        e = e + linear("sentence.2", F.silu(linear("sentence.0", mean, 4 * BASE)), 4 * BASE)
    h = conv("inp", x, BASE, 3)
    skips, down, up = [h], 0, 0
    for level, mult in enumerate(MULT):
        for _ in range(BLOCKS):
            h = stage(f"down.{down}", h, e, BASE * mult, condition)
            skips.append(h)
            down += 1
        if level + 1 < len(MULT):
            h = conv(f"down.{down}.0", h, BASE * mult, 3, 2)
            skips.append(h)
            down += 1
    h = attentions("ma", "mt", residual("m1", h, e, h.shape[1]), condition)
    h = residual("m2", h, e, h.shape[1])
    for level in reversed(range(len(MULT))):
        for _ in range(BLOCKS + 1):
            h = stage(f"up.{up}", torch.cat([h, skips.pop()], 1), e, BASE * MULT[level], condition)
            up += 1
        if level:
            h = conv(f"up.{up}.0", F.interpolate(h, scale_factor=2.0), h.shape[1], 3)
            up += 1
    return conv("oc", F.silu(norm("on", h)), x.shape[1], 3)


def main():
    torch.set_default_dtype(torch.float64)
    x = wave(2 * SIZE * SIZE, 0.1, 0.9).reshape(2, 1, SIZE, SIZE).float().double()
    target = wave(2 * SIZE * SIZE, 0.4, 1.7).reshape(2, 1, SIZE, SIZE).float().double()
    text = wave(2 * TOKENS * WIDTH, 1.1, 1.3).reshape(2, TOKENS, WIDTH).float().double()
    pads = torch.arange(TOKENS)[None] >= torch.tensor([[TOKENS], [3]])
    y = unet(x, torch.tensor([3, 701]), (text, pads) if sys.argv[1:] == ["text"] else None)
    loss = F.mse_loss(y, target)
    loss.backward()
    print("loss %.9e" % loss.item())
    print("output " + " ".join("%.9e" % v for v in y.flatten().tolist()))
    for name, p in params.items():
        g = p.grad.flatten()
        dot = (g.double() * wave(g.numel(), 0.3, 0.11)).sum().item()
        print("grad %s %.9e %.9e %s" % (name, g.norm().item(), dot,
                                        " ".join("%.9e" % v for v in g[:4].tolist())))


if __name__ == "__main__":
    main()
