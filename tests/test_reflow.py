"""Reflow: pairs and checkpoints have the same bits on 1 and 2 ranks and after the run was killed
while pairs were drawn, stopped there, or killed in the training; damaged pairs are drawn again.
Pairs are what they say, and paths are straighter afterwards. What does not fit is refused."""
import glob
import json
import os
import shutil
import signal

import h5py
import numpy

import chain
from checkpoints import same
from interruption import interrupt


def words(**keys):
    return [word for key, value in keys.items()
            for word in ("--set", f"{key.replace('__', '.')}={value}")]


PAIRS, STEPS = 40, 120
FLOW = words(diffusion__process="flow", generate__sampler="euler", generate__steps=2,
             train__reproducible="on", train__steps=60)
REFLOW = [*FLOW, *words(distil__kind="reflow", distil__pairs=PAIRS, distil__pair_steps=4,
                        distil__steps=STEPS, distil__lr=1e-3, distil__ema=0.9)]


def begin(place, name, trained):
    study, out = place.study(name)
    os.makedirs(out)
    for folder in ("store", "checkpoints"):
        shutil.copytree(f"{trained}/{folder}", f"{out}/{folder}")
    return study, out


def checkpoints(out):
    return sorted(glob.glob(f"{out}/distil/*/step-????????"))


def pair_files(out):
    return {k: v for k, v in chain.hashes(f"{out}/pairs").items() if not k.endswith(".json")}


def straightness(out):
    with open(glob.glob(f"{out}/distil/*/straightness/straightness.json")[0]) as f:
        return json.load(f)


def interrupted(place, name, trained, pattern, sign, code):
    """A reflow on two ranks that gets the signal when a name like `pattern` is there, resumed by
    one."""
    study, out = begin(place, name, trained)
    ended = interrupt(sign, f"{out}/{pattern}", 2, "distil", study, *REFLOW)
    assert ended == code, ended
    drawn = {p: os.stat(p).st_mtime_ns for p in glob.glob(f"{out}/pairs/*/*.h5")}
    assert len(drawn) > 0 and not glob.glob(f"{out}/distil/*/straightness")
    if not checkpoints(out):
        # Finished files are kept; the last ones may have been interrupted.
        assert not glob.glob(f"{out}/pairs/*/manifest.json")
        marks = [p[:-5] for p in glob.glob(f"{out}/pairs/*/*.part")]
        drawn = {p: t for p, t in drawn.items() if p[:-3] in marks}
    chain.run(1, "distil", study, *REFLOW)
    assert all(os.stat(p).st_mtime_ns == t for p, t in drawn.items())
    return out


def check_pairs(out):
    folder = glob.glob(f"{out}/pairs/*")[0]
    assert not glob.glob(f"{folder}/*.part")
    parts = sorted(glob.glob(f"{folder}/pairs-*.h5"))
    files = [h5py.File(p, "r") for p in parts]
    noise, sample, bent = (numpy.concatenate([f[name][()] for f in files]).astype(float)
                           for name in ("noise", "sample", "straightness"))
    held = len(noise) - PAIRS
    assert len(parts) > 3 and 0 < held <= 32 and noise.shape == sample.shape == (len(noise), 32, 32)
    assert abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02
    assert len({n.tobytes() for n in noise}) == len(noise)
    # A sample is of its own noise: the flow keeps what the noise was like.
    own = numpy.mean([numpy.corrcoef(n.ravel(), s.ravel())[0, 1] for n, s in zip(noise, sample)])
    other = numpy.mean([numpy.corrcoef(n.ravel(), s.ravel())[0, 1]
                        for n, s in zip(noise, sample[1:])])
    assert own > other + 0.05, (own, other)
    assert (bent > 0).all()
    found = straightness(out)
    assert found["slices"] == held and found["steps"] == 4
    assert abs(found["before"] / bent[PAIRS:].mean() - 1) < 1e-4, (found, bent[PAIRS:].mean())


def check_straighter(out):
    found = straightness(out)
    print(f"straightness {found['before']:.4f} before, {found['after']:.4f} after")
    assert 0 < found["after"] < 0.8 * found["before"], found
    curve = json.load(open(glob.glob(f"{out}/distil/*/history.json")[0]))["validation"]["loss"]
    assert curve[-1] < curve[0], curve


def check_damage(study, out, good):
    """Other steps take the same pairs; damaged ones are drawn again, also if nothing else is left
    to do."""
    path = sorted(glob.glob(f"{out}/pairs/*/pairs-*.h5"))[1]
    other = [*REFLOW, *words(distil__steps=2)]
    before = os.stat(path).st_mtime_ns
    chain.run(1, "distil", study, *other)
    assert os.stat(path).st_mtime_ns == before and pair_files(out) == good
    with open(path, "r+b") as f:
        f.seek(4000)
        byte = f.read(1)[0]
        f.seek(4000)
        f.write(bytes([byte ^ 1]))
    assert "DAMAGED" in chain.run(0, "verify", out, expect=5)
    said = chain.run(2, "distil", study, *REFLOW)
    assert "made again" in said and "is current" in said and pair_files(out) == good, said


def check_samples(study, out, trained_study, trained):
    """The reflowed network is sampled, with the same bytes on any number of ranks."""
    found = []
    for ranks in (1, 2, 3):
        shutil.rmtree(f"{out}/synthetic", ignore_errors=True)
        chain.run(ranks, "generate", study, *REFLOW)
        found.append(chain.hashes(f"{out}/synthetic")["shard-00000.h5"])
    assert found[0] == found[1] == found[2]
    chain.run(1, "generate", trained_study, *FLOW)
    assert chain.hashes(f"{trained}/synthetic")["shard-00000.h5"] != found[0]


def check_refusals(place):
    study, _ = place.study("refused")
    for wrong in (words(distil__kind="reflow"), [*REFLOW, *words(diffusion__shortcut="on")]):
        said = chain.run(1, "train", study, *wrong, expect=2)
        assert "flow without diffusion.shortcut" in said, said


def main():
    with chain.Place() as place:
        check_refusals(place)
        trained_study, trained = place.study("trained")
        chain.run(2, "ingest", trained_study)
        chain.run(2, "train", trained_study, *FLOW)
        whole = {}
        for ranks in (1, 2):
            study, out = begin(place, f"ranks-{ranks}", trained)
            said = chain.run(ranks, "distil", study, *REFLOW)
            assert "straightness" in said, said
            whole[ranks] = out
        good, last = pair_files(out), checkpoints(out)[-1]
        assert last.endswith(f"step-{STEPS:08d}") and pair_files(whole[1]) == good
        same(last, checkpoints(whole[1])[-1])
        assert straightness(out) == straightness(whole[1])
        check_pairs(out)
        check_straighter(out)
        for name, pattern, sign, code in (
                ("drawing", "pairs/*/*.part", signal.SIGKILL, -9),
                ("stopped", "pairs/*/*.part", signal.SIGUSR1, 75),
                ("training", "distil/*/step-????????", signal.SIGKILL, -9)):
            again = interrupted(place, name, trained, pattern, sign, code)
            assert pair_files(again) == good and straightness(again) == straightness(out)
            same(last, checkpoints(again)[-1])
        assert "is current" in chain.run(1, "distil", study, *REFLOW)
        check_samples(study, out, trained_study, trained)
        check_damage(study, out, good)


main()
