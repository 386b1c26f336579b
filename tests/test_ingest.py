#!/usr/bin/python3
"""`ctaug ingest` against pydicom: every voxel of a real head CT; several patients with
segmentations; the same bytes on 1 and 3 ranks; for every fault its exit code and a message that
names it."""

import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import pydicom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom
from chain import hashes, read_store

SHAPES = [(8, 160, 160), (5, 128, 96), (9, 160, 144), (6, 64, 64), (7, 160, 152)]


def study(path, dicom, out, labels):
    lines = ["name: test of ingest", "out: %s" % out, "ingest:", "  dicom: %s" % dicom]
    if labels == "thresholds":
        lines += ["  labels: thresholds", "  thresholds:", '    - "soft: -100..200"',
                  '    - "bone: 150..3071"']
    else:
        lines += ["  labels: seg"]
    with open(path, "w") as stream:
        stream.write("\n".join(lines) + "\n")
    return path


def ingest(*words, ranks=0, expect=0):
    return chain.run(ranks, "ingest", *words, expect=expect)


def head(place):
    """All 108 slices of a real CT, compared with the values that pydicom decodes."""
    dicom, out = os.path.join(place, "head"), os.path.join(place, "head-run")
    made = subprocess.run([sys.executable, os.path.join(HERE, "data", "cranium_dicom.py"), dicom],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    assert made.returncode == 0, made.stdout
    slices = [pydicom.dcmread(p) for p in glob.glob(os.path.join(dicom, "*"))]
    slices.sort(key=lambda s: float(s.ImagePositionPatient[2]))
    hu = np.stack([s.pixel_array * int(s.RescaleSlope) + int(s.RescaleIntercept) for s in slices])
    assert len(slices) == 108

    said = ingest(study(place + "/head.yaml", dicom, out, "thresholds"))
    assert "next: ctaug referee" in said and out in said, said
    volumes, names = read_store(out + "/store")
    assert len(volumes) == 1
    ct, labels, space = next(iter(volumes.values()))
    assert ct.dtype == np.int16 and np.array_equal(ct, hu)
    expected = np.where(hu >= 150, 2, np.where(hu >= -100, 1, 0)) * (hu <= 3071)
    assert np.array_equal(labels, expected)
    assert names == ["background", "soft", "bone"], names
    assert np.allclose(space["spacing"], [1.5, 0.957, 0.957], atol=1e-3), space
    assert np.allclose(space["origin"], [float(v) for v in slices[0].ImagePositionPatient])

    ingest(study(place + "/head3.yaml", dicom, out + "3", "thresholds"), ranks=3)
    one, three = hashes(out + "/store"), hashes(out + "3/store")
    assert {k: v for k, v in one.items() if k.endswith(".h5")} == \
           {k: v for k, v in three.items() if k.endswith(".h5")}


def patients(place):
    """Several patients and shards, with SEG: voxels, label names, ranks, repeated runs."""
    dicom = os.path.join(place, "small")
    truth = [small_dicom.write_patient(os.path.join(dicom, "x%d" % n), n, shape)
             for n, shape in enumerate(SHAPES)]
    runs = {}
    for ranks in (1, 3):
        out = os.path.join(place, "small-run%d" % ranks)
        yaml = study(place + "/small%d.yaml" % ranks, dicom, out, "seg")
        ingest(yaml, "--set", "ingest.shard_mib=1", ranks=ranks)
        runs[ranks] = hashes(out + "/store")
    shards = [k for k in runs[1] if k.startswith("shard-")]
    assert len(shards) >= 3, shards
    for name in runs[1]:
        if name != "manifest.json":
            assert runs[1][name] == runs[3][name], name
    details = [json.load(open(place + "/small-run%d/store/manifest.json" % r)) for r in (1, 3)]
    assert [f["sha256"] for f in details[0]["files"]] == [f["sha256"] for f in details[1]["files"]]
    origin = details[0]["detail"]["provenance"]
    assert origin["patients"] == origin["series"] == len(SHAPES) and origin["synthetic"] is False
    assert "Secret" not in json.dumps(details[0]) and "HOSPITAL" not in json.dumps(details[0])

    volumes, names = read_store(out + "/store")
    assert names == ["background"] + sorted(small_dicom.STRUCTURES), names
    assert len(volumes) == len(SHAPES)
    for number, (hu, labels) in enumerate(truth):
        patient = chain.pseudonym("HOSPITAL-%d" % number)
        (found,) = [v for k, v in volumes.items() if k.startswith(patient)]
        value = np.array([0] + [names.index(n) for n in small_dicom.STRUCTURES])
        assert np.array_equal(found[0], hu)
        assert np.array_equal(found[1], value[labels])
        assert int(found[2]["contrast"]) == number % 2
        # Kernel B60f is sharp, the part of the body is the pelvis; of the others nothing is known.
        known = (found[2].get("kernel"), found[2].get("body"))
        assert known == ((2, 5) if number % 2 else (None, None)), known
        origin, row, column, normal = small_dicom.geometry(number)
        assert np.allclose(found[2]["origin"], origin, atol=1e-4)
        assert np.allclose(np.ravel(found[2]["direction"]), np.ravel([normal, column, row]),
                           atol=1e-4)
        assert np.allclose(found[2]["spacing"], small_dicom.SPACING, atol=1e-4)

    # A second run has nothing to do, and a copy of the archive counts as the same archive, on any
    # number of ranks.
    written = os.stat(out + "/store/manifest.json").st_mtime_ns
    for path in glob.glob(dicom + "/*/*"):
        os.utime(path, (1, 1))
    said = ingest(yaml, "--set", "ingest.shard_mib=1", ranks=2)
    assert "current" in said, said
    assert os.stat(out + "/store/manifest.json").st_mtime_ns == written
    shutil.copytree(dicom, dicom + "-moved")
    said = ingest(yaml, "--set", "ingest.shard_mib=1", "--set", "ingest.dicom=%s-moved" % dicom)
    assert "current" in said, said
    assert os.stat(out + "/store/manifest.json").st_mtime_ns == written
    # One more patient: the store is replaced.
    hu, _ = small_dicom.write_patient(os.path.join(dicom, "y"), 9, (4, 32, 32))
    said = ingest(yaml, "--set", "ingest.shard_mib=1", ranks=2)
    assert "current" not in said and len(read_store(out + "/store")[0]) == len(SHAPES) + 1
    # A changed segmentation under the same UID is noticed.
    small_dicom.write_seg(os.path.join(dicom, "y", "SEG"), 9, np.full((4, 32, 32), 2, np.uint8))
    assert "current" not in ingest(yaml, "--set", "ingest.shard_mib=1")
    # A patient whose segmentation was removed, and a scout: both are left out and reported.
    os.remove(os.path.join(dicom, "y", "SEG"))
    small_dicom.write_patient(os.path.join(dicom, "scout"), 11, (1, 32, 32), seg=False)
    said = ingest(yaml, ranks=2)
    assert "1 CT series of a single slice left out" in said and dicom + "/scout/" in said, said
    assert "1 CT series that no DICOM SEG refers to left out" in said and dicom + "/y/" in said, said
    assert "warning: left out" not in said, said  # sound archives have both
    assert len(read_store(out + "/store")[0]) == len(SHAPES)
    # Kept instead: its voxels without labels, marked; the scout is no volume in any case.
    said = ingest(yaml, "--set", "ingest.unlabelled=keep", ranks=2)
    assert "1 CT series that no DICOM SEG refers to" in said and "unlabelled" in said, said
    volumes, names = read_store(out + "/store")
    assert len(volumes) == len(SHAPES) + 1 and names == ["background"] + sorted(small_dicom.STRUCTURES)
    with open(out + "/store/manifest.json") as stream:
        entries = {e["id"]: e for e in json.load(stream)["detail"]["volumes"]}
    patient = chain.pseudonym("HOSPITAL-9")
    for name, (ct, labels, space) in volumes.items():
        without = name.startswith(patient)
        assert int(space["labelled"]) == entries[name]["labelled"] == (not without), name
        assert bool(labels.any()) != without
        if without:
            assert np.array_equal(ct, hu)
    chain.run(0, "verify", out + "/store")
    # A segmentation of another series: the patient is left out, the segmentation named.
    stray = os.path.join(dicom, "y", "STRAY")
    small_dicom.write_seg(stray, 9, np.full((4, 32, 32), 2, np.uint8), series="another")
    said = ingest(yaml, ranks=2)
    assert stray in said and "warning: left out" in said, said
    assert len(read_store(out + "/store")[0]) == len(SHAPES)
    # No segmentation left: the message says so.
    for path in glob.glob(dicom + "/*/S*"):
        os.remove(path)
    said = ingest(yaml, ranks=2, expect=3)
    assert "no DICOM SEG" in said and dicom in said and "nothing is left" in said, said


def whole_body(place):
    """255 structures, each patient with some of them: names, voxels, table. With one more the
    segmentations of one series do not fit, and the others are stored."""
    dicom, out = os.path.join(place, "body"), os.path.join(place, "body-run")
    names = ["structure %03d of the whole body" % (k * 101 % 255) for k in range(255)]
    truth = {}
    for number, structures in ((20, names[:155]), (21, names[100:])):
        directory = os.path.join(dicom, str(number))
        small_dicom.write_patient(directory, number, (3, 32, 32), seg=False)
        labels = np.arange(3 * 32 * 32, dtype=np.uint32).reshape(3, 32, 32) % (len(structures) + 1)
        small_dicom.write_seg(directory + "/SEG", number, labels, structures=structures)
        truth[number] = np.array(["background", *structures])[labels]
    yaml = study(place + "/body.yaml", dicom, out, "seg")
    ingest(yaml, ranks=3)
    volumes, found = read_store(out + "/store")
    assert found == ["background"] + sorted(names)
    with h5py.File(out + "/store/index.h5", "r") as index:
        assert [n.decode() for n in index["volumes"].attrs["labels"]] == found
    for number, named in truth.items():
        patient = chain.pseudonym("HOSPITAL-%d" % number)
        (volume,) = [v for k, v in volumes.items() if k.startswith(patient)]
        assert np.array_equal(np.array(found)[volume[1]], named)
    chain.run(0, "verify", out + "/store")
    chain.run(0, "export", "--store", out + "/store", "--format", "nifti", "--out", place + "/body-nii")
    table = open(place + "/body-nii/labels.tsv").read().split("\n")
    assert table == ["index\tname"] + ["%d\t%s" % kv for kv in enumerate(found)] + [""]
    shutil.rmtree(out)

    small_dicom.write_patient(dicom + "/22", 22, (3, 32, 32), seg=False)
    small_dicom.write_seg(dicom + "/22/SEG", 22, np.ones((3, 32, 32), int), structures=["the 256th"])
    for ranks in (1, 2):
        said = ingest(yaml, ranks=ranks)
        assert "are more than the 255 that a store holds" in said, said
        volumes, found = read_store(out + "/store")
        # Those with few names come first, then one of the two with 155.
        assert len(volumes) == 2 and len(found) == 1 + 156, found
        (volume,) = [v for k, v in volumes.items() if k.startswith(chain.pseudonym("HOSPITAL-22"))]
        (label,) = np.unique(volume[1])
        assert found[label].startswith("structure-"), found[label]  # its own name is not known
        shutil.rmtree(out)


def refused(out):
    """Checks that out/store does not contain a valid store."""
    chain.run(0, "verify", out + "/store", expect=(3, 5))
    assert not os.path.exists(out + "/store/manifest.json")
    left = [n for n in os.listdir(out + "/store")] if os.path.isdir(out + "/store") else []
    assert not [n for n in left if n.endswith(".h5")], left


def stored(out):
    """The patients a, b of faults() that are in the store."""
    names = read_store(out + "/store")[0]
    pseudonym = {k: chain.pseudonym("HOSPITAL-%d" % n) for n, k in enumerate("ab")}
    return " ".join(k for k, p in pseudonym.items() if any(v.startswith(p) for v in names))


def faults(place):
    good = os.path.join(place, "faulty")
    small_dicom.write_patient(os.path.join(good, "a"), 0, (6, 64, 64))
    small_dicom.write_patient(os.path.join(good, "b"), 1, (6, 64, 64))
    yaml = os.path.join(place, "faulty.yaml")
    out = os.path.join(place, "faulty-run")

    def fails(code, *words, dicom=good, ranks=(1, 2), extra=()):
        for n in ranks:
            study(yaml, dicom, out, "seg")
            said = ingest(yaml, *extra, ranks=n, expect=code)
            for word in words:
                assert word in said, (word, said)
            refused(out)
            shutil.rmtree(out, ignore_errors=True)

    os.mkdir(place + "/nothing")
    fails(3, place + "/nothing", dicom=place + "/nothing")
    fails(3, place + "/missing", dicom=place + "/missing")

    # One fault costs one patient at most, on any number of ranks; strict ingest stores nothing.
    both = "a b"
    for ranks in (1, 2):
        ingest(study(yaml, good, out, "seg"), ranks=ranks)
        assert stored(out) == both
    stranger = os.path.join(good, "b", "notes.txt")
    with open(stranger, "w") as stream:
        stream.write("not a picture\n" * 100)

    def keeps(who, *words, ranks=(2,)):
        runs = []
        for n in ranks:
            shutil.rmtree(out, ignore_errors=True)
            said = ingest(yaml, ranks=n)
            assert stored(out) == who, (who, stored(out), said)
            for word in words:
                assert word in said, (word, said)
            runs.append({k: v for k, v in hashes(out + "/store").items() if k != "manifest.json"})
            assert os.stat(out + "/ingest.json").st_mode & 0o777 == 0o600
        assert runs[0] == runs[-1]
        assert "current" in ingest(yaml, ranks=ranks[0]) and stored(out) == who
        chain.run(0, "verify", out + "/store")
        shutil.rmtree(out)

    keeps(both, stranger, "not a DICOM file")
    fails(3, stranger, extra=["--strict"])
    fails(3, stranger, extra=["--set", "ingest.strict=on"], ranks=(2,))
    os.remove(stranger)

    victim = sorted(glob.glob(good + "/b/I*"))[2]
    whole = open(victim, "rb").read()
    for keep in (len(whole) * 6 // 10, len(whole) - 2, 600, 100, 0):
        with open(victim, "wb") as stream:
            stream.write(whole[:keep])
        keeps("a", victim, ranks=(1, 2) if keep > 600 else (2,))
    os.remove(victim)
    keeps("a", "slices are missing (1)")
    with open(victim, "wb") as stream:
        stream.write(whole)

    # A segmentation whose pixels are cut, which shows when it is decoded: the patient is left out,
    # or kept without labels. What was found is remembered when the store is current.
    seg = good + "/b/SEG"
    whole = open(seg, "rb").read()
    with open(seg, "wb") as stream:
        stream.write(whole[:-400])
    keeps("a", seg)
    words = ["--set", "ingest.unlabelled=keep"]
    for ranks in (1, 2):
        ingest(yaml, *words, ranks=ranks)
        assert stored(out) == both
        volumes = json.load(open(out + "/store/manifest.json"))["detail"]["volumes"]
        assert sorted(v["labelled"] for v in volumes) == [False, True], volumes
        said = ingest(yaml, *words, ranks=ranks)
        assert seg in said and "current" in said
        report = json.load(open(out + "/ingest.json"))
        assert report["stored"]["volumes"] == 2 and report["stored"]["unlabelled"] == 1, report
        (finding,) = report["findings"]
        assert finding["late"] and finding["file"] == "b/SEG", finding
        shutil.rmtree(out)
    with open(seg, "wb") as stream:
        stream.write(whole)

    # A folder that cannot be created, because its parent is a file.
    with open(place + "/file", "w") as stream:
        stream.write("x")
    study(yaml, good, place + "/file/run", "seg")
    for n in (1, 2):
        said = ingest(yaml, ranks=n, expect=4)
        assert place + "/file" in said, said

    # The same input without faults is accepted.
    ingest(study(yaml, good, out, "seg"), ranks=2)
    chain.run(0, "verify", out + "/store")
    shard = out + "/store/shard-00000.h5"
    data = bytearray(open(shard, "rb").read())
    data[len(data) // 2] ^= 1
    open(shard, "wb").write(data)
    assert "shard-00000.h5" in chain.run(0, "verify", out + "/store", expect=5)
    said = chain.run(0, "export", "--store", out + "/store", "--format", "nifti", "--out",
                     place + "/nifti", expect=5)
    assert "shard-00000.h5" in said and "remove %s/store and run" % out in said, said


def disk(place):
    """A full and a read-only file system, as small tmpfs mounts. False if they cannot be made."""
    mount = os.path.join(place, "disk")
    os.mkdir(mount)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs",
                                            mount], stderr=subprocess.DEVNULL).returncode != 0:
        return False
    try:
        dicom = os.path.join(place, "for-disk")
        for n in range(4):
            small_dicom.write_patient(os.path.join(dicom, str(n)), n, (8, 128, 128))
        out = mount + "/run"
        yaml = study(place + "/disk.yaml", dicom, out, "seg")
        for ranks in (1, 3):
            said = ingest(yaml, "--set", "ingest.shard_mib=1", ranks=ranks, expect=4)
            assert out in said and "space" in said.lower(), said
            refused(out)
            chain.run(0, "train", yaml, expect=(3, 5))
        shutil.rmtree(out)
        for option, code in (("remount,size=64m", 0), ("remount,ro", 4)):
            subprocess.run(["mount", "-o", option, mount], check=True)
            for ranks in (1, 2):
                said = ingest(yaml, ranks=ranks, expect=code)
                if code == 0:
                    shutil.rmtree(out)
                else:
                    assert out in said and "ead-only" in said, said
    finally:
        subprocess.run(["umount", mount], check=True)
    return True


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-ingest-") as place:
        head(place)
        patients(place)
        whole_body(place)
        faults(place)
        if not disk(place):
            print("no tmpfs can be mounted here: full and read-only disks were not tested")


main()
