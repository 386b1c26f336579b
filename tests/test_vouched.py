"""What a stage reads is what was published: results follow new bytes upstream, damage is mended or
named, and nothing is green when it cannot be seen."""
import os
import shutil
import subprocess

import h5py

import chain


def flip(path, at=-1):
    """Flips a bit of the byte at this offset; negative: from the end."""
    with open(path, "r+b") as f:
        f.seek(at, os.SEEK_SET if at >= 0 else os.SEEK_END)
        byte = f.read(1)[0]
        f.seek(-1, os.SEEK_CUR)
        f.write(bytes([byte ^ 4]))


def outputs(out):
    """{path: SHA-256} of what stages publish; the report and metrics contain the time."""
    return {path: value for path, value in chain.hashes(out).items()
            if path.split("/")[0] in ("store", "checkpoints", "synthetic")}


def damaged_and_mended(study, out):
    """One run over damaged files of every stage makes them again, says so, and nothing else."""
    good = outputs(out)
    for damaged in ("store/shard-00000.h5", "synthetic/shard-00000.h5", "metrics/metrics.json"):
        remade = damaged.split("/")[0]
        flip(f"{out}/{damaged}", 500)
        said = chain.run(2, "run", study)
        assert os.path.basename(damaged) in said, said
        assert f"{out}/{remade} is current" not in said, said
        assert outputs(out) == good, damaged
        chain.run(0, "verify", out)


def other_weights(study, out):
    """Under the same study, other weights make another synthetic store, which is measured anew."""
    checkpoints = sorted(d for d in os.listdir(f"{out}/checkpoints") if d.startswith("step-"))
    last = f"{out}/checkpoints/{checkpoints[-1]}"
    before = outputs(out)
    with h5py.File(f"{last}/state.h5", "r+") as f:
        for weights in f.values():
            if isinstance(weights, h5py.Group) and "oc.weight" in weights:
                weights["oc.weight"][...] *= 1.5
    chain.vouch(last)
    said = chain.run(2, "run", study)
    for stage in ("synthetic", "metrics"):
        assert f"{out}/{stage} is current" not in said, said
    assert f"{out}/store is current" in said, said
    assert outputs(out)["synthetic/shard-00000.h5"] != before["synthetic/shard-00000.h5"]
    said = chain.run(2, "run", study)
    for stage in ("store", "synthetic", "metrics"):
        assert f"{out}/{stage} is current" in said, said


def verify_sees(out):
    """A manifest that is gone, a checkpoint in the wrong folder, and output that nobody gets."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([chain.CTAUG, "verify", out], stdout=full, stderr=subprocess.PIPE,
                              env=chain.ENV, text=True, timeout=60)
    assert done.returncode == 4 and "standard output" in done.stderr, done
    for folder in ("store", "synthetic", "metrics", "report"):
        os.rename(f"{out}/{folder}/manifest.json", f"{out}.aside")
        assert f"{out}/{folder}" in chain.run(0, "verify", out, expect=5)
        os.rename(f"{out}.aside", f"{out}/{folder}/manifest.json")
    checkpoints = sorted(d for d in os.listdir(f"{out}/checkpoints") if d.startswith("step-"))
    wrong = f"{out}/checkpoints/step-00000999"
    shutil.copytree(f"{out}/checkpoints/{checkpoints[-1]}", wrong)
    assert wrong in chain.run(0, "verify", out, expect=5)
    shutil.rmtree(wrong)
    chain.run(0, "verify", out)


def places_refused(place):
    """The run directory inside the archive, the archive inside it, and either through a link."""
    study, _ = place.study("outside")
    link = f"{place.root}/link"
    os.symlink(place.dicom, link)
    before = chain.hashes(place.dicom)
    for out in (f"{place.dicom}/run", place.dicom, place.root, f"{link}/run"):
        said = chain.run(2, "run", study, "--set", f"out={out}", expect=2)
        assert f"out, {out}, " in said and place.dicom in said, said
    assert chain.hashes(place.dicom) == before


with chain.Place() as place:
    study, out = place.study("first")
    chain.run(2, "run", study)
    damaged_and_mended(study, out)
    verify_sees(out)
    other_weights(study, out)
    places_refused(place)
