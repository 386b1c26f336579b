"""Weights as safetensors: what `ctaug weights` writes has the names, shapes and bits of the
checkpoint (h5py); PyTorch modules load it and compute the same; a training begins with it
(train.start); what does not fit is refused by name."""
import glob
import json
import os
import struct
import subprocess
import sys

import h5py
import numpy as np

import chain

TOOL = f"{chain.TOOLS}/tool_network"
SIZE, MAPS = 32, 9 + 3  # labels with the background, tissues
WORDS = ["--set", "evaluate.fidelity=0.2", "--set", "generate.painters=[diffusion, gan]", "--set",
         "gan.steps=4"]


def tensors(path):
    """({name: array}, metadata) of a safetensors file, read without ctaug."""
    with open(path, "rb") as f:
        data = f.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    assert length % 8 == 0
    about, found = header.pop("__metadata__"), {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        values = np.frombuffer(data[8 + length:][begin:end], "<f4")
        found[name] = values.reshape(entry["shape"])
        assert entry["dtype"] == "F32"
    return found, about


def export(place, directory, name):
    path = f"{place.root}/{name}.safetensors"
    said = chain.run(0, "weights", directory, "--out", path)
    assert f"wrote {path}" in said and os.stat(path).st_mode & 0o777 == 0o600, said
    return path


def is_the_checkpoint(path, state, group):
    found, about = tensors(path)
    with h5py.File(state, "r") as f:
        assert set(f[group]) == set(found)
        for name, values in f[group].items():
            assert np.array_equal(values[...].view("u4"), found[name].view("u4")), name
            assert values.shape == found[name].shape
    assert about["group"] == group and about["producer"].startswith("ctaug ")


def forward(place, kind, path, maps, inputs):
    """The output of the network for inputs with the channels last."""
    np.concatenate([np.ravel(x) for x in inputs]).astype("<f4").tofile(f"{place.root}/in")
    subprocess.run([TOOL, kind, path, str(SIZE), str(maps), f"{place.root}/in",
                    f"{place.root}/out"], check=True)
    return np.fromfile(f"{place.root}/out", "<f4")


def torch_agrees(place, paths):
    import torch
    import torch_networks as nets

    draw = np.random.default_rng(1)
    x = draw.normal(size=(SIZE, SIZE, 1 + MAPS)).astype("f4")
    t, position, kind = np.float32([321]), np.float32([0.4]), np.float32([0, 1, 0])

    def load(net, path):
        # The file of a generator also has the discriminator that it was trained against.
        other = "d." if isinstance(net, nets.UNet) else "none"
        net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in tensors(path)[0].items()
                             if not k.startswith(other)})
        return net.eval()

    def first(image):
        return torch.from_numpy(np.moveaxis(image, -1, 0)[None].copy())

    with torch.no_grad():
        for name, last in (("unet", lambda y: y), ("generator", torch.tanh)):
            net = load(nets.UNet(SIZE, MAPS), paths[name])
            said = last(net(first(x), torch.from_numpy(t), torch.from_numpy(position),
                            torch.from_numpy(kind[None]))).numpy()[0, 0]
            ours = forward(place, name, paths[name], MAPS, [x, t, position, kind])
            assert np.abs(said).max() > 0.01 and np.abs(said.ravel() - ours).max() < 1e-5, name
        net = load(nets.SegNet(9), paths["segnet"])
        said = np.moveaxis(net(first(x[..., :1])).numpy()[0], 0, -1)
        ours = forward(place, "segnet", paths["segnet"], 9, [x[..., :1]])
        assert np.abs(said).max() > 0.01 and np.abs(said.ravel() - ours).max() < 1e-5
        net = load(nets.Discriminator(MAPS), paths["discriminator"])
        said = net(first(x[..., :1]), first(x[..., 1:])).item()
        ours = forward(place, "discriminator", paths["discriminator"], MAPS,
                       [x[..., :1], x[..., 1:], [1], [1]])
        assert abs(said - ours[0]) < 1e-5, (said, ours)


def trains_on(place, out, path):
    """A training of no effect (learning rate near 0) that begins with the file ends with it."""
    study, other = place.study("second")
    words = ["--set", f"train.start={path}", "--set", "train.lr=1e-8", "--set", "train.warmup=0",
             "--set", "train.weight_decay=0"]
    chain.run(0, "ingest", study)
    said = chain.run(2, "train", study, *words)
    assert f"begins with the parameters in {path}" in said, said
    ours, theirs = tensors(export(place, newest(f"{other}/checkpoints"), "second"))[0], tensors(path)[0]
    for name, values in theirs.items():
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
        if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True,
                          check=False).returncode == 0:
            torch_agrees(place, paths)
        else:
            print("no PyTorch: its outputs were not compared")
        what_does_not_fit(place, out, paths)
        trains_on(place, out, paths["unet"])


main()
