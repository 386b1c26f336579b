"""Weights of networks that a model of latents or of text has: `ctaug weights` writes those of the
autoencoder with the scale of its latents, and those of the denoiser of latents, with the bits of
the checkpoint (h5py); PyTorch modules load them and compute the same. So do modules with random
parameters, in which no layer is 0, as ctaug with these: autoencoders of both factors, denoisers
with every input, and the text encoder."""
import math

import numpy as np

import chain
import checkpoints
from inception_weights import write
from weights_case import (export, first, forward, has_torch, is_the_checkpoint, last, load, same,
                          tensors, whole)

SIZE, FACTOR, Z, BASE, BLOCKS, MAPS, BITS = 32, 4, 4, 8, 1, 9 + 3, 4
SET = [word for setting in ("model.space=latent", "generate.appearance=0", "autoencode.steps=12",
                            "autoencode.batch=8", f"autoencode.base={BASE}",
                            f"autoencode.blocks={BLOCKS}", "autoencode.patch=16", "train.copies=0",
                            "train.ema=0.5") for word in ("--set", setting)]


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype("f4")


def bits(seed, side, count):
    return np.random.default_rng(seed).integers(0, 2, (side, side, count)).astype("f4")


def randomise(net, seed):
    """Random parameters for all layers of a module; gains of norms are around 1."""
    draw = np.random.default_rng(seed)
    found = {}
    for name, values in net.state_dict().items():
        fan = math.prod(values.shape[1:]) if values.dim() > 1 else 16
        gain = values.dim() == 1 and name.endswith(".weight")
        share = draw.uniform(-1, 1, values.shape) / math.sqrt(fan)
        found[name] = (gain + share).astype("f4")
    return load(net, found), found


def autoencoder_agrees(place, found, net, **settings):
    """Encoder and decoder, each with its share of the parameters."""
    import torch

    for side in ("encoder", "decoder"):
        write(f"{place.root}/{side}", {k: v for k, v in found.items() if k.startswith(side + ".")})
    small = settings["size"] // settings["factor"]
    image, latent = numbers(1, SIZE, SIZE, 1), numbers(2, small, small, settings["channels"])
    ours = forward(place, "encoder", f"{place.root}/encoder", [image], **settings)
    same("encoder", last(torch.cat(net.encode(first(image)), 1)), ours)
    ours = forward(place, "decoder", f"{place.root}/decoder", [latent], **settings)
    same("decoder", last(net.decode(first(latent))), ours)


def denoiser_agrees(place, path, net, more, **settings):
    """more: {name: input with the channels last} besides x, t, position and class."""
    side, channels = settings["size"], settings.get("channels", 1)
    x = numbers(3, side, side, channels + settings["labels"])
    t, position, kind = 321, np.float32(0.4), np.float32([0, 1, 0])
    ours = forward(place, "unet", path, [x, t, position, kind, *more.values()], **settings)
    theirs = {k: (first if np.ndim(v) == 3 else whole)(v) for k, v in more.items()}
    said = net(first(x), whole(t), whole(position), whole(kind), **theirs)
    same("denoiser", last(said), ours)


def trained_agree(place, autoencoder, denoiser):
    import torch_networks as nets

    found = tensors(autoencoder)[0]
    autoencoder_agrees(place, found, load(nets.Autoencoder(FACTOR, Z, BASE, BLOCKS), found),
                       size=SIZE, factor=FACTOR, channels=Z, base=BASE, blocks=BLOCKS)
    side = SIZE // FACTOR
    net = nets.UNet(side, MAPS, channels=Z, codes=(BITS, FACTOR))
    denoiser_agrees(place, denoiser, load(net, tensors(denoiser)[0]),
                    {"codes": bits(4, SIZE, BITS)}, size=side, labels=MAPS, channels=Z, bits=BITS,
                    factor=FACTOR)


def random_autoencoders_agree(place):
    """One with fewer channels than Haar coefficients and two blocks a level, one with more and two
    heads of attention."""
    import torch_networks as nets

    for factor, z, base, blocks in ((4, 3, 8, 2), (8, 6, 16, 1)):
        net, found = randomise(nets.Autoencoder(factor, z, base, blocks), factor)
        autoencoder_agrees(place, found, net, size=SIZE, factor=factor, channels=z, base=base,
                           blocks=blocks)


def random_denoisers_agree(place):
    """One of latents with codes and text, with attention at the first level; one of pixels with
    numbers and the inputs and outputs of a shortcut model and a learned variance."""
    import torch_networks as nets

    path, tokens, width = f"{place.root}/random", 7, 10
    net, found = randomise(nets.UNet(16, 5, channels=3, codes=(2, 8), text=width), 1)
    write(path, found)
    text = {"text": numbers(5, tokens, width), "mask": np.float32([1, 1, 1, 1, 1, 0, 0])}
    denoiser_agrees(place, path, net, {"codes": bits(6, 16 * 8, 2), **text}, size=16, labels=5,
                    channels=3, bits=2, factor=8, tokens=tokens, width=width)
    net, found = randomise(nets.UNet(16, 5, numbers=3, step_size=True, spread=True), 2)
    write(path, found)
    more = {"numbers": np.float32([0.3, 1, 0, 0, -1.2, 1]), "d": np.float32(0.25)}
    denoiser_agrees(place, path, net, more, size=16, labels=5, numbers=3, step_size=1, spread=1)


def text_encoder_agrees(place):
    """The vector of the sentence and the states of its tokens; those of pads say nothing."""
    import torch_networks as nets

    path, mask = f"{place.root}/random", np.float32([1, 1, 1, 1, 1, 0, 0, 0])
    settings = {"tokens": len(mask), "vocabulary": 20, "width": 32, "head": 8, "blocks": 2,
                "embedding": 5}
    net, found = randomise(nets.TextEncoder(**settings), 3)
    write(path, found)
    tokens = np.array([17, 3, 3, 11, 18, 19, 4, 0])
    ours = forward(place, "text", path, [tokens, mask], **settings)
    states, vector = net(whole(tokens).long(), whole(mask))
    kept = int(mask.sum()) * settings["width"]
    same("states", states.numpy().ravel()[:kept], ours[:kept])
    same("vector", vector, ours[states.numel():])


def main():
    with chain.Place() as place:
        study, out = place.study("latent")
        for stage in ("ingest", "autoencode", "train"):
            chain.run(0, stage, study, *SET)
        autoencoder = export(place, f"{out}/autoencoder", "autoencoder")
        is_the_checkpoint(autoencoder, f"{out}/autoencoder/parameters.h5", "parameters",
                          others=["scale"])
        newest = checkpoints.newest(out)
        denoiser = export(place, newest, "denoiser")
        is_the_checkpoint(denoiser, f"{newest}/state.h5", "ema")
        if has_torch():
            import torch

            with torch.no_grad():
                trained_agree(place, autoencoder, denoiser)
                random_autoencoders_agree(place)
                random_denoisers_agree(place)
                text_encoder_agrees(place)


main()
