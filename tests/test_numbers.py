"""A model with numbers: the same bits on 1 and 2 ranks and resumed; the noise that is asked for
changes what is sampled, the same bytes on 1, 2 and 3 ranks; every later stage runs; what does not
fit is refused by name."""
import os
import shutil

import h5py

import chain

SET = [word for setting in ("model.numbers=on", "train.reproducible=on")
       for word in ("--set", setting)]


def last(out):
    return f"{out}/checkpoints/step-00000012"


def begin(place, name, made, *folders):
    """A study with folders of another run."""
    study, out = place.study(name)
    for folder in folders:
        shutil.copytree(f"{made}/{folder}", f"{out}/{folder}")
    return study, out


def training(place, made):
    expected = chain.hashes(last(made))["state.h5"]
    study, out = begin(place, "one", made, "store")
    chain.run(1, "train", study, *SET)
    assert chain.hashes(last(out))["state.h5"] == expected
    shutil.rmtree(last(out))
    assert "resuming from step 8" in chain.run(2, "train", study, *SET)
    assert chain.hashes(last(out))["state.h5"] == expected
    with h5py.File(f"{last(out)}/state.h5", "r") as f:
        labels = len(chain.read_store(f"{out}/store")[1])
        # Spacing, noise, kernel, nine parts of the body, the size of each structure; each with
        # whether it is known.
        assert f["ema/numbers.0.weight"].shape[1] == 2 * (3 + 9 + labels - 1)
    plain, out = begin(place, "plain", made, "store")
    chain.run(2, "train", plain, "--set", "train.reproducible=on")
    with h5py.File(f"{last(out)}/state.h5", "r") as f:
        assert "numbers.0.weight" not in f["ema"]


def sampling(place, made):
    found = {}
    for noise in (0, 5, 40):
        study, out = begin(place, f"noise-{noise}", made, "store", "checkpoints")
        more = [*SET, "--set", f"generate.noise={noise}"]
        for ranks in (2, 1, 3):
            shutil.rmtree(f"{out}/synthetic", ignore_errors=True)
            chain.run(ranks, "generate", study, *more)
            seen = chain.hashes(f"{out}/synthetic")
            assert found.setdefault(noise, seen) == seen, (noise, ranks)
    volumes = [sorted(h for n, h in f.items() if n.endswith(".h5")) for f in found.values()]
    assert volumes[0] != volumes[1] != volumes[2] != volumes[0]
    chain.run(2, "run", study, *more)
    with open(f"{out}/report/report.html") as f:
        page = f.read()
    assert "pixel spacing, noise, kernel class, part of the body and sizes" in page and "noise of 40 HU" in page


def refusals(place, made):
    study, _ = begin(place, "refused", made, "store", "checkpoints")
    for more, text in (
            (["generate.noise=5", "model.numbers=off"], "generate.noise is for model.numbers on"),
            (["diffusion.process=flow", "diffusion.shortcut=on", "generate.sampler=euler"],
             "with model.numbers on, diffusion.shortcut must be off")):
        said = chain.run(1, "generate", study, *SET, *[w for m in more for w in ("--set", m)],
                         expect=2)
        assert text in said, said


with chain.Place() as place:
    study, out = place.study("made")
    chain.run(2, "ingest", study)
    chain.run(2, "train", study, *SET)
    assert os.path.exists(last(out))
    training(place, out)
    sampling(place, out)
    refusals(place, out)
