#!/usr/bin/python3
"""Label files of real patients, from ../shared/data, which is no part of the repository: RT
Structure Sets against the independent NIfTI masks of the same tumours, NIfTI masks against nibabel,
structure sets of two writers with dead references against the even-odd rule in numpy."""

import glob
import json
import os
import shutil
import sys
import tarfile
import tempfile
import warnings

import nibabel
import numpy as np
import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import even_odd
from chain import read_store

DATA = os.path.join(HERE, "..", "..", "shared", "data")


def chosen(ordered):
    """Keys of a study that keep ROI names as they are; of two in a voxel the first has it."""
    return {"structures": ["%s: %s" % (n, n) for n in ordered], "overlap": "order",
            "order": ordered}


def ingest(place, name, dicom, labels, ranks=0, keys=None):
    """(volumes, names, what was said, store)."""
    path, store = os.path.join(place, name + ".yaml"), os.path.join(place, name, "store")
    with open(path, "w") as stream:
        stream.write("name: real\nout: %s/%s\ningest: %s\n"
                     % (place, name, json.dumps({"dicom": dicom, "labels": labels, **(keys or {})})))
    said = chain.run(ranks, "ingest", path)
    return (*read_store(store), said, store)


def on_grid(path, space):
    """The voxels of a NIfTI file on the grid of a volume of the store, by the affines alone."""
    image = nibabel.load(path)
    voxels = np.asarray(image.dataobj)
    lps = np.eye(4)
    for axis in range(3):  # z y x of the store to columns x y z
        lps[:3, 2 - axis] = np.reshape(space["direction"], (3, 3))[axis] * space["spacing"][axis]
    lps[:3, 3] = space["origin"]
    to_grid = np.linalg.inv(lps) @ np.diag([-1, -1, 1, 1]) @ image.affine
    out = nibabel.orientations.apply_orientation(voxels, nibabel.io_orientation(to_grid))
    corners = nibabel.affines.apply_affine(to_grid, [(0, 0, 0), np.array(voxels.shape) - 1])
    assert np.allclose(np.sort(corners, axis=0), [(0, 0, 0), np.array(out.shape) - 1], atol=0.01)
    return out.transpose(2, 1, 0)


def sarcomas(place):
    """The structure set and the mask of each of 22 patients mark the same voxels."""
    dicom = os.path.join(place, "sts")
    archives = sorted(glob.glob(os.path.join(DATA, "sts-ct", "STS_*.tar.bz2")))
    assert len(archives) == 22
    for path in archives:
        with tarfile.open(path) as archive:
            archive.extractall(dicom)
    by_origin = {}
    for path in glob.glob(dicom + "/*/CT_mask.nii.gz"):
        x, y, z = nibabel.load(path).affine[:3, 3] * (-1, -1, 1)
        by_origin[(round(x, 2), round(y, 2), round(z, 2))] = path
    assert len(by_origin) == 22
    for labels, name in (("rtstruct", "GTV_Mass_CT"), ("nifti", "structure-1")):
        volumes, names, said, store = ingest(place, labels, dicom, labels, ranks=2,
                                             keys=chosen([name]))
        assert names == ["background", name] and len(volumes) == 22, (names, len(volumes))
        assert "another frame of reference" not in said, said
        total = 0
        for volume in volumes.values():
            path = by_origin[tuple(round(float(v), 2) for v in volume[2]["origin"])]
            want = on_grid(path, volume[2])
            assert want.any() and want.shape == volume[1].shape, path
            wrong = np.count_nonzero((want > 0) != (volume[1] == 1))
            assert wrong == 0, (path, wrong)
            total += want.size
        print("%s: 22 patients, %d voxels, all equal" % (labels, total))
        shutil.rmtree(os.path.dirname(store))
    shutil.rmtree(dicom)


def dead_references(place):
    """rt-utils: references to slices or series that are not there, another frame of reference, and
    contours where the CT has no slice."""
    source = os.path.join(DATA, "rt-utils", "dicom")
    ct = pydicom.dcmread(source + "/ct_1.dcm", stop_before_pixels=True)
    origin = np.array([float(v) for v in ct.ImagePositionPatient])
    spacing = (5.0, *(float(v) for v in ct.PixelSpacing))
    for name, off in (("rt", 0), ("invalid_reference_rt", 4), ("non_existent_reference_rt", 4)):
        dicom = os.path.join(place, name + "-dicom")
        os.makedirs(dicom)
        for one in ("ct_1", "ct_2", name):
            shutil.copy("%s/%s.dcm" % (source, one), dicom)
        ds = pydicom.dcmread("%s/%s.dcm" % (source, name))
        rois = sorted(ds.StructureSetROISequence, key=lambda r: -int(r.ROINumber))
        volumes, names, said, _ = ingest(place, name, dicom, "rtstruct",
                                         keys=chosen([str(r.ROIName) for r in rois]))
        (volume,) = volumes.values()
        want = even_odd.structure_set(ds, names, origin, np.eye(3), spacing, volume[1].shape)
        assert np.array_equal(want, volume[1]) and want.any(), name
        assert ("%d lie on no slice" % off in said) == (off > 0), said
        assert ("another frame of reference" in said) == (name == "rt"), said
        print("%s: %d voxels marked, all equal" % (name, np.count_nonzero(want)))


def many_organs(place):
    """TotalSegmentator: 31 of 117 labels, rows the other way round. The CT here has its geometry
    and no picture, because this is about labels; it lacks UIDs, too."""
    source, dicom = os.path.join(DATA, "totalsegmentator-ct"), os.path.join(place, "organs")
    os.makedirs(dicom + "/ct")
    for number, path in enumerate(sorted(glob.glob(source + "/dicom/*"))):
        ds = pydicom.dcmread(path)
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = CTImageStorage
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.1", "2.25.2"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = "2.25.3.%d" % number
        ds.PixelData = bytes(2 * ds.Rows * ds.Columns)
        ds.is_little_endian, ds.is_implicit_VR = True, False
        ds.save_as("%s/ct/%d" % (dicom, number), write_like_original=False)
    shutil.copy(source + "/labels.nii.gz", dicom)
    volumes, names, _, _ = ingest(place, "organs-run", dicom, "nifti")
    (volume,) = volumes.values()
    want = on_grid(source + "/labels.nii.gz", volume[2])
    values = [int(v) for v in np.unique(want) if v]
    assert sorted(names[1:]) == sorted("structure-%d" % v for v in values) and len(values) == 31
    value_of = np.zeros(256, np.uint8)
    for value in values:
        value_of[value] = names.index("structure-%d" % value)
    assert np.array_equal(volume[1], value_of[want])
    print("31 organs: %d voxels, all equal" % want.size)


def main():
    if not os.path.isdir(DATA):
        print("../shared/data is not there")
        sys.exit(77)
    warnings.simplefilter("ignore")  # pydicom's, about what the writers of these files did
    with tempfile.TemporaryDirectory(prefix="ctaug-real-") as place:
        dead_references(place)
        many_organs(place)
        sarcomas(place)


main()
