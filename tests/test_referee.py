"""The referee and its pseudo-labels: stopped, killed and resumed, on one and two ranks; what h5py
reads of them; hidden true labels change no parameter; what is missing or foreign is refused."""
import glob
import json
import os
import shutil
import signal

import h5py
import numpy

import chain
from interruption import interrupt

# Stored slices have 32 x 32 pixels, the working ones 16 x 16. Of 8 patients 5 are for training.
SET = [word for key in ("data.size=16", "data.labelled=2", "evaluate.steps=480", "train.steps=6",
                        "train.pseudo_labels=on") for word in ("--set", key)]
OFF = [*SET, "--set", "train.pseudo_labels=off"]
AIR = -1024


def arrays(path):
    found = {}
    with h5py.File(path, "r") as f:
        f.visititems(lambda name, item: found.update({name: item[()]})
                     if isinstance(item, h5py.Dataset) else None)
    return found


def same(one, two):
    one, two = arrays(one), arrays(two)
    assert one.keys() == two.keys() and len(one) > 10, (len(one), len(two))
    for name in one:
        assert numpy.array_equal(one[name], two[name]), name


def checkpoint(out):
    return sorted(glob.glob(f"{out}/checkpoints/step-*/state.h5"))[-1]


def detail(folder):
    with open(f"{folder}/manifest.json") as f:
        return json.load(f)["detail"]


def copy_store(place, name, out):
    """A study with an output folder of its own and the store of another one."""
    study, other = place.study(name)
    shutil.copytree(f"{out}/store", f"{other}/store")
    return study, other


def nothing_needs_it(study, out):
    said = chain.run(0, "referee", study)
    assert "nothing in the study needs it" in said and "next: ctaug train" in said, said
    assert not os.path.exists(f"{out}/referee")


def missing_and_foreign(study, out):
    """Training asks for the pseudo-labels of the same study."""
    said = chain.run(0, "train", study, *SET, expect=3)
    assert f"{out}/pseudo" in said and "run ctaug referee first" in said, said
    chain.run(0, "referee", study, *SET)
    said = chain.run(0, "train", study, *SET, "--set", "evaluate.steps=7", expect=3)
    assert "of another store or study: run ctaug referee" in said, said
    # The keys of the arms are not those of the referee.
    said = chain.run(0, "referee", study, *SET, "--set", "evaluate.seeds=2", "--set",
                     "evaluate.share=0.5")
    assert f"{out}/referee is current" in said and f"{out}/pseudo is current" in said, said


def components(mask):
    """Sizes of the components of a mask [z][y][x] with 26 neighbours."""
    left = {tuple(v) for v in numpy.argwhere(mask)}
    sizes = []
    while left:
        reached = [left.pop()]
        for z, y, x in reached:
            near = {(z + a, y + b, x + c) for a in (-1, 0, 1) for b in (-1, 0, 1)
                    for c in (-1, 0, 1)} & left
            left -= near
            reached += near
        sizes.append(len(reached))
    return sizes


def what_is_published(out):
    about = detail(f"{out}/referee")
    real, names = chain.read_store(f"{out}/store")
    assert about["steps"] == 480 and about["training_patients"] == 2 and about["patients"] == 1
    assert sorted(about["dice"]) == sorted(names[1:]), about
    assert about["dice"]["liver"] > 0.3, about  # it has learnt something

    pseudo, same_names = chain.read_store(f"{out}/pseudo")
    assert same_names == names and len(pseudo) == 3 and set(pseudo) < set(real)
    order = [v["id"] for v in detail(f"{out}/pseudo")["volumes"]]
    assert order == [v["id"] for v in detail(f"{out}/store")["volumes"] if v["id"] in pseudo]
    rule = detail(f"{out}/pseudo")["provenance"]
    assert rule["pseudo_labels"] and not rule["synthetic"] and 0.1 < rule["component_share"] < 1
    everything = rule["structures_with_all_components"]
    assert set(everything) <= set(names)
    agreement = []
    for volume, (hu, labels, space) in pseudo.items():
        assert numpy.all(hu == AIR)
        assert labels.shape == real[volume][1].shape == (8, 32, 32)
        for key in ("spacing", "origin", "direction", "contrast"):
            assert numpy.array_equal(space[key], real[volume][2][key]), key
        # Maps of 16 x 16 pixels, each pixel as 2 x 2.
        small = labels[:, ::2, ::2]
        assert numpy.array_equal(small.repeat(2, axis=1).repeat(2, axis=2), labels)
        for k, name in enumerate(names):
            sizes = components(small == k) if k > 0 and name not in everything else []
            least = rule["component_share"] * max(sizes, default=0)
            assert all(s >= least for s in sizes), (volume, name, sizes)
        liver, true = labels == names.index("liver"), real[volume][1] == names.index("liver")
        agreement.append(2 * (liver & true).sum() / (liver.sum() + true.sum()))
    print("Dice of the pseudo-labels, liver:", agreement)
    assert min(agreement) > 0.3, agreement


def two_ranks(place, out):
    """Another number of ranks gives the same result up to rounding."""
    study, two = copy_store(place, "two", out)
    chain.run(2, "referee", study, *SET)
    one, other = (arrays(f"{o}/referee/parameters.h5") for o in (out, two))
    off = max(numpy.linalg.norm(one[k] - other[k]) / (numpy.linalg.norm(one[k]) + 1e-3)
              for k in one)
    print(f"parameters on 2 ranks: relative difference {off:.1e}")
    assert off < 1e-2, off
    one, other = (chain.read_store(f"{o}/pseudo")[0] for o in (out, two))
    for volume in one:
        differ = numpy.mean(one[volume][1] != other[volume][1])
        assert differ < 0.02, differ


def interrupted(place, out):
    """Asked to stop as it begins, it leaves a checkpoint and 75; killed before it goes on, it keeps
    it; resumed there, it ends in the bits of an uninterrupted run."""
    study, other = copy_store(place, "interrupted", out)
    parts = f"{other}/referee.parts-*"
    assert interrupt(signal.SIGUSR1, parts, 0, "referee", study, *SET) == 75
    (kept,) = glob.glob(f"{parts}/step-*")
    step = int(kept.rsplit("-", 1)[1])
    print("stopped at step", step)
    assert 0 < step < 480 and not os.path.exists(f"{other}/referee")
    assert interrupt(signal.SIGKILL, parts, 0, "referee", study, *SET) == -signal.SIGKILL
    assert os.path.isdir(kept)
    assert not os.path.exists(f"{other}/referee")
    said = chain.run(0, "referee", study, *SET)
    assert f"segmenter: resuming from step {step} of 480" in said, said
    same(f"{out}/referee/parameters.h5", f"{other}/referee/parameters.h5")
    assert chain.hashes(f"{out}/pseudo") == chain.hashes(f"{other}/pseudo")
    assert not glob.glob(f"{other}/*.parts-*"), os.listdir(other)


def damaged(study, out):
    """A flipped bit is found; the stage makes the file again with the same bits."""
    path = f"{out}/referee/parameters.h5"
    with open(path, "rb") as f:
        good = f.read()
    with open(path, "wb") as f:
        f.write(good[:5000] + bytes([good[5000] ^ 4]) + good[5001:])
    said = chain.run(0, "verify", out, expect=5)
    assert "parameters.h5" in said, said
    said = chain.run(0, "referee", study, *SET)
    assert "it is made again" in said, said
    with open(path, "rb") as f:
        assert f.read() == good
    chain.run(0, "verify", out)
    # Volumes that an interrupted run has segmented are checked before they are used.
    before = chain.hashes(f"{out}/pseudo")
    with open(f"{out}/pseudo/manifest.json") as f:
        parts = f"{out}/pseudo.parts-{json.load(f)['fingerprint'][:16]}"
    shutil.rmtree(f"{out}/pseudo")
    os.mkdir(parts)
    with open(f"{parts}/volume-00000001.labels", "wb") as f:
        f.write(bytes(4096))
    said = chain.run(0, "referee", study, *SET)
    assert "segmented again" in said and "volume-00000001" in said, said
    assert chain.hashes(f"{out}/pseudo") == before and not os.path.exists(parts)


def patients_without_labels(place):
    """Three of eight patients have no segmentation: with ingest.unlabelled: keep they are trained
    on with pseudo-labels, and the whole chain runs."""
    dicom = f"{place.root}/partly"
    shutil.copytree(place.dicom, dicom)
    found = list(chain.segmentations(dicom))
    for path, _, _ in found[::3]:
        os.remove(path)
    without = {patient for _, _, patient in found[::3]}
    study, out = place.study("partly-run")
    words = [*SET, "--set", f"ingest.dicom={dicom}", "--set", "ingest.unlabelled=keep", "--set",
             "data.labelled=0"]
    said = chain.run(2, "run", study, *words)
    order = [line.split()[1] for line in said.splitlines() if line.startswith("-- ")]
    assert order == ["ingest", "referee", "train", "generate", "evaluate", "gate",
                     "report"], order
    assert "3 CT series that no DICOM SEG refers to are stored as unlabelled" in said, said
    assert "slices of a batch are of 3 unlabelled patients (24 slices), with pseudo-labels" in said
    pseudo = chain.read_store(f"{out}/pseudo")[0]
    assert {v[:v.rindex("-") + 1] for v in pseudo} == without
    assert all(labels.any() for _, labels, _ in pseudo.values())
    with open(f"{out}/metrics/metrics.json") as f:
        parts = json.load(f)["split"]
    assert sum(parts[p]["patients"] for p in ("train", "validation", "test")) == 5, parts
    chain.run(0, "verify", out)


def hidden_labels_change_nothing(place, study, out):
    """Two stores that differ in hidden labels alone give the same referee, pseudo-labels and
    denoiser, with pseudo-labels and without."""
    other, forged = place.study("forged-run")
    words = ("--set", f"ingest.dicom={chain.forge_hidden(place, out)}")
    chain.run(0, "ingest", other, *words)
    a, b = chain.read_store(f"{out}/store")[0], chain.read_store(f"{forged}/store")[0]
    changed = {v for v in a if not numpy.array_equal(a[v][1], b[v][1])}
    assert changed == set(chain.read_store(f"{out}/pseudo")[0]), changed
    ends = {}
    for name, which in (("on", SET), ("off", OFF)):
        for yaml, folder, extra in ((study, out, ()), (other, forged, words)):
            if name == "on":
                chain.run(0, "referee", yaml, *which, *extra)
            said = chain.run(0, "train", yaml, *which, *extra)
            assert "6 of 8 slices of a batch are of 3 unlabelled patients" in said, said
            assert ("with pseudo-labels" if name == "on" else "without conditions") in said, said
            shutil.copy(checkpoint(folder), f"{folder}.{name}.h5")
            ends[name] = arrays(f"{folder}.{name}.h5")
        same(f"{out}.{name}.h5", f"{forged}.{name}.h5")
    same(f"{out}/referee/parameters.h5", f"{forged}/referee/parameters.h5")
    a, b = chain.read_store(f"{out}/pseudo")[0], chain.read_store(f"{forged}/pseudo")[0]
    assert all(numpy.array_equal(a[v][1], b[v][1]) for v in a)
    # Pseudo-labels are used: without them the training is another one.
    assert any(not numpy.array_equal(ends["on"][k], ends["off"][k]) for k in ends["on"])


def main():
    with chain.Place(8) as place:
        study, out = place.study("one")
        said = chain.run(0, "ingest", study, *SET)
        assert "next: ctaug referee" in said, said
        nothing_needs_it(study, out)
        missing_and_foreign(study, out)
        what_is_published(out)
        two_ranks(place, out)
        interrupted(place, out)
        damaged(study, out)
        hidden_labels_change_nothing(place, study, out)
        patients_without_labels(place)


main()
