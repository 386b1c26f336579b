"""Inception v3 with weights from safetensors files: features against PyTorch, and faulty files.

Weights are random and written here; and, to see realistic ones, those of a Keras Inception v3 that
the npm package nsfwjs contains (MIT licence; 8-bit numbers), renamed and converted here. Its
network is another classifier's: it checks the arithmetic and gives no FID. Without npm this part is
left out, without PyTorch the whole test.
"""
import base64
import contextlib
import hashlib
import io
import json
import math
import os
import re
import subprocess
import tarfile
import tempfile

import numpy as np

import chain
from inception_weights import Recorder, require_torch, theirs_of, write

TOOL = f"{os.environ['BUILD']}/tests/tool_inception"
PACKAGE, PACKAGE_SHA512 = "nsfwjs@4.4.0", (
    "krC1fgeTLXtZwgdpKJ0jm7hqv0gTSRQQRL+FhOaxaJ9Wj92t42BO3csO2odwgTAgZgf2RvkwPtp0R8Aa7dc+MA==")
KERAS = "package/dist/models/inception_v3/"
TOLERANCE = 1e-5  # of the largest feature of an image: f32, sums of up to 4,032 products, 48 layers


def run(weights, images, batch=4, threads=2, expect=0):
    """Features [n, 2048], the hash and the seconds that the tool prints; its message on failure."""
    place = os.path.dirname(weights)
    images.astype(np.float32).tofile(f"{place}/images")
    done = subprocess.run([TOOL, weights, str(batch), f"{place}/images", str(images.shape[-1]),
                           f"{place}/features"], capture_output=True, text=True, timeout=300,
                          check=False, env=dict(chain.ENV, OMP_NUM_THREADS=str(threads)))
    assert done.returncode == expect, (done.returncode, done.stderr)
    if expect:
        return done.stderr
    digest, seconds = done.stdout.split()
    return np.fromfile(f"{place}/features", np.float32).reshape(-1, 2048), digest, float(seconds)


def images_of(size, count, seed=1):
    """Noise over discs, in [-1, 1]."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    out = []
    for k in range(count):
        disc = np.where(np.hypot(y + 0.1 * math.sin(k), x) < 0.2 + 0.05 * k, 0.5, -0.6)
        out.append(np.clip(disc + 0.2 * rng.standard_normal((size, size)), -1, 1))
    return np.array(out, np.float32)


def compare(ours, theirs, what):
    error = np.abs(ours - theirs).max(1) / np.abs(theirs).max(1)
    print(f"{what}: largest error {error.max():.2g} of the largest feature")
    if len(theirs) > 1:
        assert theirs.std(0).max() > 0.01 * theirs.max(), "features do not depend on the image"
    assert error.max() < TOLERANCE, (what, error)


def sizes_agree_with_pytorch(weights, get):
    for size, count in ((1, 2), (64, 5), (299, 1), (512, 2)):
        images = images_of(size, count)
        if size == 1:
            images[:] = np.reshape([-1, 0.5], (2, 1, 1))
        ours, digest, _ = run(weights, images, batch=3)
        compare(ours, theirs_of(get, images), f"size {size}")
    assert digest == hashlib.sha256(open(weights, "rb").read()).hexdigest(), digest


def bits_depend_on_the_image_alone(weights):
    images = images_of(48, 5)
    together = run(weights, images, batch=5, threads=2)[0]
    assert (run(weights, images, batch=2, threads=1)[0] == together).all()
    assert (run(weights, images[3:4], batch=1, threads=2)[0] == together[3]).all()


def shorter_numbers_are_converted(place, tensors):
    """The values, once rounded, are exact in the 16-bit types: the features are the same bits."""
    images = images_of(32, 2)
    for kind, keep in (("F16", lambda v: v.astype(np.float16).astype(np.float32)),
                       ("BF16", lambda v: (v.view(np.uint32) & 0xFFFF0000).view(np.float32))):
        exact = {n: keep(v) for n, v in tensors.items()}
        write(f"{place}/long", exact)
        write(f"{place}/short", exact, kind)
        assert (run(f"{place}/long", images)[0] == run(f"{place}/short", images)[0]).all(), kind


def other_tensors_are_left_alone(place, tensors):
    """What pytorch-fid's file has beside the network: the head, and counters of the norms."""
    more = dict(tensors)
    more["fc.weight"] = np.ones((1008, 2048), np.float32)
    more["Conv2d_1a_3x3.bn.num_batches_tracked"] = np.array(1, np.int64)
    write(f"{place}/more", more)
    images = images_of(32, 1)
    assert (run(f"{place}/more", images)[0] == run(f"{place}/weights", images)[0]).all()


def faults_are_named(place, tensors):
    images = images_of(32, 2)
    name = "Mixed_6d.branch7x7dbl_4.conv.weight"

    def says(change, *parts):
        faulty = {n: v.copy() for n, v in tensors.items()}
        change(faulty)
        write(f"{place}/faulty", faulty)
        said = run(f"{place}/faulty", images, expect=3)
        assert all(p in said for p in parts), said

    says(lambda t: t.pop(name), "faulty", f"has no tensor {name}")
    says(lambda t: t.update({name: t[name].transpose(0, 1, 3, 2)}), name, "160 x 160 x 1 x 7",
         "160 x 160 x 7 x 1")
    says(lambda t: t.update({name: t[name].astype(np.int64)}), name, "I64")
    says(lambda t: np.put(t[name], 5, np.nan), "value 5 of", name, "not finite")
    says(lambda t: np.put(t["Mixed_5b.branch1x1.bn.running_var"], 3, -0.1), "variance 3 of",
         "Mixed_5b.branch1x1", "negative")
    images[1, 2, 3] = np.inf
    said = run(f"{place}/weights", images, expect=3)
    assert "image 1 of 2" in said and "(2, 3)" in said, said
    assert "batch of 0" in run(f"{place}/weights", images, batch=0, expect=2)
    assert "not a regular file" in run(place + "/.", images, expect=3)


# ---- the Keras network ----

def package():
    """The package as a file, kept in $BUILD once fetched; None without npm or its registry."""
    kept = f"{os.environ['BUILD']}/nsfwjs-4.4.0.tgz"
    if not os.path.exists(kept):
        with contextlib.suppress(OSError, subprocess.SubprocessError), \
                tempfile.TemporaryDirectory(dir=os.environ["BUILD"]) as place:
            subprocess.run(["npm", "pack", PACKAGE, "--silent", "--fetch-retries=0"], cwd=place,
                           capture_output=True, timeout=120, check=True)
            os.replace(f"{place}/nsfwjs-4.4.0.tgz", kept)
    if not os.path.exists(kept):
        return None
    digest = hashlib.sha512(open(kept, "rb").read()).digest()
    assert base64.b64encode(digest).decode() == PACKAGE_SHA512, f"{kept}: another content"
    return kept


def keras_arrays(path):
    """The arrays of the network by their Keras names. The files are JavaScript: the list of
    arrays is an object literal, the numbers are base64."""
    with tarfile.open(path) as tar:
        def member(name):
            return tar.extractfile(f"{KERAS}{name}.min.js").read().decode()

        literal = member("model").split("weightsManifest:")[1]
        literal = re.sub(r"([{,])(\w+):", r'\1"\2":', literal)
        literal = re.sub(r"(?<=[:,\[-])\.(?=\d)", "0.", literal)
        group = json.JSONDecoder().raw_decode(literal)[0][0]
        data = b"".join(base64.b64decode(max(re.findall(r"[A-Za-z0-9+/=]+", member(p)), key=len))
                        for p in group["paths"])
    arrays, stream = {}, io.BytesIO(data)
    for w in group["weights"]:
        q = w["quantization"]
        assert q["dtype"] == "uint8", q
        raw = np.frombuffer(stream.read(math.prod(w["shape"])), np.uint8)
        arrays[w["name"]] = (raw * q["scale"] + q["min"]).astype(np.float32).reshape(w["shape"])
    assert not stream.read(), "bytes of no array"
    return arrays


def keras_tensors(arrays, names):
    """The arrays under pytorch-fid's names. Keras numbers the units in the order of the layers."""
    tensors = {}
    for number, name in enumerate(names, 1):
        norm = f"batch_normalization_{number}/"
        tensors[f"{name}.conv.weight"] = np.ascontiguousarray(
            arrays[f"conv2d_{number}/kernel"].transpose(3, 2, 0, 1))
        tensors[f"{name}.bn.bias"] = arrays[norm + "beta"]
        tensors[f"{name}.bn.weight"] = np.ones_like(arrays[norm + "beta"])
        tensors[f"{name}.bn.running_mean"] = arrays[norm + "moving_mean"]
        # The 8 bits of a variance near 0 may stand for a number below it.
        tensors[f"{name}.bn.running_var"] = np.maximum(arrays[norm + "moving_variance"], 0)
    return tensors


def units_in_order(names):
    """Names of units in the order in which network() asked for them, which is that of Keras."""
    return list(dict.fromkeys(n.split(".conv.")[0] for n in names if n.endswith("conv.weight")))


def published_weights_agree_with_pytorch(place, names):
    path = package()
    if not path:
        print("no npm, or no package nsfwjs: no published weights")
        return
    import torch
    tensors = keras_tensors(keras_arrays(path), names)
    write(f"{place}/keras", tensors)
    for size in (128, 299):
        images = images_of(size, 3)
        ours = run(f"{place}/keras", images)[0]
        compare(ours, theirs_of(lambda name, *shape: torch.from_numpy(tensors[name]), images),
                f"published weights, size {size}")


def main():
    require_torch()
    get = Recorder()
    theirs_of(get, images_of(32, 1))
    with tempfile.TemporaryDirectory() as place:
        weights = f"{place}/weights"
        write(weights, get)
        sizes_agree_with_pytorch(weights, get)
        bits_depend_on_the_image_alone(weights)
        shorter_numbers_are_converted(place, get)
        other_tensors_are_left_alone(place, get)
        faults_are_named(place, get)
        published_weights_agree_with_pytorch(place, units_in_order(get))


main()
