"""Training of the GAN on several ranks, and its painter: the bits do not depend on the number of
ranks, a killed or stopped training ends in the same bits, and `ctaug run` trains it only if a
painter asks for it."""
import json
import os
import shutil
import signal

import numpy

import chain
import checkpoints
from checkpoints import arrays
from interruption import interrupt

SET = ("--set", "gan.steps=24", "--set", "train.reproducible=on",
       "--set", "train.checkpoint_every=2", "--set", "generate.painters=[gan]")
NETWORKS = ("generator", "discriminator")


def folder(out):
    """The only folder of a training of the GAN."""
    return checkpoints.only_folder(f"{out}/gan")


def newest(out, network):
    return checkpoints.newest(folder(out), network) if folder(out) else None


def same(one, other):
    """Both networks have the same bits in both run directories."""
    for network in NETWORKS:
        a, b = arrays(newest(one, network)), arrays(newest(other, network))
        assert a.keys() == b.keys() and len(a) > 20, (len(a), len(b))
        for name in a:
            assert numpy.array_equal(a[name], b[name]), (network, name)


def interrupted(place, store, sign):
    """A training all of whose ranks get a signal after the first checkpoint."""
    study, out = place.study(f"interrupted-{sign.name}")
    shutil.copytree(store, f"{out}/store")
    code = interrupt(sign, f"{out}/gan/*/generator/step-????????", 2, "gan", study, *SET)
    return study, out, code


def check_networks(out):
    """The generator's trainer has the discriminator's parameters frozen behind its own; a
    discriminator that learned has moved; the spectral norms of its copy are near 1."""
    g, d = (arrays(newest(out, network)) for network in NETWORKS)
    assert not numpy.any(g["adam_m/d.0.weight"]) and numpy.any(d["adam_m/d.0.weight"])
    assert numpy.any(g["adam_m/oc.weight"]) and numpy.any(g["ema/oc.weight"])
    for k in range(5):
        weight = g[f"parameters/d.{k}.weight"]
        largest = numpy.linalg.svd(weight.reshape(len(weight), -1), compute_uv=False)[0]
        # A power iteration approaches the singular value from below.
        assert 0.99 < largest < 1.3, (k, largest)


def check_painting(study, out):
    """The store has the painter's slices, the same from 1 and 2 ranks, and not a constant."""
    chain.run(1, "generate", study, *SET)
    once = chain.hashes(f"{out}/synthetic-gan")
    volumes, _ = chain.read_store(f"{out}/synthetic-gan")
    assert len(volumes) == 3
    for ct, labels, _ in volumes.values():
        assert ct.std() > 1 and labels.any()
    shutil.rmtree(f"{out}/synthetic-gan")
    chain.run(2, "generate", study, *SET)
    again = chain.hashes(f"{out}/synthetic-gan")
    assert once == again
    said = chain.run(1, "generate", study, *SET)
    assert "current" in said, said
    with open(f"{out}/synthetic-gan/manifest.json") as f:
        assert json.load(f)["detail"]["provenance"]["checkpoint_step"] == 24


def check_run(place, store):
    """`run` trains the GAN if and only if a painter asks for it; gan.steps 0 follows
    train.steps."""
    study, out = place.study("run")
    shutil.copytree(store, f"{out}/store")
    small = ("--set", "train.steps=8", "--set", "evaluate.steps=2", "--set",
             "generate.volumes=2", "--set", "evaluate.share=0.5")
    said = chain.run(1, "run", study, *small)
    assert "-- gan" not in said and not os.path.exists(f"{out}/gan"), said
    said = chain.run(1, "run", study, *small, "--set", "generate.painters=[diffusion, gan]")
    assert "-- gan\n" in said, said
    steps = int(os.path.basename(newest(out, "generator"))[5:])
    assert 2 <= steps <= 8, steps
    for name in ("synthetic", "synthetic-gan"):
        assert os.path.exists(f"{out}/{name}/manifest.json"), name
    chain.run(1, "verify", out)


def check_variants(place, store):
    """Two steps: activations that are recomputed give the same bits; shares of the batch that
    divide its pairs of a real and a generated slice give the same sums, rounded otherwise; bf16
    runs."""
    found = {}
    for name, ranks, words in (("one", 1, ()), ("recomputed", 1, ("train.recompute=blocks",)),
                               ("three", 3, ()), ("bf16", 1, ("train.precision=bf16",))):
        study, out = place.study(name)
        shutil.copytree(store, f"{out}/store")
        chain.run(ranks, "gan", study, "--set", "gan.steps=2",
                  *(w for word in words for w in ("--set", word)))
        found[name] = out
    same(found["one"], found["recomputed"])
    for network in NETWORKS:
        a, b = (arrays(newest(found[name], network)) for name in ("one", "three"))
        for name in (n for n in a if n.startswith("parameters/")):
            # Adam's first steps are lr times the sign of the gradient, whatever its size: where
            # rounding decides the sign of a tiny one, a value may be off by 2 lr a step.
            far = numpy.abs(a[name] - b[name]) > 1e-5
            assert numpy.abs(a[name] - b[name]).max() < 2e-3 and far.mean() < 0.1, (network, name)


def main():
    with chain.Place() as place:
        study, out = place.study("whole")
        chain.run(2, "ingest", study)
        chain.run(1, "generate", study, *SET, expect=3)  # no checkpoint yet
        chain.run(1, "gan", study, *SET)
        assert newest(out, "generator").endswith("step-00000024")
        assert os.path.exists(f"{out}/previews/gan-00000024.png")
        check_networks(out)
        said = chain.run(2, "gan", study, *SET)
        assert "current" in said, said

        two, other = place.study("two")
        shutil.copytree(f"{out}/store", f"{other}/store")
        chain.run(2, "gan", two, *SET)
        same(out, other)

        killed, at, _ = interrupted(place, f"{out}/store", signal.SIGKILL)
        chain.run(4, "gan", killed, *SET)
        same(out, at)
        asked, at, code = interrupted(place, f"{out}/store", signal.SIGUSR1)
        assert code == 75, code
        chain.run(2, "gan", asked, *SET)
        same(out, at)

        # A checkpoint of the discriminator alone, as after a kill between the two: both go back.
        shutil.rmtree(newest(at, "generator"))
        chain.run(1, "gan", asked, *SET)
        same(out, at)

        # Another learning rate is another training, which leaves the first one alone.
        chain.run(1, "gan", asked, *SET, "--set", "gan.steps=2")
        assert len(os.listdir(f"{at}/gan")) == 2

        check_variants(place, f"{out}/store")
        check_painting(study, out)
        check_run(place, f"{out}/store")


main()
