#!/usr/bin/python3
"""RT Structure Sets of the patients of small_dicom.py, written by pydicom.

small_rtstruct.py DIR writes one sound file, DIR/good.dcm, and files that are wrong in one way each,
for tests/test_rtstruct.c."""

import copy
import os
import sys
import warnings

import numpy as np
from pydicom import config
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ImplicitVRLittleEndian, generate_uid

import small_dicom

RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"


def to_mm(number, points):
    """Patient coordinates of points in voxels: slice, row, column."""
    origin, row, column, normal = small_dicom.geometry(number)
    dz, dy, dx = small_dicom.SPACING
    points = np.asarray(points, float)
    return (origin + points[:, :1] * dz * normal + points[:, 1:2] * dy * column
            + points[:, 2:] * dx * row)


def planar(z, outline):
    """Points (slice, row, column) of an outline of (column, row) on slice z."""
    return [(z, y, x) for x, y in outline]


def contour(number, points, kind="CLOSED_PLANAR"):
    item = Dataset()
    item.ContourGeometricType = kind
    item.NumberOfContourPoints = len(points)
    item.ContourData = ["%.10g" % v for v in to_mm(number, points).ravel()] if points else []
    image = Dataset()
    image.ReferencedSOPClassUID = CTImageStorage
    image.ReferencedSOPInstanceUID = generate_uid(entropy_srcs=["nowhere"])  # a dead reference
    item.ContourImageSequence = Sequence([image])
    return item


def write(path, number, rois, series="series", frame="frame", implicit=False, change=None):
    """rois: (number, name, contours). series and frame name the UIDs that are referred to (None:
    no reference). `change` may spoil the data set."""
    ds = small_dicom.start(path, RTSTRUCT, number, "rtstruct", os.path.basename(path))
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.Modality, ds.StructureSetLabel = "RTSTRUCT", "RTSTRUCT"
    ds.PatientName, ds.PatientID = "Secret^Name%d" % number, "HOSPITAL-%d" % number
    ds.StudyInstanceUID = small_dicom.uid(number, "study")
    ds.SeriesInstanceUID = small_dicom.uid(number, "rtstruct series")
    ds.StudyID, ds.SeriesNumber, ds.StructureSetDate, ds.StructureSetTime = "1", 3, "", ""
    reference = Dataset()
    reference.FrameOfReferenceUID = small_dicom.uid(number, frame)
    if series:
        study, one = Dataset(), Dataset()
        study.ReferencedSOPClassUID = "1.2.840.10008.3.1.2.3.1"
        study.ReferencedSOPInstanceUID = ds.StudyInstanceUID
        one.SeriesInstanceUID = small_dicom.uid(number, series)
        one.ContourImageSequence = Sequence()
        study.RTReferencedSeriesSequence = Sequence([one])
        reference.RTReferencedStudySequence = Sequence([study])
    ds.ReferencedFrameOfReferenceSequence = Sequence([reference])
    ds.StructureSetROISequence, ds.ROIContourSequence = Sequence(), Sequence()
    for roi, name, contours in rois:
        item, drawn = Dataset(), Dataset()
        item.ROINumber, item.ROIName, item.ROIGenerationAlgorithm = roi, name, "MANUAL"
        item.ReferencedFrameOfReferenceUID = reference.FrameOfReferenceUID
        ds.StructureSetROISequence.append(item)
        drawn.ReferencedROINumber = roi
        drawn.ContourSequence = Sequence(contours)
        ds.ROIContourSequence.append(drawn)
    if change:
        change(ds)
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        ds.is_implicit_VR = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # explicit VR: long coordinates become UN
        ds.save_as(path, write_like_original=False)


SQUARE = [(2.6, 1.6), (8.6, 1.6), (8.6, 6.6), (2.6, 6.6)]  # rows 2 to 6, columns 3 to 8
HOLE = [(4.6, 2.6), (6.6, 2.6), (6.6, 4.6), (4.6, 4.6)]    # rows 3 and 4, columns 5 and 6


def spoilt():
    """Name -> (ROIs, a change of the data set)."""
    def square(z, kind="CLOSED_PLANAR"):
        return contour(0, planar(z, SQUARE), kind)

    def coordinates(text):
        def change(ds):
            item = ds.ROIContourSequence[0].ContourSequence[0]
            item["ContourData"]._value = text
        return change

    def claims(count):
        def change(ds):
            ds.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = count
        return change

    def other_number(ds):
        ds.ROIContourSequence[0].ReferencedROINumber = 77

    def no_rois(ds):
        del ds.StructureSetROISequence

    def no_contours(ds):
        del ds.ROIContourSequence

    def odd_character_set(ds):
        ds.SpecificCharacterSet = "ISO 2022 IR 100"
        ds.StructureSetROISequence[0].ROIName = "liver\x1b-Zx"  # an escape to no set

    one = [(1, "liver", [square(1)])]
    text = one[0][2][0].ContourData
    words = [str(v) for v in text]
    return {
        "odd": (one, coordinates(words[:-1])),
        "two": (one, coordinates(words[:2])),
        "nan": (one, coordinates(words[:-1] + ["NaN"])),
        "infinite": (one, coordinates(words[:-1] + ["1e999"])),
        "word": (one, coordinates(words[:-1] + ["1.5mm"])),
        "hex": (one, coordinates(words[:-1] + ["0x10"])),
        "gap": (one, coordinates(words[:4] + [""] + words[5:])),
        "long": (one, coordinates(words[:-1] + ["1" * 200])),
        "more": (one, claims(2147483647)),
        "negative": (one, claims(-1)),
        "unknown": (one, other_number),
        "twice": (one + [(1, "spleen", [square(2)])], None),
        "norois": (one, no_rois),
        "nocontours": (one, no_contours),
        "points": ([(1, "centre", [square(1, "POINT"), square(1, "OPEN_PLANAR")])], None),
        "short": ([(1, "liver", [contour(0, planar(1, SQUARE[:2]))])], None),
        "empty": ([(1, "liver", [contour(0, [])])], None),
        "far": ([(1, "liver", [square(-1), square(99)])], None),
        "between": ([(1, "liver", [square(1.5)])], None),
        "sagittal": ([(1, "liver", [contour(0, [(0, 2, 5), (3, 2, 5), (3, 6, 5), (0, 6, 5)])])],
                     None),
        "second": ([(1, "liver", [square(0), square(2), square(4)])], None),
        "background": ([(1, "background", [square(1)])], None),
        "charset": (one, odd_character_set),
        "name": ([(1, "x" * 300, [square(1)])], None),
        "many": ([(k + 1, "s%d" % k, [square(1)]) for k in range(256)], None),
    }


def good():
    """ROIs with a hole, in two heights, overlapping, with points, without a name; see
    tests/test_rtstruct.c for what they must give."""
    def on(z, outline=SQUARE, kind="CLOSED_PLANAR"):
        return contour(0, planar(z, outline), kind)

    def moved(x, y):
        return [(px + x, py + y) for px, py in SQUARE]

    return [
        (7, "liver", [on(0), on(0, HOLE), on(1, kind="CLOSEDPLANAR_XOR"),
                      on(1, HOLE, "CLOSEDPLANAR_XOR")]),
        (3, "spleen", [on(1, moved(3, 0)), on(2, moved(3, 0)), on(2.3, moved(4, 1)), on(9)]),
        (5, "isocentre", [on(1, SQUARE[:1], "POINT")]),
        (9, "", [on(3.4, HOLE)]),
        (11, "liver", [on(4, HOLE), on(4, SQUARE, "OPEN_PLANAR")]),
    ]


def main():
    folder = sys.argv[1]
    config.settings.writing_validation_mode = config.IGNORE
    config.settings.reading_validation_mode = config.IGNORE
    write(os.path.join(folder, "good.dcm"), 0, good())
    write(os.path.join(folder, "implicit.dcm"), 0, good(), implicit=True)
    # Coordinates of more than 64 KiB, which explicit VR writes as UN: the square again and again,
    # an odd number of times.
    long = contour(0, planar(1, (SQUARE + SQUARE[:1]) * 1001))
    write(os.path.join(folder, "huge.dcm"), 0, [(1, "liver", [long])])
    for name, (rois, change) in spoilt().items():
        write(os.path.join(folder, name + ".dcm"), 0, copy.deepcopy(rois), change=change)


if __name__ == "__main__":
    main()
