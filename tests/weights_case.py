"""What the tests of weights share: safetensors files read without ctaug, what `ctaug weights`
writes, and a forward pass of a network of ctaug (tool_network.c)."""
import json
import os
import struct
import subprocess
import sys

import h5py
import numpy as np

import chain

TOOL = f"{chain.TOOLS}/tool_network"


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


def is_the_checkpoint(path, state, group, others=()):
    """The file has the arrays of a group, with their bits, and the others of the top level."""
    found, about = tensors(path)
    with h5py.File(state, "r") as f:
        expected = {**f[group], **{name: f[name] for name in others}}
        assert set(expected) == set(found)
        for name, values in expected.items():
            assert np.array_equal(values[...].view("u4"), found[name].view("u4")), name
            assert values.shape == found[name].shape
    assert about["group"] == group and about["producer"].startswith("ctaug ")


def forward(place, network, path, inputs, **settings):
    """The outputs of the network for inputs with the channels last, one after the other."""
    np.concatenate([np.ravel(x) for x in inputs]).astype("<f4").tofile(f"{place.root}/in")
    subprocess.run([TOOL, network, path, f"{place.root}/in", f"{place.root}/out",
                    *(f"{name}={value}" for name, value in settings.items())], check=True)
    return np.fromfile(f"{place.root}/out", "<f4")


def has_torch():
    """Asked for in another process: importing it takes seconds and memory."""
    there = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True,
                           check=False).returncode == 0
    if not there:
        print("no PyTorch: its outputs were not compared")
    return there


# PyTorch computes in f64, so that differences are the rounding of ctaug alone.
def whole(values):
    """An input of PyTorch with a batch of one."""
    return sys.modules["torch"].from_numpy(np.array(values)[None]).double()


def first(image):
    """An image with the channels last, as PyTorch has it, with a batch of one."""
    return whole(np.moveaxis(image, -1, 0))


def last(image):
    """The other way."""
    return np.moveaxis(image.numpy()[0], 0, -1)


def load(net, found):
    """Gives a PyTorch module the parameters of a file, which must be all of it."""
    net.load_state_dict({k: sys.modules["torch"].from_numpy(v.copy()) for k, v in found.items()})
    return net.double().eval()


def same(name, theirs, ours):
    """The outputs of PyTorch and of ctaug, which are not 0, agree."""
    theirs = np.ravel(theirs)
    assert theirs.shape == ours.shape, (name, theirs.shape, ours.shape)
    largest, apart = np.abs(theirs).max(), np.abs(theirs - ours).max()
    assert largest > 0.01 and apart < 1e-5, (name, largest, apart)
