"""The stage distil: it begins with the EMA of the training, ends in the same bits on 1 rank and,
killed or stopped, on 2 and then 1, leaves the training alone, and what is sampled takes its
weights, with the same bytes on 1, 2 and 3 ranks. Arms of a sweep share it. What does not fit is
refused; off, nothing changes."""
import os
import shutil
import signal

import numpy

import chain
from checkpoints import arrays, newest, same
from interruption import interrupt


def words(**keys):
    return [word for key, value in keys.items()
            for word in ("--set", f"{key.replace('__', '.')}={value}")]


SAMPLED = words(generate__sampler="consistency", generate__grid="consistency", generate__steps=2)
COMMON = [*SAMPLED, *words(train__reproducible="on", distil__steps=16, distil__stages=4)]
# Tuning of a chain and of a flow, distillation under edm.
KINDS = {
    "ddpm": words(distil__kind="consistency-tuning"),
    "flow": words(diffusion__process="flow", distil__kind="consistency-tuning", distil__q=256,
                  distil__stages=1),
    "edm": words(diffusion__process="edm", distil__kind="consistency-distillation"),
}


def copy_of(place, name, out, *folders):
    study, other = place.study(name)
    os.makedirs(other)
    for folder in folders:
        shutil.copytree(f"{out}/{folder}", f"{other}/{folder}")
    return study, other


def last(out):
    """The last checkpoint of the only distillation."""
    folders = os.listdir(f"{out}/distil")
    assert len(folders) == 1, folders
    return newest(out, f"distil/{folders[0]}")


def interrupted(place, name, out, kind, sign, code):
    """One on two ranks that gets the signal after its first checkpoint, resumed by one rank."""
    study, other = copy_of(place, f"{name}-again", out, "store", "checkpoints")
    ended = interrupt(sign, f"{other}/distil/*/step-????????", 2, "distil", study, *COMMON, *kind)
    assert ended == code, ended
    assert not last(other).endswith("step-00000016")
    said = chain.run(1, "distil", study, *COMMON, *kind)
    assert "resuming from step" in said, said
    return last(other)


def volumes(out):
    return {k: v for k, v in chain.hashes(f"{out}/synthetic").items() if k.endswith(".h5")}


def check_samples(study, out, kind):
    """The same bytes on any number of ranks."""
    found = []
    for ranks in (1, 2, 3):
        shutil.rmtree(f"{out}/synthetic", ignore_errors=True)
        chain.run(ranks, "generate", study, *COMMON, *kind)
        found.append(volumes(out))
    assert len(found[0]) > 1 and found[0] == found[1] == found[2]
    hu = [v[0] for v in chain.read_store(f"{out}/synthetic")[0].values()]
    assert all(v.min() >= -1000 and v.max() <= 1000 and v.std() > 50 for v in hu)


def check_kind(place, name, store, sign, code):
    """Interrupted on two ranks and resumed by one, it ends as undisturbed on one."""
    kind = KINDS[name]
    study, out = place.study(name)
    shutil.copytree(store, f"{out}/store")
    chain.run(2, "train", study, *COMMON, *kind)
    before = chain.hashes(f"{out}/checkpoints")
    chain.run(1, "distil", study, *COMMON, *kind)
    same(last(out), interrupted(place, name, out, kind, sign, code))
    assert chain.hashes(f"{out}/checkpoints") == before
    assert os.path.isfile(f"{out}/previews/distil-step-00000016.png")
    check_samples(study, out, kind)
    return study, out


def check_order(place, store, out):
    """What is missing is named."""
    study, bare = place.study("bare")
    shutil.copytree(store, f"{bare}/store")
    said = chain.run(0, "distil", study, *COMMON, *KINDS["ddpm"], expect=3)
    assert "run ctaug train first" in said, said
    shutil.copytree(f"{out}/checkpoints", f"{bare}/checkpoints")
    said = chain.run(0, "generate", study, *COMMON, *KINDS["ddpm"], expect=3)
    assert "run ctaug distil first" in said, said


def check_beginning(place, out):
    """One step with a small learning rate: parameters and EMA are still the EMA of the training."""
    study, other = copy_of(place, "beginning", out, "store", "checkpoints")
    chain.run(1, "distil", study, *COMMON, *KINDS["ddpm"],
              *words(distil__steps=1, distil__lr=1e-8))
    trained, tuned = arrays(newest(out)), arrays(last(other))
    moved = 0
    for key, value in tuned.items():
        group, _, name = key.partition("/")
        if group in ("parameters", "ema"):
            assert numpy.allclose(value, trained[f"ema/{name}"], rtol=0, atol=1e-6), key
            moved += not numpy.array_equal(trained[f"ema/{name}"], trained[f"parameters/{name}"])
    assert moved > 10


def check_off(place, out):
    """Without distil.kind its other keys change nothing, and the training is sampled."""
    study, other = copy_of(place, "off", out, "store", "checkpoints")
    plain = words(train__reproducible="on")
    assert "nothing to do" in chain.run(1, "distil", study, *plain)
    chain.run(1, "generate", study, *plain)
    assert not os.path.exists(f"{other}/distil")
    said = chain.run(1, "generate", study, *plain, *words(distil__steps=7, distil__lr=1e-3))
    assert "is current" in said, said


def check_settings(study, out):
    """Another setting has a folder of its own, and that of the first stays current."""
    chain.run(1, "distil", study, *COMMON, *KINDS["ddpm"], *words(distil__steps=2))
    assert len(os.listdir(f"{out}/distil")) == 2
    assert "is current" in chain.run(1, "distil", study, *COMMON, *KINDS["ddpm"])


def check_sweep(place):
    """Arms that differ in sampling alone share the distillation."""
    study, out = place.study("sweep")
    tuned = ("distil.kind: consistency-tuning; generate.sampler: consistency; "
             "generate.grid: consistency; generate.steps: ")
    points = f"sweep.points=[{tuned}1, {tuned}2, {tuned}2; distil.q: 256; distil.stages: 1]"
    chain.run(0, "sweep", study, *words(train__steps=2, distil__steps=2), "--set", points)
    states = [os.stat(f"{last(f'{out}/arms/p0{i}-s0')}/state.h5").st_ino for i in range(3)]
    assert states[0] == states[1] != states[2], states


def check_refusals(place):
    study, _ = place.study("refused")
    tuned = words(distil__kind="consistency-tuning")
    for wrong, says in (
            (tuned, "generate.sampler consistency"),
            (SAMPLED, "distil.kind"),
            (words(generate__sampler="consistency"), "take one of consistency"),
            (words(generate__grid="consistency"), "uniform, quadratic, log-snr, karras"),
            ([*SAMPLED, *tuned, *words(distil__q=256)], "at most 65536"),
            ([*SAMPLED, *tuned, *words(diffusion__objective="x0")], "v or eps"),
            ([*SAMPLED, *tuned, *words(diffusion__variance="learned")], "Markov chain"),
            ([*SAMPLED, *tuned, *words(evaluate__bound_slices=4)], "Markov chain"),
            (words(distil__q=1), "distil.q"),
            (words(distil__kind="on"), "consistency-distillation")):
        said = chain.run(0, "train", study, *wrong, expect=2)
        assert says in said, (says, said)


def main():
    with chain.Place() as place:
        check_refusals(place)
        check_sweep(place)
        study, out = place.study("first")
        chain.run(2, "ingest", study)
        store = f"{out}/store"
        check_kind(place, "edm", store, signal.SIGKILL, -signal.SIGKILL)
        check_kind(place, "flow", store, signal.SIGKILL, -signal.SIGKILL)
        study, out = check_kind(place, "ddpm", store, signal.SIGUSR1, 75)
        check_order(place, store, out)
        check_beginning(place, out)
        check_off(place, out)
        check_settings(study, out)


main()
