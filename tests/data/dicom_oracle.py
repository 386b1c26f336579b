#!/usr/bin/python3
"""The oracle of tests/test_dicom.c: writes and reads DICOM by pydicom and numpy.

usage: dicom_oracle.py ct DIR      writes CT files name.dcm and the expected name.hu (int16)
       dicom_oracle.py seg DIR     writes a CT series, seg.dcm and the expected seg.labels (uint8)
       dicom_oracle.py check DIR   compares a volume written by ctaug with volume.hu, volume.labels
"""

import glob
import os
import sys

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
                         ExplicitVRLittleEndian, ImplicitVRLittleEndian, SegmentationStorage,
                         generate_uid)

SHAPE = (5, 7, 9)  # z y x; 63 pixels, so frames of a SEG do not begin at byte boundaries
SPACING = (2.5, 0.75, 0.5)
ORIGIN = (-10.25, 20.5, -300.0)


def save(ds, path, syntax=ExplicitVRLittleEndian):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    ds.is_little_endian = syntax != ExplicitVRBigEndian
    ds.is_implicit_VR = syntax == ImplicitVRLittleEndian
    ds.save_as(path, write_like_original=False)


def uid(what):
    return generate_uid(entropy_srcs=["dicom_oracle", what])


def base(z):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, uid("slice %d" % z)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.Modality, ds.PatientName, ds.PatientID = "CT", "ORACLE", "ORACLE-1"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.FrameOfReferenceUID = uid("frame")
    ds.Rows, ds.Columns = SHAPE[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[0] * z]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = list(SPACING[1:])
    return ds


def form(ds, allocated, stored, high, signed, slope, intercept):
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = allocated, stored, high
    ds.PixelRepresentation = int(signed)
    ds.RescaleSlope, ds.RescaleIntercept = slope, intercept


def write_cts(out):
    random = np.random.RandomState(1)
    pixels = SHAPE[1:]

    def put(name, ds, cells, values, syntax=ExplicitVRLittleEndian, floor=None):
        """cells: the raw pixel cells; values: the stored values in them."""
        order = ">" if syntax == ExplicitVRBigEndian else "<"
        data = cells.astype(cells.dtype.newbyteorder(order)).tobytes()
        ds.PixelData = data + b"\0" * (len(data) % 2)
        ds["PixelData"].VR = "OW" if ds.BitsAllocated == 16 else "OB"
        save(ds, os.path.join(out, name + ".dcm"), syntax)
        hu = np.floor(values * float(ds.RescaleSlope) + float(ds.RescaleIntercept) + 0.5)
        if floor is not None:
            hu = np.where(floor, np.maximum(hu, -1024), hu)
        hu.astype("<i2").tofile(os.path.join(out, name + ".hu"))

    for name, syntax in (("explicit", ExplicitVRLittleEndian), ("implicit", ImplicitVRLittleEndian),
                         ("bigendian", ExplicitVRBigEndian),
                         ("deflated", DeflatedExplicitVRLittleEndian)):
        ds, v = base(0), random.randint(0, 4096, pixels)
        form(ds, 16, 12, 11, False, 1, -1024)
        put(name, ds, v.astype(np.uint16), v, syntax)

    ds, v = base(0), random.randint(-32768, 32768, pixels)
    form(ds, 16, 16, 15, True, 1, 0)
    put("signed16", ds, v.astype(np.int16), v)

    # 13 bits in two's complement, below overlay bits, which a reader must mask.
    ds, v = base(0), random.randint(-4096, 4096, pixels)
    form(ds, 16, 13, 12, True, 1, 0)
    put("overlay", ds, ((v & 0x1FFF) | (random.randint(0, 8, pixels) << 13)).astype(np.uint16), v)

    ds, v = base(0), random.randint(0, 4096, pixels)
    form(ds, 16, 12, 15, False, 1, -1000)
    put("highbit", ds, (v << 4).astype(np.uint16), v)

    ds, v = base(0), random.randint(0, 256, pixels)
    form(ds, 8, 8, 7, False, 8, -1024)
    put("eight", ds, v.astype(np.uint8), v)

    ds, v = base(0), random.randint(0, 4096, pixels)
    form(ds, 16, 12, 11, False, 0.5, -3.25)
    put("fraction", ds, v.astype(np.uint16), v)

    ds, v = base(0), random.randint(0, 21845, pixels)
    form(ds, 16, 16, 15, False, 3, -32768)
    put("widest", ds, v.astype(np.uint16), v)

    for name, syntax in (("padding", ExplicitVRLittleEndian), ("padimplicit", ImplicitVRLittleEndian)):
        ds, v = base(0), random.randint(-2100, 3000, pixels)
        v[0, :4] = -2000
        form(ds, 16, 16, 15, True, 1, -10)
        ds.PixelPaddingValue = -2000
        ds["PixelPaddingValue"].VR = "SS"
        put(name, ds, v.astype(np.int16), v, syntax, floor=v == -2000)


def write_seg(out):
    """Frames in random order; segments 1..3 overlap: the one with fewer voxels, which is
    the one with the higher number, takes precedence."""
    random = np.random.RandomState(2)
    for z in range(SHAPE[0]):
        ds, v = base(z), random.randint(0, 4096, SHAPE[1:])
        form(ds, 16, 12, 11, False, 1, -1024)
        ds.PixelData = v.astype("<u2").tobytes()
        ds["PixelData"].VR = "OW"
        save(ds, os.path.join(out, "slice%d.dcm" % z))
    masks = random.rand(3, *SHAPE) < [[[[0.6]]], [[[0.4]]], [[[0.2]]]]
    frames = [(s, z) for s in range(3) for z in range(SHAPE[0])]
    frames = [frames[i] for i in random.permutation(len(frames))]

    ds = base(0)
    for tag in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del ds[tag]
    ds.SOPClassUID, ds.SOPInstanceUID = SegmentationStorage, uid("seg")
    ds.SeriesInstanceUID, ds.Modality = uid("seg series"), "SEG"
    form(ds, 1, 1, 0, False, 1, 0)
    ds.SegmentationType = "BINARY"
    ds.NumberOfFrames = len(frames)
    reference = Dataset()
    reference.SeriesInstanceUID = uid("series")
    ds.ReferencedSeriesSequence = Sequence([reference])
    ds.SegmentSequence = Sequence()
    for s, name in enumerate(("liver", "left kidney", "lesion")):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = s + 1, name
        ds.SegmentSequence.append(segment)
    measures, orientation, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = list(SPACING[1:])
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([orientation])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence()
    for s, z in frames:
        position, identity, groups = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[0] * z + 0.4]
        identity.ReferencedSegmentNumber = s + 1
        groups.PlanePositionSequence = Sequence([position])
        groups.SegmentIdentificationSequence = Sequence([identity])
        ds.PerFrameFunctionalGroupsSequence.append(groups)
    bits = np.concatenate([masks[s, z].ravel() for s, z in frames])
    packed = np.packbits(bits, bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    ds["PixelData"].VR = "OB"
    save(ds, os.path.join(out, "seg.dcm"))

    labels = np.zeros(SHAPE, np.uint8)
    for s in range(3):
        labels[masks[s]] = s + 1
    labels.tofile(os.path.join(out, "seg.labels"))


CT_TYPE_1 = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality ImageType
    FrameOfReferenceUID PixelSpacing ImageOrientationPatient ImagePositionPatient SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    PixelData RescaleIntercept RescaleSlope RescaleType"""
CT_TYPE_2 = """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID
    AccessionNumber ReferringPhysicianName SeriesNumber PatientPosition PositionReferenceIndicator
    Manufacturer InstanceNumber SliceThickness KVP AcquisitionNumber"""
SEG_TYPE_1 = """SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality SeriesNumber
    FrameOfReferenceUID Manufacturer ManufacturerModelName DeviceSerialNumber SoftwareVersions
    ImageType InstanceNumber ContentLabel ContentDate ContentTime SamplesPerPixel
    PhotometricInterpretation Rows Columns BitsAllocated BitsStored HighBit PixelRepresentation
    LossyImageCompression SegmentationType SegmentSequence NumberOfFrames PixelData
    SharedFunctionalGroupsSequence PerFrameFunctionalGroupsSequence ReferencedSeriesSequence
    DimensionOrganizationSequence DimensionIndexSequence"""
SEG_TYPE_2 = """PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID
    AccessionNumber ReferringPhysicianName PositionReferenceIndicator ContentDescription
    ContentCreatorName"""


def require(ds, type_1, type_2):
    for name in type_1.split():
        assert name in ds and ds[name].value not in (None, ""), "%s: no value" % name
    for name in type_2.split():
        assert name in ds, "%s is missing" % name
    for element in ds.iterall():
        if element.VR == "DS":
            values = element.value if element.VM > 1 else [element.value]
            assert all(len(str(v)) <= 16 for v in values if v is not None), element
        if element.VR == "UI" and element.VM == 1:
            assert len(element.value) <= 64 and pydicom.uid.UID(element.value).is_valid, element


def check(out):
    hu = np.fromfile(os.path.join(out, "volume.hu"), "<i2").reshape(SHAPE)
    labels = np.fromfile(os.path.join(out, "volume.labels"), np.uint8).reshape(SHAPE)
    slices = [pydicom.dcmread(f) for f in sorted(glob.glob(os.path.join(out, "ct-*.dcm")))]
    assert len(slices) == SHAPE[0]
    assert len({s.SOPInstanceUID for s in slices}) == SHAPE[0]
    assert len({s.SeriesInstanceUID for s in slices}) == 1
    for z, ds in enumerate(slices):
        require(ds, CT_TYPE_1, CT_TYPE_2)
        assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert ds.ContrastBolusAgent == "contrast"
        np.testing.assert_array_equal(ds.pixel_array, hu[z])
        np.testing.assert_allclose(ds.PixelSpacing, SPACING[1:], rtol=1e-9)
        np.testing.assert_allclose(ds.ImagePositionPatient,
                                   [ORIGIN[0], ORIGIN[1], ORIGIN[2] + SPACING[0] * z], rtol=1e-9)

    seg = pydicom.dcmread(os.path.join(out, "seg.dcm"))
    require(seg, SEG_TYPE_1, SEG_TYPE_2)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert seg.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert seg.StudyInstanceUID == slices[0].StudyInstanceUID
    assert seg.SeriesInstanceUID != slices[0].SeriesInstanceUID
    # Label 2 of 1..3 does not occur: it has no segment, and segment numbers have no gap.
    names = {s.SegmentNumber: s.SegmentLabel for s in seg.SegmentSequence}
    assert names == {1: "one", 2: "three"}, names
    painted = np.zeros(SHAPE, np.uint8)
    masks = seg.pixel_array.reshape(-1, *SHAPE[1:])
    for mask, groups in zip(masks, seg.PerFrameFunctionalGroupsSequence):
        position = groups.PlanePositionSequence[0].ImagePositionPatient
        z = round((position[2] - ORIGIN[2]) / SPACING[0])
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        assert source.ReferencedSOPInstanceUID == slices[z].SOPInstanceUID
        assert groups.FrameContentSequence[0].DimensionIndexValues == [number, z + 1]
        assert mask.any()
        painted[z][mask == 1] = {1: 1, 2: 3}[number]
    np.testing.assert_array_equal(painted, labels)


{"ct": write_cts, "seg": write_seg, "check": check}[sys.argv[1]](sys.argv[2])
