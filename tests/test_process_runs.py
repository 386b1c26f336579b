"""Whole runs under the processes edm and flow and of a shortcut model: a killed training ends in
the same bits, samples have the same bytes on 1, 2 and 3 ranks, and samplers that do not fit are
refused before anything runs. The standard deviation that edm needs is that of the training data."""
import hashlib
import os
import shutil
import signal

import h5py
import numpy

import chain
from checkpoints import arrays, newest
from interruption import interrupt


def words(**keys):
    return [word for key, value in keys.items()
            for word in ("--set", f"{key.replace('__', '.')}={value}")]


PROCESSES = {
    "edm": words(diffusion__process="edm", generate__sampler="dpm-solver++-2m-sde",
                 generate__grid="karras", generate__interval="[0.1, 0.9]", generate__rescale=0.5),
    "flow": words(diffusion__process="flow", diffusion__times="logit-normal", diffusion__shift=2,
                  generate__sampler="heun"),
    "shortcut": words(diffusion__process="flow", diffusion__shortcut="on",
                      generate__sampler="euler"),
    "ddpm": words(diffusion__weight="min-snr", generate__sampler="unipc-2",
                  generate__grid="log-snr"),
}
LONG = words(train__steps=40, train__reproducible="on")


def content(path):
    """Arrays and scalars of a checkpoint."""
    found = arrays(path)
    with h5py.File(f"{path}/state.h5", "r") as f:
        found.update(f.attrs)
    return found


def killed(place, name, store, process):
    """A training whose ranks are killed after its first checkpoint and resumed by one rank."""
    study, out = place.study(name)
    shutil.copytree(store, f"{out}/store")
    interrupt(signal.SIGKILL, f"{out}/checkpoints/step-????????", 2, "train", study, *LONG,
              *process)
    assert newest(out) < f"{out}/checkpoints/step-00000040"
    said = chain.run(1, "train", study, *LONG, *process)
    assert "resuming from step" in said, said
    return out


def volumes(out):
    return {name: hashlib.sha256(open(f"{out}/synthetic/{name}", "rb").read()).hexdigest()
            for name in sorted(os.listdir(f"{out}/synthetic")) if name.endswith(".h5")}


def check_spread(store, state):
    """sigma_data against all pixels of the store in the window; training patients are a part of
    them."""
    hu = numpy.concatenate([v[0].ravel() for v in chain.read_store(store)[0].values()])
    expected = numpy.clip(hu / 1000.0, -1, 1).std()
    assert abs(state["sigma_data"] / expected - 1) < 0.1, (state["sigma_data"], expected)


def check_process(place, name, store):
    process = PROCESSES[name]
    study, out = place.study(name)
    shutil.copytree(store, f"{out}/store")
    chain.run(2, "train", study, *LONG, *process)
    whole = content(newest(out))
    again = content(newest(killed(place, f"{name}-killed", store, process)))
    assert whole.keys() == again.keys() and len(whole) > 100
    for key, value in whole.items():
        assert numpy.array_equal(value, again[key]), key
    assert ("sigma_data" in whole) == (name == "edm")
    if name == "edm":
        check_spread(store, whole)
    found = []
    for ranks in (1, 2, 3):
        shutil.rmtree(f"{out}/synthetic", ignore_errors=True)
        chain.run(ranks, "generate", study, *LONG, *process)
        found.append(volumes(out))
    assert len(found[0]) > 1 and found[0] == found[1] == found[2]
    # Another way to sample: it is the study's that was used.
    other = "generate.steps=1" if name == "shortcut" else "generate.sampler=euler"
    chain.run(2, "generate", study, *LONG, *process, "--set", other)
    assert volumes(out) != found[0]
    with h5py.File(f"{out}/synthetic/index.h5", "r") as f:
        for volume in f["volumes"].values():
            ct = volume["ct"][()]
            assert ct.min() >= -1000 and ct.max() <= 1000 and ct.std() > 50


def check_refusals(place):
    study, _ = place.study("refused")
    for wrong, says in (
            (words(diffusion__process="flow"), "euler, heun, midpoint"),
            (words(diffusion__process="edm", generate__sampler="heun"), "log-snr"),
            (words(diffusion__process="edm", generate__sampler="ddpm"), "euler-ancestral"),
            (words(diffusion__process="flow", generate__sampler="heun", generate__grid="karras"),
             "uniform, quadratic"),
            (words(diffusion__process="flow", generate__sampler="heun",
                   diffusion__weight="min-snr"), "ddpm"),
            (words(diffusion__process="flow", diffusion__shortcut="on"), "must be euler"),
            ([*PROCESSES["shortcut"], *words(generate__steps=3)], "1, 2, 4, 8, 16, 32, 64 or 128"),
            ([*PROCESSES["shortcut"], *words(diffusion__shift=2)], "diffusion.shift must be 1"),
            ([*PROCESSES["shortcut"], *words(generate__grid="quadratic")], "must be uniform"),
            (words(diffusion__shortcut="on"), "diffusion.process must be flow"),
            (words(generate__interval="[0.7, 0.2]"), "low end")):
        said = chain.run(1, "train", study, *wrong, expect=2)
        assert says in said, (says, said)


def main():
    with chain.Place() as place:
        check_refusals(place)
        study, out = place.study("first")
        chain.run(2, "ingest", study)
        for name in PROCESSES:
            check_process(place, name, f"{out}/store")


main()
