#!/usr/bin/python3
"""`ctaug export --format dicom --rtstruct`: the contours, read by pydicom and filled by the
even-odd rule in numpy, and ingested again, mark the voxels of the store; dciodvfy has no
objection."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pydicom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import even_odd
import small_dicom
from chain import hashes, read_store

SHAPES = [(5, 48, 40), (6, 32, 64), (3, 160, 160)]  # number 1 is oblique


def ingest(place, name, dicom, labels):
    yaml = os.path.join(place, name + ".yaml")
    with open(yaml, "w") as stream:
        stream.write("name: %s\nout: %s/%s\ningest: {dicom: %s, labels: %s}\n"
                     % (name, place, name, dicom, labels))
    chain.run(0, "ingest", yaml)
    return os.path.join(place, name, "store")


def make_store(place):
    dicom = os.path.join(place, "dicom")
    for number, shape in enumerate(SHAPES):
        small_dicom.write_patient(os.path.join(dicom, "x%d" % number), number, shape)
    # Noise: holes, islands, voxels that touch at corners. A comb with ragged teeth: one contour of
    # many thousand points.
    random = np.random.RandomState(5)
    noise = np.where(random.uniform(size=SHAPES[2]) < 0.65, 1, random.randint(0, 4, SHAPES[2]))
    y, x = np.indices(SHAPES[2][1:])
    noise[1] = (y == 0) | (x % 4 == 0) | ((x % 4 == 1) & (y % 2 == 0))
    small_dicom.write_seg(os.path.join(dicom, "x2", "SEG"), 2, noise.astype(np.uint8))
    return ingest(place, "source", dicom, "seg")


def check_set(folder, ct, labels, space, names):
    """One exported structure set. Returns the bytes of its longest coordinates."""
    ds = pydicom.dcmread(os.path.join(folder, "rtstruct.dcm"))
    slices = {s.SOPInstanceUID: s for s in
              (pydicom.dcmread(p) for p in glob.glob(os.path.join(folder, "ct-*.dcm")))}
    first = next(iter(slices.values()))
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    assert ds.Modality == "RTSTRUCT" and ds.PatientID == first.PatientID
    assert ds.StudyInstanceUID == first.StudyInstanceUID
    assert frame.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID != ds.SeriesInstanceUID
    assert {i.ReferencedSOPInstanceUID for i in series.ContourImageSequence} == set(slices)
    assert len(slices) == len(ct)
    present = [k for k in range(1, len(names)) if (labels == k).any()]
    assert [int(r.ROINumber) for r in ds.StructureSetROISequence] == present
    assert [r.ROIName for r in ds.StructureSetROISequence] == [names[k] for k in present]
    axes = np.reshape(space["direction"], (3, 3))[::-1]  # row, column direction, normal
    want = even_odd.structure_set(ds, names, np.array(space["origin"]), axes,
                                  space["spacing"], labels.shape)
    assert np.array_equal(want, labels)
    longest = 0
    for roi in ds.ROIContourSequence:
        for item in roi.ContourSequence:
            image = slices[item.ContourImageSequence[0].ReferencedSOPInstanceUID]
            points = np.array([float(v) for v in item.ContourData]).reshape(-1, 3)
            assert len(points) == item.NumberOfContourPoints
            off = (points - [float(v) for v in image.ImagePositionPatient]) @ axes[2]
            assert np.abs(off).max() < 1e-4  # on the slice that it names
            texts = [v.original_string for v in item.ContourData]
            assert max(map(len, texts)) <= 16  # DS
            longest = max(longest, sum(map(len, texts)) + len(texts))
    return longest


def check_dciodvfy(path):
    if not shutil.which("dciodvfy"):
        return False
    done = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert not errors, errors
    return True


def main():
    warnings.simplefilter("error")  # pydicom's, about values that the standard does not allow
    with tempfile.TemporaryDirectory(prefix="ctaug-rtstruct-") as place:
        store = make_store(place)
        volumes, names = read_store(store)
        words = ("export", "--store", store, "--format", "dicom", "--rtstruct", "--out")
        chain.run(2, *words, place + "/out")
        chain.run(0, *words, place + "/again")
        assert hashes(place + "/out") == hashes(place + "/again")
        longest, verified = 0, True
        for name, (ct, labels, space) in volumes.items():
            folder = os.path.join(place, "out", name)
            longest = max(longest, check_set(folder, ct, labels, space, names))
            verified = check_dciodvfy(os.path.join(folder, "rtstruct.dcm")) and verified
        assert longest > 1 << 16, longest
        back, names_back = read_store(ingest(place, "back", place + "/out", "rtstruct"))
        assert names_back == names and len(back) == len(volumes)
        for ct, labels, space in volumes.values():
            (same,) = [v for v in back.values() if v[1].shape == labels.shape]
            assert np.array_equal(same[1], labels) and np.array_equal(same[0], ct)
            assert np.allclose(same[2]["origin"], space["origin"], atol=1e-6)
        # Without the option there is none; with other formats it is refused.
        chain.run(0, *words[:5], "--out", place + "/plain")
        assert not glob.glob(place + "/plain/*/rtstruct.dcm")
        said = chain.run(0, "export", "--store", store, "--format", "nifti", "--rtstruct", "--out",
                         place + "/nifti", expect=2)
        assert "--rtstruct is for --format dicom" in said, said
        if not verified:
            print("dciodvfy is not there: its checks were left out")


main()
