#!/usr/bin/python3
"""Files on which a library crashes or takes all memory cost themselves and their series, in the
scan of headers and in the decoding of pixels and segmentations; all other volumes are stored as
without them, with the same bytes on 1 and 2 ranks. A decoder that something outside kills is no
fault of its file: it is replaced, and if that one is killed, too, a later run goes on.

The faults are those of tests/faulty_decoder.py."""
import json
import os
import shutil
import threading
import time

import numpy as np

import chain
import faulty_decoder

# New name of a file, patient by patient, and what is said of it.
FAULTS = {1: ("ct-0003.dcm", "crash.dcm", "file", "the decoder crashed (signal 11"),
          2: ("ct-0003.dcm", "late-crash.dcm", "series", "the decoder crashed (signal 11"),
          3: ("ct-0005.dcm", "late-flood.dcm", "series", "cannot be decoded within"),
          4: ("seg.dcm", "late-crash-seg.dcm", "segmentation", "the decoder crashed (signal 11"),
          5: ("ct-0002.dcm", "flood.dcm", "file", "out of memory")}


def spoil(place):
    """A copy of the archive with files of such names; (its folder, folders of its patients)."""
    folders = sorted(os.listdir(place.dicom))
    spoilt = f"{place.root}/spoilt"
    shutil.copytree(place.dicom, spoilt)
    for number, (old, new, _, _) in FAULTS.items():
        os.rename(f"{spoilt}/{folders[number]}/{old}", f"{spoilt}/{folders[number]}/{new}")
    return spoilt, folders


def check_findings(out):
    with open(f"{out}/ingest.json") as f:
        report = json.load(f)
    found = {os.path.basename(x["file"]): x for x in report["findings"]}
    for _, new, left_out, reason in FAULTS.values():
        assert found[new]["left_out"] == left_out, found[new]
        assert reason in found[new]["reason"], found[new]
        assert found[new]["late"] == new.startswith("late-"), found[new]


def kill_hung(folder, count):
    """Kills each decoder that hangs."""
    for number in range(count):
        while not os.path.lexists(f"{folder}/{number}"):
            time.sleep(0.05)
        os.kill(int(os.readlink(f"{folder}/{number}")), 9)


def ingest_killed(place, name, dicom, library, kills, expect):
    """An ingest of which that many decoders are killed from outside while they read a slice; (its
    output, its folder)."""
    study, out = place.study(name)
    hung = f"{out}-hung"
    os.mkdir(hung)
    killer = threading.Thread(target=kill_hung, args=(hung, kills), daemon=True)
    killer.start()
    said = chain.run(1, "ingest", study, "--set", f"ingest.dicom={dicom}", expect=expect,
                     env={"LD_PRELOAD": library, "LATE": f"{out}/ingest.json", "HUNG": hung,
                          "HANGS": str(kills)})
    killer.join()
    assert len(os.listdir(hung)) == kills
    return said, out


def kills_are_no_faults_of_files(place, library):
    """Killed once, nobody notices. Killed twice, the run ends with an error, and the next one goes
    on; both end with the bytes of an undisturbed one."""
    dicom = f"{place.root}/hanging"
    shutil.copytree(place.dicom, dicom)
    patient = f"{dicom}/{sorted(os.listdir(dicom))[-1]}"
    os.rename(f"{patient}/ct-0003.dcm", f"{patient}/late-hang.dcm")
    study, plain = place.study("plain")
    chain.run(1, "ingest", study, "--set", f"ingest.dicom={dicom}")
    _, out = ingest_killed(place, "once", dicom, library, 1, 0)
    assert chain.hashes(f"{out}/store") == chain.hashes(f"{plain}/store")
    said, out = ingest_killed(place, "twice", dicom, library, 2, 1)
    assert "killed from outside" in said and "run again" in said, said
    assert not os.path.exists(f"{out}/store/manifest.json")
    said = chain.run(1, "ingest", out + ".yaml", "--set", f"ingest.dicom={dicom}")
    assert "volumes were decoded before the run stopped" in said, said
    with open(f"{out}/ingest.json") as f:
        assert not json.load(f)["findings"]
    assert chain.hashes(f"{out}/store") == chain.hashes(f"{plain}/store")


with chain.Place(6) as place:
    reference, whole = place.study("whole")
    chain.run(2, "ingest", reference)
    sound, names = chain.read_store(f"{whole}/store")
    library = faulty_decoder.build(place.root)
    spoilt, folders = spoil(place)
    bytes_of = []
    for ranks in (1, 2):
        study, out = place.study(f"out{ranks}")
        said = chain.run(ranks, "ingest", study, "--set", f"ingest.dicom={spoilt}",
                         env={"LD_PRELOAD": library, "LATE": f"{out}/ingest.json"})
        assert "Segmentation fault" not in said.replace("(signal 11, Segmentation fault)", ""), said
        check_findings(out)
        stored, labels = chain.read_store(f"{out}/store")
        assert len(stored) == 1, sorted(stored)
        value = np.array([names.index(name) for name in labels])  # there, of a label value here
        for volume, (hu, mask, _) in stored.items():
            assert np.array_equal(hu, sound[volume][0])
            assert np.array_equal(value[mask], sound[volume][1])
        bytes_of.append(chain.hashes(f"{out}/store"))
    assert bytes_of[0] == bytes_of[1]
    kills_are_no_faults_of_files(place, library)
    print(f"{len(FAULTS)} faulty files, one sound patient of {len(folders)}: stored")
