"""The stage autoencode on several ranks: the bits do not depend on the number of ranks, nor on
which labels are used; a killed or stopped training ends in the same bits; what it publishes is
computed again by numpy, network included; and it leaves studies of pixels alone."""
import itertools
import json
import os
import shutil
import signal

import h5py
import numpy
from numpy.lib.stride_tricks import sliding_window_view

import chain
import checkpoints
from checkpoints import arrays
from interruption import interrupt
from numpy_autoencoder import decode, encode, from_map, published, to_map

STEPS, PATCH, CAP = 24, 16, 3.0
PLAIN = ("--set", "model.space=latent", "--set", "generate.appearance=0", "--set",
         f"autoencode.steps={STEPS}", "--set", "autoencode.batch=8", "--set", "autoencode.base=8",
         "--set", "autoencode.blocks=1", "--set", f"autoencode.patch={PATCH}", "--set",
         f"autoencode.cap={CAP}", "--set", "autoencode.lr=1e-3")
SET = (*PLAIN, "--set", "train.reproducible=on", "--set", "train.checkpoint_every=2", "--set",
       "train.ema=0.9")
NETWORKS = ("autoencoder", "discriminator")


# ---- what is measured, by numpy ----

def ssim(a, b, value_range):
    at = numpy.arange(11) - 5
    window = numpy.exp(-(at[:, None] ** 2 + at[None, :] ** 2) / (2 * 1.5 ** 2))
    window /= window.sum()

    def local(x):
        return numpy.einsum("hwij,ij->hw", sliding_window_view(x, (11, 11)), window)

    c1, c2 = (0.01 * value_range) ** 2, (0.03 * value_range) ** 2
    mu_a, mu_b = local(a), local(b)
    var_a, var_b = local(a * a) - mu_a ** 2, local(b * b) - mu_b ** 2
    cov = local(a * b) - mu_a * mu_b
    return ((2 * mu_a * mu_b + c1) * (2 * cov + c2)
            / ((mu_a ** 2 + mu_b ** 2 + c1) * (var_a + var_b + c2))).mean()


def close(seen, expected, tolerance):
    assert abs(seen - expected) <= tolerance, (seen, expected, tolerance)


def check_noise(table, real, made, map_of):
    """The noise power of patches within one structure, by numpy's FFT."""
    at = numpy.sin(numpy.pi * (numpy.arange(16) + 0.5) / 16) ** 2
    window, f = numpy.outer(at, at), numpy.fft.fftfreq(16)
    radius = numpy.hypot(f[:, None], f[None, :])
    sums, patches = numpy.zeros((2, 4)), 0
    for z, y, x in itertools.product(range(len(real)), range(0, 17, 8), range(0, 17, 8)):
        inside = map_of[z, y:y + 16, x:x + 16]
        if inside[0, 0] == 0 or (inside != inside[0, 0]).any():
            continue
        patches += 1
        for k, image in enumerate((real, made)):
            patch = image[z, y:y + 16, x:x + 16]
            power = abs(numpy.fft.fft2((patch - patch.mean()) * window)) ** 2 / (window**2).sum()
            sums[k] += [power[(radius > b / 8) & (radius <= (b + 1) / 8)].mean() for b in range(4)]
    assert table["patches"] == patches, (table["patches"], patches)
    for b, band in enumerate(table["bands"]):
        assert (band["from"], band["to"]) == (b / 8, (b + 1) / 8), band
        for k, name in enumerate(("real", "made")):
            if patches == 0:
                assert band[name] is None
            else:
                close(band[name], sums[k, b] / patches, 1e-3 * sums[k, b] / patches)


def check_residual(out, slices):
    """The noise that is dropped, of (HU, reconstructed HU) of all training slices."""
    size = len(slices[0][0])
    at = numpy.sin(numpy.pi * (numpy.arange(8) + 0.5) / 8) ** 2
    window = numpy.outer(at, at)
    squares, pixels, power = numpy.zeros((len(slices), 4)), numpy.zeros((len(slices), 4)), 0
    for k, (real, made) in enumerate(slices):
        ones, total = (sum(numpy.pad(x, 1)[i:i + size, j:j + size]
                           for i in range(3) for j in range(3)) for x in (made * 0 + 1, made))
        kind = (numpy.digitize(total / ones, (-200, -30, 150)) - 1) % 4
        for y, x in itertools.product(range(0, size - 7, 4), range(0, size - 7, 4)):
            inside = kind[y:y + 8, x:x + 8]
            if (inside != inside[0, 0]).any():
                continue
            patch = (real - made)[y:y + 8, x:x + 8]
            patch = patch - patch.mean()
            squares[k, inside[0, 0]] += (patch ** 2).sum()
            pixels[k, inside[0, 0]] += 64
            if inside[0, 0] < 3:
                power = power + abs(numpy.fft.fft2(patch * window)) ** 2 / (window ** 2).sum()
    body = squares[:, :3].sum() / pixels[:, :3].sum()
    sigma = numpy.sqrt([squares[:, i].sum() / pixels[:, i].sum() if pixels[:, i].any()
                        else body if i < 3 else 0 for i in range(4)])
    kernel = numpy.fft.fftshift(numpy.fft.ifft2(numpy.sqrt(power)).real)[1:, 1:]
    expected = (pixels[:, :3] * sigma[:3] ** 2).sum(1)
    level = numpy.sort(numpy.sqrt(squares[:, :3].sum(1)[expected > 0] / expected[expected > 0]))
    with h5py.File(f"{out}/autoencoder/parameters.h5", "r") as f:
        made = {name: f[f"residual.{name}"][...] for name in ("kernel", "sigma", "level")}
    assert (pixels[:, :3] > 0).any() and (sigma[:3] > 1).all(), (pixels.sum(0), sigma)
    assert numpy.allclose(made["sigma"], sigma, rtol=2e-3), (made["sigma"], sigma)
    kernel /= numpy.sqrt((kernel ** 2).sum())
    assert abs(made["kernel"] - kernel).max() < 2e-3, abs(made["kernel"] - kernel).max()
    quantiles = [level[(2 * i + 1) * len(level) // 32] for i in range(16)]
    assert numpy.allclose(made["level"], quantiles, rtol=5e-3), (made["level"], quantiles)


def check_published(out, levels):
    """Table and scale, from the store and the published parameters alone. The network of ctaug
    computes in f32; a volume is validation's if it has its numbers of pixels."""
    p, scale = published(out)
    volumes, labels = chain.read_store(f"{out}/store")
    with open(f"{out}/autoencoder/reconstruction.json") as f:
        table = json.load(f)
    structures = list(table["structures"])
    assert structures == labels[1:], (structures, labels)

    def pixels(volume):
        return [int((volumes[volume][1] == k).sum()) for k in range(1, len(labels))]

    held = [v for v in volumes
            if pixels(v) == [table["structures"][s]["pixels"] for s in structures]]
    assert len(held) == 1 and table["patients"] == 1, held
    hu, map_of = volumes[held[0]][:2]
    assert table["slices"] == len(hu)
    real = from_map(to_map(hu.astype(float)))
    made = numpy.array([from_map(decode(p, encode(p, to_map(x.astype(float))[:, :, None], levels),
                                        levels)[:, :, 0]) for x in hu])
    for k, name in enumerate(structures, 1):
        error, row = (made - real)[map_of == k], table["structures"][name]
        if len(error) == 0:
            assert row["bias"] is None and row["spread"] is None
            continue
        close(row["bias"], error.mean(), 0.02)
        close(row["spread"], error.std(), 0.02)
    a, b = numpy.clip(real, -1000, 1000), numpy.clip(made, -1000, 1000)
    close(table["psnr"], (10 * numpy.log10(2000 ** 2 / ((a - b) ** 2).mean((1, 2)))).mean(), 1e-3)
    close(table["ssim"], numpy.mean([ssim(x, y, 2000) for x, y in zip(a, b)]), 1e-4)

    check_noise(table["noise"], a, b, map_of)

    others = [v for v in volumes if v != held[0]]
    latents = {v: numpy.array([encode(p, to_map(x.astype(float))[:, :, None], levels)
                               for x in volumes[v][0]]) for v in others}
    found = [pair for pair in itertools.combinations(others, 2)
             if numpy.allclose(scale, 1 / numpy.concatenate([latents[v] for v in pair])
                               .std((0, 1, 2)), rtol=1e-4)]
    assert len(found) == 1, (scale, found)
    check_residual(out, [(from_map(to_map(x.astype(float))),
                          from_map(decode(p, z, levels)[:, :, 0]))
                         for v in found[0] for x, z in zip(volumes[v][0], latents[v])])


# ---- trainings ----

def folder(out):
    """The only folder of a training."""
    return checkpoints.only_folder(f"{out}/autoencoder-training")


def newest(out, network):
    return checkpoints.newest(folder(out), network) if folder(out) else None


def same(one, other):
    """The published files and the states of both networks have the same bits."""
    a, b = chain.hashes(f"{one}/autoencoder"), chain.hashes(f"{other}/autoencoder")
    assert a == b and len(a) == 3, (a, b)
    for network in NETWORKS:
        a, b = arrays(newest(one, network)), arrays(newest(other, network))
        assert a.keys() == b.keys() and len(a) > 20, (len(a), len(b))
        for name in a:
            assert numpy.array_equal(a[name], b[name]), (network, name)


def copy_of(place, store, name):
    study, out = place.study(name)
    shutil.copytree(store, f"{out}/store")
    return study, out


def interrupted(place, store, network, sign):
    """A training all of whose ranks get a signal after the first checkpoint of a network."""
    study, out = copy_of(place, store, f"interrupted-{network}-{sign.name}")
    code = interrupt(sign, f"{out}/*/{network}/step-????????", 2, "autoencode", study, *SET)
    return study, out, code


def check_networks(out):
    """A third of the steps is without a discriminator. It learned, the autoencoder's copy of it is
    divided by its norm and not trained, and the adversarial weight was measured."""
    a, d = (arrays(newest(out, network)) for network in NETWORKS)
    assert newest(out, "autoencoder").endswith(f"step-{STEPS:08d}")
    assert newest(out, "discriminator").endswith(f"step-{STEPS - STEPS // 3:08d}")
    assert 0 < a["adversarial_weight"][0] <= CAP, a["adversarial_weight"]
    assert not numpy.any(a["adam_m/d.0.weight"]) and numpy.any(d["adam_m/d.0.weight"])
    assert numpy.any(a["adam_m/decoder.oc.weight"]) and numpy.any(a["adam_m/encoder.inp.weight"])
    for k in range(5):
        weight = a[f"parameters/d.{k}.weight"]
        largest = numpy.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]
        # A power iteration approaches the singular value from below.
        assert 0.99 < largest < 1.3, (k, largest)
    p, _ = published(out)
    for name, value in p.items():
        assert numpy.array_equal(value, a[f"ema/{name}"]), name


def check_interrupted(place, out):
    """Also one whose newest discriminator is lost, as after a kill between the two networks."""
    for network, sign, ranks in (("autoencoder", signal.SIGKILL, 4),
                                 ("discriminator", signal.SIGKILL, 1),
                                 ("discriminator", signal.SIGUSR1, 2)):
        study, at, code = interrupted(place, f"{out}/store", network, sign)
        assert (code == 75) == (sign == signal.SIGUSR1), code
        assert not os.path.exists(f"{at}/autoencoder/manifest.json")
        if ranks == 1:
            shutil.rmtree(newest(at, "discriminator"))
        chain.run(ranks, "autoencode", study, *SET)
        same(out, at)


def check_variants(place, store):
    """Recomputed activations give the same bits; factor 8, bf16 and an odd share of ranks run."""
    found = {}
    few = (*PLAIN, "--set", "autoencode.steps=6")
    for name, ranks, words in (("plain", 1, ()), ("recomputed", 1, ("train.recompute=blocks",)),
                               ("three", 3, ()), ("bf16", 1, ("train.precision=bf16",)),
                               ("eight", 1, ("autoencode.factor=8", "autoencode.z=2")),
                               ("alone", 2, ("autoencode.cap=0",))):
        study, out = copy_of(place, store, name)
        chain.run(ranks, "autoencode", study, *few,
                  *(w for word in words for w in ("--set", word)))
        found[name] = out
    same(found["plain"], found["recomputed"])
    check_published(found["eight"], 4)
    check_published(found["alone"], 3)
    assert newest(found["alone"], "autoencoder") and not newest(found["alone"], "discriminator")
    tables = []
    for name in ("plain", "three", "bf16"):
        with open(f"{found[name]}/autoencoder/reconstruction.json") as f:
            tables.append(json.load(f)["psnr"])
    # Three ranks round other sums; bf16 has 8 bits.
    assert abs(tables[1] - tables[0]) < 0.3 and 0 < abs(tables[2] - tables[0]) < 1, tables


def check_refusals(place, store):
    """Pixels need no autoencoder; the GAN knows no latents; keys."""
    study, out = copy_of(place, store, "refused")
    said = chain.run(1, "autoencode", study)
    assert "model.space is pixel" in said and not os.path.exists(f"{out}/autoencoder"), said
    said = chain.run(1, "gan", study, *PLAIN, expect=2)
    assert "gan: model.space is latent" in said, said
    said = chain.run(1, "autoencode", study, *PLAIN, "--set", "autoencode.steps=2")
    assert "next: ctaug train" in said, said
    assert os.path.exists(f"{out}/autoencoder/manifest.json")
    said = chain.run(1, "verify", out)
    assert any(line.startswith(f"{out}/autoencoder ") for line in said.splitlines()), said
    with open(f"{out}/autoencoder/reconstruction.json", "a") as f:
        f.write(" ")
    said = chain.run(1, "verify", out, expect=5)
    assert "autoencoder/reconstruction.json" in said and "ctaug autoencode" in said, said
    for word, text in (("autoencode.patch=40", "at most data.size"),
                       ("autoencode.patch=20", "a multiple of 8"),
                       ("autoencode.factor=6", "must be 4 or 8"),
                       ("autoencode.base=12", "a multiple of 8"),
                       ("train.micro_batch=3", "a power of two times")):
        said = chain.run(1, "autoencode", study, *SET, "--set", word, expect=2)
        assert text in said, (word, said)


def main():
    with chain.Place() as place:
        study, out = place.study("whole")
        chain.run(2, "ingest", study)
        chain.run(1, "autoencode", study, *SET)
        check_networks(out)
        check_published(out, 3)
        for name in ("step-00000024", "loss"):
            assert os.path.exists(f"{out}/previews/autoencoder-{name}.png"), name
        # Which labels are used makes no difference.
        for words in ((), ("--set", "data.labelled=1")):
            said = chain.run(2, "autoencode", study, *SET, *words)
            assert "is current" in said, said
        two, other = copy_of(place, f"{out}/store", "two")
        chain.run(2, "autoencode", two, *SET, "--set", "data.labelled=1")
        same(out, other)
        check_interrupted(place, out)
        check_variants(place, f"{out}/store")
        check_refusals(place, f"{out}/store")


main()
