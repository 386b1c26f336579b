#!/usr/bin/python3
"""`ctaug phantom`: the same files on 1 and 2 ranks, readable by pydicom; exit codes of faults."""

import glob
import os
import sys
import tempfile

import chain
from chain import hashes

PATIENTS, SIZE, SLICES = 3, 64, 12

try:
    import numpy as np
    import pydicom
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(77)


def phantom(out, ranks=0, patients=PATIENTS, seed=6, expect=0):
    return chain.run(ranks, "phantom", "--patients", patients, "--seed", seed, "--out", out,
                     "--size", SIZE, "--slices", SLICES, expect=expect)


def check_patient(folder):
    slices = [pydicom.dcmread(os.path.join(folder, "ct-%04d.dcm" % k)) for k in range(SLICES)]
    heights = [float(s.ImagePositionPatient[2]) for s in slices]
    assert heights == sorted(heights), "slices go upwards"
    assert np.allclose(np.diff(heights), 200 / SLICES), "200 mm are covered"
    assert all(list(s.ImageOrientationPatient) == [1, 0, 0, 0, 1, 0] for s in slices)
    hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept)
                   for s in slices])
    assert hu.shape == (SLICES, SIZE, SIZE)
    seg = pydicom.dcmread(os.path.join(folder, "seg.dcm"))
    names = {s.SegmentNumber: s.SegmentLabel for s in seg.SegmentSequence}
    assert {"lung", "heart", "liver", "spleen", "kidney", "aorta", "bone"} <= set(names.values())
    # HU and columns of each structure; frames are assigned to slices by their positions.
    found = {}
    frames = np.atleast_3d(seg.pixel_array)
    for frame, groups in zip(frames, seg.PerFrameFunctionalGroupsSequence):
        z = float(groups.PlanePositionSequence[0].ImagePositionPatient[2])
        k = int(np.argmin(np.abs(np.array(heights) - z)))
        name = names[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber]
        rows, columns = np.nonzero(frame)
        found.setdefault(name, []).append((hu[k][rows, columns], columns))
    mean = {n: np.concatenate([h for h, _ in parts]).mean() for n, parts in found.items()}
    column = {n: np.concatenate([c for _, c in parts]).mean() for n, parts in found.items()}
    assert mean["lung"] < -500 < 0 < mean["liver"] < 160 < mean["bone"], mean
    assert column["liver"] < SIZE / 2 < column["spleen"], "the liver is on the picture's left"


def main():
    with tempfile.TemporaryDirectory() as place:
        one, two, other = (os.path.join(place, n) for n in ("one", "two", "other"))
        text = phantom(one)
        assert one in text and "ctaug run" in text, "names its output and the next command"
        phantom(two, ranks=2)
        assert hashes(one) == hashes(two), "2 ranks write other files than 1"
        assert len(hashes(one)) == PATIENTS * (SLICES + 1)
        phantom(other, patients=1, seed=7)
        assert not set(hashes(one).values()) & set(hashes(other).values())
        for folder in sorted(glob.glob(os.path.join(one, "patient-*"))):
            check_patient(folder)

        before = hashes(one)
        text = phantom(one, expect=2)
        assert one in text and "not empty" in text, text
        assert hashes(one) == before
        text = phantom(os.path.join(place, "none"), ranks=2, patients=0, expect=2)
        assert "--patients" in text, text
        with open(os.path.join(place, "file"), "w") as stream:
            stream.write("no folder")
        text = phantom(os.path.join(place, "file", "below"), expect=4)
        assert "below" in text, text
        assert not glob.glob(os.path.join(place, "*.tmp.*")), "nothing half-written stays"
    print("phantom: equal files on 1 and 2 ranks, %d patients read back" % PATIENTS)


main()
