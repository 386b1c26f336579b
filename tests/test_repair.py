#!/usr/bin/python3
"""`ctaug verify` names every damaged file of a store and the command that mends it; `ctaug repair`
decodes the volumes of damaged shards alone, gives the files the bytes that they had, and touches
nothing else, on 1 and on 2 ranks. What cannot be mended is refused and left as it is. A store of an
earlier version stays one."""
import glob
import hashlib
import json
import os
import shutil

import chain

VOLUMES = 7


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1]))


def cut(path):
    os.truncate(path, os.path.getsize(path) // 2)


def states(store):
    """Bytes, identity and time of every file."""
    found = {}
    for name, text in chain.hashes(store).items():
        s = os.lstat(f"{store}/{name}")
        found[name] = (text, s.st_ino, s.st_mtime_ns)
    return found


def last(out, kind):
    with open(f"{out}/events.jsonl") as f:
        return [e for e in map(json.loads, f) if e["event"] == kind][-1]


def mends(site, ranks, damage, volumes):
    """Damages files, and has them mended: name -> what is done to it."""
    study, out, wanted = site
    store = f"{out}/store"
    before = states(store)
    for name, act in damage.items():
        act(f"{store}/{name}")
    said = chain.run(0, "verify", out, expect=5)
    for name in damage:
        assert f"store/{name} " in said and "DAMAGED" in said, said
    assert said.count("DAMAGED") == len(damage), said
    assert f"to mend it: ctaug repair {out}/study.yaml" in said, said
    said = chain.run(ranks, "repair", study)
    assert f"{len(damage)} damaged files made again from {volumes} volumes" in said, said
    assert last(out, "repair")["decoded"] == volumes
    now = states(store)
    assert {name: s[0] for name, s in now.items()} == wanted, said
    assert {n for n in now if now[n] != before[n]} == set(damage)
    chain.run(0, "verify", out)
    assert "is current" in chain.run(0, "ingest", study)


def refuses(site, change, restore, says, *words):
    """A damaged shard that cannot be mended stays as it is, with everything else."""
    study, out, _ = site
    store = f"{out}/store"
    change()
    before = chain.hashes(store)
    said = chain.run(1, "repair", study, *words, expect=(3, 5))
    assert says in said, said
    assert chain.hashes(store) == before, said
    restore()


def damaged_in_every_way(site):
    _, out, _ = site
    size = os.path.getsize(f"{out}/store/shard-00001.h5")
    for at in (0, size // 3, size - 1):
        mends(site, 2, {"shard-00001.h5": lambda path, at=at: flip(path, at)}, 2)
    mends(site, 1, {"shard-00000.h5": os.remove, "shard-00003.h5": cut}, 3)
    mends(site, 2, {"shard-00002.h5": cut, "index.h5": lambda path: flip(path, 77)}, 2)
    mends(site, 0, {"index.h5": os.remove}, 0)
    mends(site, 3, {f"shard-{k:05d}.h5": os.remove for k in range(4)}, VOLUMES)


def what_cannot_be_mended_is_left(place, site):
    study, out, wanted = site
    store = f"{out}/store"
    kept = f"{place.root}/kept"
    shutil.copytree(store, kept)

    def restore():
        shutil.rmtree(store)
        shutil.copytree(kept, store)

    def hurt(name="shard-00001.h5"):
        flip(f"{store}/{name}", 4000 if name.startswith("shard") else 40)

    refuses(site, hurt, restore, "made from another archive or study",
            "--set", "ingest.thresholds=[\"bone: 299..3071\"]")
    refuses(site, lambda: hurt("manifest.json"), restore, "manifest.json")

    # A slice that is no longer what it was makes another archive.
    slices = f"{place.dicom}/patient-0000/ct-0002.dcm"
    shutil.copy(slices, f"{place.root}/slice")

    def hurt_archive():
        hurt()
        flip(slices, os.path.getsize(slices) - 9)

    def restore_archive():
        restore()
        shutil.copy(f"{place.root}/slice", slices)

    refuses(site, hurt_archive, restore_archive, "made from another archive or study")
    assert chain.hashes(store) == wanted
    hurt("manifest.json")
    said = chain.run(0, "verify", out, expect=5)
    assert f"to mend it: ctaug ingest {out}/study.yaml" in said, said
    chain.run(2, "ingest", study)
    assert chain.hashes(store) == wanted


def reseal(manifest, **changes):
    """Changes members of a manifest, with a right seal, computed independently of ctaug."""
    with open(manifest) as f:
        text = f.read()
    value = json.loads(text)
    seal = value.pop("seal")
    spelling = [(value[key], new) for key, new in changes.items()]
    value.update(changes)
    compact = json.dumps(value, sort_keys=True, separators=(",", ":"))
    for was, now in [*spelling, (seal, hashlib.sha256(compact.encode()).hexdigest())]:
        assert text.count(was) == 1, was
        text = text.replace(was, now)
    with open(manifest, "w") as f:
        f.write(text)


def a_store_of_an_earlier_version_stays_one(place):
    """Earlier versions did not know kernels and parts of the body. Their store is that of an
    archive whose headers lack both, with the fingerprint of the archive itself."""
    import pydicom

    def fingerprint(out):
        with open(f"{out}/store/manifest.json") as f:
            return json.load(f)["fingerprint"]

    study, out = place.study("now")
    chain.run(2, "ingest", study)
    wanted = fingerprint(out)
    shutil.rmtree(f"{out}/store")
    slices = sorted(glob.glob(f"{place.dicom}/patient-*/ct-*.dcm"))
    for path in slices:
        shutil.copy(path, path + ".kept")
        ds = pydicom.dcmread(path)
        for tag in ("ConvolutionKernel", "BodyPartExamined"):
            delattr(ds, tag)
        ds.save_as(path)
    chain.run(2, "ingest", study)
    for path in slices:
        os.replace(path + ".kept", path)
    reseal(f"{out}/store/manifest.json", fingerprint=wanted)
    assert "is current" in chain.run(0, "ingest", study)
    site = study, out, chain.hashes(f"{out}/store")
    mends(site, 2, {"shard-00000.h5": os.remove, "shard-00002.h5": cut}, 4)
    volumes, _ = chain.read_store(f"{out}/store")
    for _, _, attributes in volumes.values():
        assert "kernel" not in attributes and "body" not in attributes, attributes


with chain.Place(1) as place:
    place.dicom = f"{place.root}/larger"  # two volumes to a shard
    chain.run(0, "phantom", "--patients", str(VOLUMES), "--seed", "1", "--size", "128", "--slices",
              "8", "--out", place.dicom)
    # One without labels.
    os.remove(f"{place.dicom}/patient-0003/seg.dcm")
    study, out = place.study("run")
    with open(study) as f:
        text = f.read().replace("labels: seg", "labels: seg, unlabelled: keep")
    with open(study, "w") as f:
        f.write(text)
    said = chain.run(2, "ingest", study)
    site = study, out, chain.hashes(f"{out}/store")
    assert sum(name.startswith("shard") for name in site[2]) == 4, site[2]
    assert "is not damaged" in chain.run(2, "repair", study)
    damaged_in_every_way(site)
    what_cannot_be_mended_is_left(place, site)
    a_store_of_an_earlier_version_stays_one(place)
    print(f"{VOLUMES} volumes in 4 shards: mended in every way")
