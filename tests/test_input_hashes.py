#!/usr/bin/python3
"""What `ctaug ingest` takes for the same archive: fingerprints follow from the content of the
files alone; the record of their hashes is trusted only where it is right; `out` and the archive lie
apart; a segment cannot be the background."""

import glob
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time

import numpy as np
import pydicom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom

OLD = 1000000000  # seconds; long before any hashing


def study(path, dicom, out):
    with open(path, "w") as stream:
        stream.write("name: t\nout: %s\ningest:\n  dicom: %s\n  labels: seg\n" % (out, dicom))
    return path


def files_of(dicom):
    return sorted(p for p in glob.glob(dicom + "/**", recursive=True) if os.path.isfile(p))


def make_old(dicom):
    for n, path in enumerate(files_of(dicom)):
        os.utime(path, ns=(0, OLD * 10**9 + n))


def archive(directory, patients=2):
    for n in range(patients):
        small_dicom.write_patient(os.path.join(directory, "x%d" % n), n, (4, 32, 32))
    make_old(directory)
    return directory


def fingerprint(out):
    with open(out + "/store/manifest.json") as stream:
        return json.load(stream)["fingerprint"]


def record(out):
    with open(out + "/ingest-files.json") as stream:
        return json.load(stream)


def reseal(path, value):
    """Writes a record with a right seal, computed independently of ctaug."""
    value.pop("seal", None)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    value["seal"] = hashlib.sha256(text.encode()).hexdigest()
    with open(path, "w") as stream:
        json.dump(value, stream)


def ingest(yaml, *words, ranks=0, expect=0):
    """(whether the store was current, files, hashed files, what was said)"""
    said = chain.run(ranks, "ingest", yaml, *words, expect=expect)
    found = re.search(r"archive: (\d+) input files, (\d+) hashed", said)
    counts = (int(found[1]), int(found[2])) if found else (None, None)
    return ("is current" in said, *counts, said)


def change_pixels(path, keep_time=False):
    """Other pixels under the same UID, in as many bytes."""
    before = os.stat(path)
    slice_ = pydicom.dcmread(path)
    pixels = np.frombuffer(slice_.PixelData, "<i2") + 1
    slice_.PixelData = pixels.astype("<i2").tobytes()
    slice_.save_as(path, write_like_original=True)
    assert os.stat(path).st_size == before.st_size
    if keep_time:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def hashes_and_record(place):
    dicom, out = archive(place + "/a"), place + "/a-run"
    yaml = study(place + "/a.yaml", dicom, out)
    n = len(files_of(dicom))
    assert ingest(yaml)[:3] == (False, n, n)

    # The record against hashlib and os.stat.
    kept = record(out)
    assert stat.S_IMODE(os.stat(out + "/ingest-files.json").st_mode) == 0o600
    assert kept["archive"] == os.path.realpath(dicom)
    assert kept["files"] == {
        os.path.relpath(p, dicom): {"bytes": os.stat(p).st_size, "mtime_ns": os.stat(p).st_mtime_ns,
                                    "sha256": hashlib.sha256(open(p, "rb").read()).hexdigest()}
        for p in files_of(dicom)}
    first = fingerprint(out)
    assert "10 input files, good" in chain.run(0, "verify", out)
    events = open(out + "/events.jsonl").read()
    assert "x0/I0" not in events and "HOSPITAL" not in events

    # Nothing is read twice, on any number of ranks, however the folder is written.
    assert ingest(yaml)[:3] == (True, n, 0)
    assert ingest(yaml, ranks=3)[:3] == (True, n, 0)
    os.symlink(dicom, place + "/link")
    assert ingest(yaml, "--set", "ingest.dicom=%s/link/" % place)[:3] == (True, n, 0)

    # A touched file is hashed again, and the store stays current. Twice: its time is recent, and a
    # change within the steps of the clock would not show.
    victim = files_of(dicom)[2]
    os.utime(victim)
    assert ingest(yaml)[:3] == (True, n, 1)
    assert ingest(yaml, ranks=2)[:3] == (True, n, 1)
    make_old(dicom)
    ingest(yaml)

    # Other pixels under the same UIDs, with and without a trace in size and time.
    change_pixels(victim)
    os.utime(victim, (OLD + 5, OLD + 5))
    assert ingest(yaml)[:3] == (False, n, 1)
    second = fingerprint(out)
    change_pixels(victim, keep_time=True)
    assert ingest(yaml)[:3] == (True, n, 0), "only a full hash can find it"
    assert ingest(yaml, "--rehash", ranks=3)[:3] == (False, n, n)
    third = fingerprint(out)
    assert len({first, second, third}) == 3
    assert ingest(yaml)[:3] == (True, n, 0)

    # 1 and 3 ranks, and a copy elsewhere, whose names come in another order of creation.
    copy = place + "/elsewhere/b"
    os.makedirs(copy + "/x1")
    os.makedirs(copy + "/x0")
    for path in reversed(files_of(dicom)):
        shutil.copy2(path, os.path.join(copy, os.path.relpath(path, dicom)))
    for ranks in (1, 3):
        other = place + "/other%d" % ranks
        ingest(study(other + ".yaml", copy, other), ranks=ranks)
        assert fingerprint(other) == third
        assert record(other)["files"] == record(out)["files"]

    # The copy with the same run directory: the record is of another archive.
    current, _, hashed, said = ingest(yaml, "--set", "ingest.dicom=" + copy)
    assert (current, hashed) == (True, n) and "record of another archive" in said, said
    current, _, hashed, said = ingest(yaml, "--set", "ingest.dicom=" + copy)
    assert (current, hashed) == (True, 0) and "warning" not in said, said

    # Equal names, sizes and times in another archive, but other pixels: nothing is mistaken.
    twin = place + "/twin"
    shutil.copytree(copy, twin)
    change_pixels(twin + "/" + os.path.relpath(victim, dicom), keep_time=True)
    assert ingest(yaml, "--set", "ingest.dicom=" + twin)[:3] == (False, n, n)

    # A file that is gone leaves the record too.
    shutil.rmtree(dicom + "/x1")
    ingest(yaml)
    assert ingest(yaml)[:3] == (True, n // 2, 0)
    assert not [k for k in record(out)["files"] if k.startswith("x1/")]


def damaged_records(place):
    dicom, out = archive(place + "/d"), place + "/d-run"
    # Names that are neither UTF-8 nor plain.
    odd = os.path.join(os.fsencode(dicom), b"x0", b'\xff%41 "\\\x1b[2J')
    os.rename(os.path.join(dicom, "x0", "I000"), odd)
    yaml = study(place + "/d.yaml", dicom, out)
    ingest(yaml)
    path, n = out + "/ingest-files.json", len(os.listdir(dicom)) * 5
    assert ingest(yaml)[:3] == (True, n, 0)
    whole = open(path, "rb").read()
    assert b"x0/%ff%2541%20%22%5c%1b[2J" in whole, whole[:2000]

    def ignored(word, ranks=0):
        current, _, hashed, said = ingest(yaml, ranks=ranks)
        assert (current, hashed) == (True, n) and "warning: " + path in said and word in said, said
        assert ingest(yaml)[:3] == (True, n, 0)

    rng = np.random.RandomState(1)
    bad = [whole[:len(whole) // 2], b"", b"[]", b"\xff" * 100, b'{"a":' * 5000, whole + b"x"]
    for at in rng.randint(0, len(whole), 6):  # a flip in white space changes nothing that is read
        while whole[at] in b" \n":
            at += 1
        bad.append(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:])
    flips = 0
    for k, text in enumerate(bad):
        with open(path, "wb") as stream:
            stream.write(text)
        if k >= 6 and b'"version": 1\n' not in text:
            continue  # may read as a newer version: below
        assert "DAMAGED" in chain.run(0, "verify", out, expect=5)
        ignored("ignored", ranks=k % 4)
        flips += k >= 6
    assert flips >= 4

    # Rightly sealed, but not a record; a forged hash that is no hash; an own one of another kind.
    good = record(out)
    some = sorted(good["files"])[0]
    for change in (dict(kind="store"), dict(files=[]), dict(version="1"), dict(time_ns=1.5),
                   dict(files={some: 3}), dict(files={some: dict(good["files"][some], bytes=-1)}),
                   dict(files={some: dict(good["files"][some], sha256="0" * 63)}),
                   dict(files={some: dict(good["files"][some], sha256="G" * 64)})):
        reseal(path, dict(good, **change))
        ignored("ignored")
    reseal(path, dict(good))
    assert ingest(yaml)[:3] == (True, n, 0), "the seal of this test is wrong"

    # A newer version is neither used nor overwritten.
    reseal(path, dict(good, version=2, more=1))
    newer = open(path, "rb").read()
    for ranks in (1, 3):
        assert "newer version" in ingest(yaml, ranks=ranks, expect=5)[3]
    assert open(path, "rb").read() == newer
    os.remove(path)

    # A link in its place is refused, and not followed.
    target = place + "/target.json"
    reseal(target, dict(good))
    os.symlink(target, path)
    before = open(target, "rb").read()
    assert "symbolic link" in ingest(yaml, expect=5)[3]
    assert open(target, "rb").read() == before and os.path.islink(path)

    # --share: the mode follows from the umask.
    os.remove(path)
    old = os.umask(0o027)
    try:
        ingest(yaml, "--share")
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640


def downstream():
    """The pixels of one patient are replaced under the same UIDs: everything is made again."""
    with chain.Place() as place:
        make_old(place.dicom)
        yaml, out = place.study("run")
        chain.run(2, "run", yaml)
        said = chain.run(2, "run", yaml)
        assert said.count("is current") >= 4, said
        before = chain.hashes(out)
        for path in files_of(place.dicom)[:4]:
            change_pixels(path)
        said = chain.run(2, "run", yaml)
        assert "is current" not in said, said
        after = chain.hashes(out)
        for name in ("store/manifest.json", "synthetic/manifest.json", "metrics/manifest.json"):
            assert before[name] != after[name], name


def places(place):
    """`out` in the archive, the archive in `out`, both the same, by any way of writing it."""
    home = os.path.realpath(place) + "/places"
    dicom = archive(home + "/dicom", 1)
    os.symlink(dicom, home + "/link")
    os.symlink(home, dicom + "/up")
    os.mkdir(home + "/beside")
    yaml = home + "/study.yaml"
    before = None

    def tree():
        return sorted((top, *dirs, *files) for top, dirs, files in os.walk(home))

    refused = [dicom, dicom + "/", dicom + "/run", dicom + "/x0/deep/er", home, home + "/link",
               home + "/link/run", home + "/new/../dicom/run", home + "/new/../link/run/more",
               home + "/./beside/..//dicom/run", dicom + "/up", home + "/dicom/../dicom"]
    for out in refused:
        study(yaml, dicom, out)
        before = tree()
        for verb, ranks in (("run", 0), ("ingest", 3), ("train", 0)):
            said = chain.run(ranks, verb, yaml, expect=2)
            assert "out, %s, " % out in said and dicom in said and "outside of it" in said, said
            assert tree() == before, out
    # Relative to the folder in which ctaug is started.
    study(yaml, "../../dicom", "run")
    before = tree()
    done = subprocess.run([chain.CTAUG, "run", yaml], cwd=dicom + "/x0", env=chain.ENV,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "out, run, is inside ingest.dicom" in done.stderr, done
    assert tree() == before
    # Names that only look alike, and a way out of the archive.
    for out in (home + "/dicom-run", home + "/dicom/../beside/run", dicom + "/up/beside/run2"):
        study(yaml, dicom, out)
        ingest(yaml)
        assert os.path.exists(out + "/store/manifest.json")
    # The archive is gone: only ingest minds.
    study(yaml, home + "/gone", home + "/dicom-run")
    said = chain.run(0, "ingest", yaml, expect=3)
    assert home + "/gone" in said, said
    study(yaml, "''", home + "/dicom-run")
    for words in ([], ["--set", "ingest.dicom=" + home + "/gone"]):
        said = chain.run(0, "train", yaml, "--set", "train.steps=1", "--set", "data.size=1024", *words,
                         expect=(0, 2, 3))
        assert "the archive" not in said, said


def background(place):
    """A segment of the name of label 0 marks nothing, and erases nothing of others."""
    dicom, out = place + "/bg", place + "/bg-run"
    small_dicom.write_patient(dicom + "/x0", 0, (4, 32, 32))
    labels = np.zeros((4, 32, 32), np.uint8)
    labels[:, 4:20, 4:20] = 1
    labels[:, 8:12, 8:12] = 2
    yaml = study(place + "/bg.yaml", dicom, out)
    small_dicom.write_seg(dicom + "/x0/SEG", 0, labels, structures=("liver", "background"))
    ingest(yaml)
    volumes, names = chain.read_store(out + "/store")
    (volume,) = volumes.values()
    assert names == ["background", "liver"]
    assert np.array_equal(volume[1], labels == 1)


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-hashes-") as place:
        for part in (hashes_and_record, damaged_records, places, background):
            began = time.time()
            part(place)
            print("%s: %.0f s" % (part.__name__, time.time() - began), flush=True)
    began = time.time()
    downstream()
    print("downstream: %.0f s" % (time.time() - began))


main()
