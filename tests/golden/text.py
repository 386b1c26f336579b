"""Makes tests/golden/text.txt: results of PyTorch for a small text encoder.

Usage: text.py > text.txt (Debian's python3-torch; needed only to make the file again)

The network of model/net/text_encoder.h by functions of PyTorch: multi_head_attention_forward with
its mask of pads, layer_norm, embedding. Parameters follow from the formula of golden/unet.py, which
tests/torch_case.h repeats.
"""
import torch
import torch.nn.functional as F

from unet import param, params, wave

TOKENS, VOCABULARY, WIDTH, HEADS, BLOCKS, EMBEDDING = 7, 20, 16, 2, 2, 5
SENTENCES = [[17, 3, 3, 11, 0, 5, 18], [17, 9, 3, 18, 19, 19, 19]]
PAD = 19


def norm(name, x):
    return F.layer_norm(x, (WIDTH,), param(f"{name}.weight", WIDTH, one=1.0),
                        param(f"{name}.bias", WIDTH))


def linear(name, x, out):
    """A linear layer whose weight is that of a convolution with kernel 1."""
    weight = param(f"{name}.weight", out, x.shape[-1], 1, 1)
    return F.linear(x, weight[:, :, 0, 0], param(f"{name}.bias", out))


def attention(name, x, pads):
    """x [tokens, batch, width], pads [batch, tokens]."""
    into = [param(f"{name}.q.weight", WIDTH, WIDTH, 1, 1),
            param(f"{name}.kv.weight", 2 * WIDTH, WIDTH, 1, 1)]
    bias = [param(f"{name}.q.bias", WIDTH), param(f"{name}.kv.bias", 2 * WIDTH)]
    out = param(f"{name}.o.weight", WIDTH, WIDTH, 1, 1)
    return F.multi_head_attention_forward(
        x, x, x, WIDTH, HEADS, torch.cat(into)[:, :, 0, 0], torch.cat(bias), None, None, False, 0.0,
        out[:, :, 0, 0], param(f"{name}.o.bias", WIDTH), key_padding_mask=pads,
        need_weights=False)[0]


def encoder(tokens):
    """States [batch, tokens, width] and vectors [batch, EMBEDDING]."""
    pads = tokens == PAD
    x = F.embedding(tokens, param("text.embed.weight", VOCABULARY, WIDTH))
    x = (x + param("text.embed.place", TOKENS, WIDTH)).transpose(0, 1)
    for k in range(BLOCKS):
        x = x + attention(f"text.{k}", norm(f"text.{k}.n1", x), pads)
        h = linear(f"text.{k}.up", norm(f"text.{k}.n2", x), 4 * WIDTH)
        x = x + linear(f"text.{k}.down", F.silu(h), WIDTH)
    states = norm("text.n", x).transpose(0, 1)
    kept = (~pads).float()[:, :, None]
    mean = (states * kept).sum(1) / kept.sum(1)
    weight = param("text.pool.weight", EMBEDDING, WIDTH)
    return states, F.linear(mean, weight, param("text.pool.bias", EMBEDDING))


def show(name, values):
    print(name + " " + " ".join("%.9e" % v for v in values.flatten().tolist()))


def main():
    states, vectors = encoder(torch.tensor(SENTENCES))
    target = wave(2 * EMBEDDING, 0.4, 1.7).reshape(2, EMBEDDING).float()
    loss = F.mse_loss(vectors, target)
    loss.backward()
    show("loss", loss)
    show("first", states[0])
    show("second", states[1, :4])
    show("embedding", vectors)
    for name, p in params.items():
        g = p.grad.flatten()
        dot = (g.double() * wave(g.numel(), 0.3, 0.11)).sum()
        show("grad " + name, torch.cat([torch.stack([g.norm().double(), dot]), g[:4].double()]))


if __name__ == "__main__":
    main()
