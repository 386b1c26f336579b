"""Weights as safetensors: what `ctaug weights` writes has the names, shapes and bits of the
checkpoint (h5py); PyTorch modules load it and compute the same; a training begins with it
(train.start); what does not fit is refused by name."""
import glob
import os

import numpy as np

import chain
from weights_case import (export, first, forward, has_torch, is_the_checkpoint, last, load, same,
                          tensors, whole)

SIZE, MAPS = 32, 9 + 3  # labels with the background, tissues
WORDS = ["--set", "evaluate.fidelity=0.2", "--set", "generate.painters=[diffusion, gan]", "--set",
         "gan.steps=4"]


def torch_agrees(place, paths):
    import torch
    import torch_networks as nets

    draw = np.random.default_rng(1)
    x = draw.normal(size=(SIZE, SIZE, 1 + MAPS)).astype("f4")
    t, position, kind = 321, np.float32(0.4), np.float32([0, 1, 0])
    found = {name: tensors(path)[0] for name, path in paths.items()}
    # The file of a generator also has the discriminator that it was trained against.
    found["generator"] = {k: v for k, v in found["generator"].items() if not k.startswith("d.")}

    def ours(name, labels, *inputs):
        return forward(place, name, paths[name], inputs, size=SIZE, labels=labels)

    with torch.no_grad():
        for name, end in (("unet", lambda y: y), ("generator", torch.tanh)):
            net = load(nets.UNet(SIZE, MAPS), found[name])
            said = net(first(x), whole(t), whole(position), whole(kind))
            same(name, end(said), ours(name, MAPS, x, t, position, kind))
        said = load(nets.SegNet(9), found["segnet"])(first(x[..., :1]))
        same("segnet", last(said), ours("segnet", 9, x[..., :1]))
        net = load(nets.Discriminator(MAPS), found["discriminator"])
        said = net(first(x[..., :1]), first(x[..., 1:]))
        same("discriminator", said, ours("discriminator", MAPS, x[..., :1], x[..., 1:], [1], [1]))


def trains_on(place, out, path):
    """A training of no effect (learning rate near 0) that begins with the file ends with it."""
    study, other = place.study("second")
    words = ["--set", f"train.start={path}", "--set", "train.lr=1e-8", "--set", "train.warmup=0",
             "--set", "train.weight_decay=0"]
    chain.run(0, "ingest", study)
    said = chain.run(2, "train", study, *words)
    assert f"begins with the parameters in {path}" in said, said
    ours = tensors(export(place, newest(f"{other}/checkpoints"), "second"))[0]
    for name, values in tensors(path)[0].items():
        assert np.abs(ours[name] - values).max() < 1e-6, name
    assert "is current" in chain.run(2, "train", study, *words)
    # Other content under the same name is another training.
    data = bytearray(open(path, "rb").read())
    data[-1] ^= 1
    with open(path, "wb") as f:
        f.write(data)
    assert "moved to" in chain.run(2, "train", study, *words)


def what_does_not_fit(place, out, paths):
    study, _ = place.study("third")
    chain.run(0, "ingest", study)
    wrong = [(paths["segnet"], "has no tensor"), (f"{place.root}/none", "none"),
             (paths["unet"], "has the shape")]
    for path, why in wrong:
        words = ["--set", f"train.start={path}"]
        words += ["--set", "model.tissue=off"] if "shape" in why else []
        said = chain.run(2, "train", study, *words, expect=3)
        assert why in said and path in said, said
    for directory in (f"{out}/store", out, f"{out}/nothing"):
        said = chain.run(0, "weights", directory, "--out", f"{place.root}/x", expect=3)
        assert directory in said and not os.path.exists(f"{place.root}/x"), said
    said = chain.run(0, "weights", f"{out}/referee", "--out", paths["unet"], expect=2)
    assert "exists already" in said, said


def newest(folder):
    return sorted(glob.glob(f"{folder}/step-*"))[-1]


def main():
    with chain.Place() as place:
        study, out = place.study("first")
        for stage in ("ingest", "referee", "train", "gan"):
            chain.run(2, stage, study, *WORDS)
        gan = glob.glob(f"{out}/gan/*")[0]
        at = {"unet": newest(f"{out}/checkpoints"), "segnet": f"{out}/referee",
              "generator": newest(f"{gan}/generator"),
              "discriminator": newest(f"{gan}/discriminator")}
        paths = {}
        for name, directory in at.items():
            paths[name] = export(place, directory, name)
            file = "parameters.h5" if name == "segnet" else "state.h5"
            group = "parameters" if name in ("segnet", "discriminator") else "ema"
            is_the_checkpoint(paths[name], f"{directory}/{file}", group)
        if has_torch():
            torch_agrees(place, paths)
        what_does_not_fit(place, out, paths)
        trains_on(place, out, paths["unet"])


main()
