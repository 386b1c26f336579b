"""`ctaug generate`: the same bytes on 1, 2 and 3 ranks and after an interruption; label maps from
training patients."""
import hashlib
import json
import os
import shutil
import signal

import h5py
import numpy

import chain
from interruption import interrupt


def hashes(out, store="synthetic"):
    folder = f"{out}/{store}"
    return {name: hashlib.sha256(open(f"{folder}/{name}", "rb").read()).hexdigest()
            for name in sorted(os.listdir(folder)) if name.endswith(".h5")}


def copy_of(place, name, out):
    study, other = place.study(name)
    os.makedirs(other)
    for folder in ("store", "checkpoints"):
        shutil.copytree(f"{out}/{folder}", f"{other}/{folder}")
    return study, other


def interrupted(place, out):
    """Stopped after the first finished unit, which is then damaged; resumed on another number of
    ranks."""
    study, other = copy_of(place, "interrupted", out)
    words = ("--set", "generate.steps=40")
    assert interrupt(signal.SIGUSR1, f"{other}/*/unit-*", 1, "generate", study, *words) == 75
    assert not os.path.exists(f"{other}/synthetic/manifest.json")
    damaged = [os.path.join(folder, name) for folder, _, names in os.walk(other) for name in names
               if name.startswith("unit-")]
    assert damaged
    for path in damaged:  # one voxel, say
        with open(path, "r+b") as f:
            f.seek(-1, os.SEEK_END)
            byte = f.read(1)[0]
            f.seek(-1, os.SEEK_END)
            f.write(bytes([byte ^ 1]))
    chain.run(2, "generate", study, *words)
    fresh, whole = copy_of(place, "uninterrupted", out)
    chain.run(1, "generate", fresh, *words)
    assert hashes(other) == hashes(whole)
    assert not [name for name in os.listdir(other) if "parts" in name]


def halved(slices):
    """Slices at the working size, half of their own: where pixels are larger, more of a lung's lie
    on its border."""
    n, rows, columns = slices.shape
    return slices.reshape(n, rows // 2, 2, columns // 2, 2).mean((2, 4))


def gaussian(place, out):
    """The painter without a network paints the same maps, on any number of ranks alike, and needs
    no checkpoint. Grey values are near those of the training volumes."""
    found = []
    for ranks in (1, 3):
        study, other = place.study(f"gaussian-{ranks}")
        os.makedirs(other)
        shutil.copytree(f"{out}/store", f"{other}/store")
        chain.run(ranks, "generate", study, "--set", "generate.painters=[gaussian]")
        assert not os.path.exists(f"{other}/synthetic")
        found.append(hashes(other, "synthetic-gaussian"))
    assert found[0] == found[1]
    painted, names = chain.read_store(f"{other}/synthetic-gaussian")
    sampled, _ = chain.read_store(f"{out}/synthetic")
    real, _ = chain.read_store(f"{out}/store")
    assert painted.keys() == sampled.keys()
    for key, (hu, labels, _) in painted.items():
        assert numpy.array_equal(labels, sampled[key][1])
        assert not numpy.array_equal(hu, sampled[key][0])
        for name in ("liver", "lung"):
            k = names.index(name)
            means = [halved(h)[halved(m == k) > 0.5].mean() for h, m, _ in real.values()]
            found_mean = hu[labels == k].mean()
            assert min(means) - 60 < found_mean < max(means) + 60, (name, means, found_mean)
        # Another draw for every slice: noise does not repeat.
        liver = names.index("liver")
        both = (labels[3] == liver) & (labels[4] == liver)
        assert both.sum() > 20
        assert abs(numpy.corrcoef(hu[3][both], hu[4][both])[0, 1]) < 0.6


def insertions(place, out):
    """Inserted lesions lie in what was liver in the map of the same draw without them, and a
    structure of another patient takes the place of background and of itself alone; the same bytes
    on any number of ranks."""
    words = ("--set", "generate.painters=[gaussian]", "--set", "generate.volumes=6")
    insert = "generate.insert=[lesion in liver: 1 x 1..2]"
    found = []
    for name, ranks, more in (("without", 1, ()), ("with", 1, ("--set", insert)),
                              ("with-3", 3, ("--set", insert)),
                              ("mixed", 2, ("--set", "generate.mixture=1"))):
        study, other = place.study(name)
        os.makedirs(other)
        shutil.copytree(f"{out}/store", f"{other}/store")
        chain.run(ranks, "generate", study, *words, *more)
        found.append(other)
    assert hashes(found[1], "synthetic-gaussian") == hashes(found[2], "synthetic-gaussian")
    plain, names = chain.read_store(f"{found[0]}/synthetic-gaussian")
    filled, _ = chain.read_store(f"{found[1]}/synthetic-gaussian")
    records = []
    for other in found[:2] + found[3:]:
        with open(f"{other}/synthetic-gaussian/manifest.json") as f:
            records.append({v["id"]: v for v in json.load(f)["detail"]["provenance"]["volumes"]})
    liver, lesion = names.index("liver"), names.index("lesion")
    compared = 0
    for key, (_, labels, _) in filled.items():
        before, after = records[0][key], records[1][key]
        if before["affine"] != after["affine"]:
            continue  # drawn again
        compared += after["inserted"]["lesion in liver"] > 0
        changed = labels != plain[key][1]
        assert changed.any() == (after["inserted"]["lesion in liver"] > 0)
        assert (plain[key][1][changed] == liver).all() and (labels[changed] == lesion).all()
    assert compared >= 3, compared
    mixed, _ = chain.read_store(f"{found[3]}/synthetic-gaussian")
    compared = 0
    for key, (_, labels, _) in mixed.items():
        before, after = records[0][key], records[2][key]
        changed = labels != plain[key][1]
        if "transplanted" not in after:
            assert before["affine"] != after["affine"] or not changed.any()
        elif before["affine"] == after["affine"]:
            compared += 1
            assert after["transplanted"]["from"] != after["source"]
            structure = names.index(after["transplanted"]["structure"])
            free = [0, structure, lesion] if structure == liver else [0, structure]
            assert changed.any()
            assert numpy.isin(plain[key][1][changed], free).all()
            assert numpy.isin(labels[changed], free).all()
    assert compared >= 1, [r.get("transplanted") for r in records[2].values()]
    said = chain.run(1, "generate", study, *words, "--set", "generate.insert=[lesion in lever: 1]",
                     expect=2)
    assert '"lever"' in said and "lesion, liver" in said, said


def one_appearance(place, out):
    """With generate.appearance of 1 an organ has nearly one grey value in all slices."""
    spread = []
    for strength in (0, 1):
        study, other = copy_of(place, f"appearance-{strength}", out)
        chain.run(2, "generate", study, "--set", f"generate.appearance={strength}")
        volumes, names = chain.read_store(f"{other}/synthetic")
        liver = names.index("liver")
        spread.append([])
        for hu, labels, _ in volumes.values():
            inside = labels == liver
            middle = inside.copy()
            for axis in (1, 2):
                middle &= numpy.roll(inside, 1, axis) & numpy.roll(inside, -1, axis)
            medians = [numpy.median(hu[z][middle[z]]) for z in range(len(hu))
                       if 4 * middle[z].sum() > inside[z].sum() and middle[z].sum() > 8]
            assert len(medians) > 2
            spread[-1].append(numpy.std(medians))
    assert max(spread[1]) < 0.3 * min(spread[0]), spread


def main():
    with chain.Place() as place:
        study, out = place.study("first")
        chain.run(2, "ingest", study)
        said = chain.run(1, "generate", study, expect=3)
        assert "run ctaug train first" in said, said
        chain.run(2, "train", study)
        chain.run(1, "generate", study)
        for ranks in (2, 3):
            other_study, other = copy_of(place, f"ranks-{ranks}", out)
            chain.run(ranks, "generate", other_study)
            assert hashes(out) == hashes(other), ranks
        # Two threads instead of one: the arithmetic of a slice does not depend on them.
        other_study, other = copy_of(place, "threads", out)
        chain.run(1, "generate", other_study, env={"OMP_NUM_THREADS": "2"})
        assert hashes(out) == hashes(other)
        assert "current" in chain.run(2, "generate", study)

        manifest = json.load(open(f"{out}/synthetic/manifest.json"))
        text = json.dumps(manifest)
        assert '"synthetic": true' in text and '"elastic"' in text and '"affine"' in text
        with h5py.File(f"{out}/synthetic/index.h5", "r") as f, \
                h5py.File(f"{out}/store/index.h5", "r") as real:
            volumes = f["volumes"]
            assert len(volumes) == 3
            first = [real["volumes"][k]["labels"].shape for k in real["volumes"]][0]
            for volume in volumes.values():
                ct, labels = volume["ct"][()], volume["labels"][()]
                assert ct.dtype == numpy.int16 and ct.shape == labels.shape == (8, 32, 32)
                assert ct.min() >= -1000 and ct.max() <= 1000 and ct.std() > 50
                assert labels.max() > 0 and first[0] == 8
            several = [v["labels"][()] for v in volumes.values()]
            assert not numpy.array_equal(several[0], several[1])
        chain.run(1, "verify", out)
        interrupted(place, out)
        gaussian(place, out)
        insertions(place, out)
        one_appearance(place, out)


main()
