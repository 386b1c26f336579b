"""Small CT series with segmentations, written by pydicom, independently of ctaug."""

import os

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (CTImageStorage, ExplicitVRLittleEndian, SegmentationStorage, generate_uid)

STRUCTURES = ("liver", "bone", "aorta")  # unsorted; ctaug sorts them for its label values


def uid(*what):
    return generate_uid(entropy_srcs=["ctaug small"] + [str(w) for w in what])


def start(path, sop_class, *what):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid(*what)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.PatientBirthDate = ds.PatientSex = ds.Manufacturer = ""
    return ds


def geometry(number):
    """Origin, row and column direction, normal (unit vectors, LPS); patient 1 is oblique."""
    if number == 1:
        a, b = np.deg2rad(12), np.deg2rad(-20)
        turn_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        turn_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
        axes = turn_z @ turn_x
    else:
        axes = np.eye(3)
    return np.array([-40.5 - number, -30.25, 100.0 * number]), axes[:, 0], axes[:, 1], axes[:, 2]


SPACING = (2.5, 0.8, 0.7)  # z y x, mm


def voxels(number, shape):
    """HU and label map (0 background, k + 1: STRUCTURES[k]) of patient `number`."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    noise = np.random.RandomState(number).randint(-30, 30, shape)
    inside = (y - shape[1] / 2) ** 2 + (x - shape[2] / 2) ** 2 < (0.4 * min(shape[1:])) ** 2
    labels = np.zeros(shape, np.uint8)
    labels[inside & (x < shape[2] // 2) & (y > shape[1] // 3)] = 1
    labels[inside & (y > 3 * shape[1] // 4) & (z > 0)] = 2
    labels[inside & (abs(x - 2 * shape[2] // 3) < 4) & (abs(y - shape[1] // 2) < 5)] = 3
    base = np.array([-1000, 60, 700, 40])[labels] + np.where((labels == 0) & inside, 1000, 0)
    return (base + noise + 5 * number).astype(np.int16), labels


def write_ct(directory, number, hu, contrast):
    origin, row, column, normal = geometry(number)
    order = np.random.RandomState(100 + number).permutation(len(hu))
    for z in range(len(hu)):
        path = os.path.join(directory, "I%03d" % order[z])
        ds = start(path, CTImageStorage, number, "slice", z)
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PatientName, ds.PatientID = "Secret^Name%d" % number, "HOSPITAL-%d" % number
        ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(number, "study"), uid(number, "series")
        ds.FrameOfReferenceUID = uid(number, "frame")
        ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 1, len(hu) - z
        ds.SliceThickness, ds.KVP, ds.PatientPosition = 3, 120, "HFS"
        if contrast:
            ds.ContrastBolusAgent, ds.ConvolutionKernel = "agent", "B60f"
            ds.BodyPartExamined = "PELVIS"
        ds.ImagePositionPatient = ["%.8f" % v for v in origin + z * SPACING[0] * normal]
        ds.ImageOrientationPatient = ["%.12f" % v for v in (*row, *column)]
        ds.PixelSpacing = list(SPACING[1:])
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = hu.shape[1:]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope = -24, 1
        ds.PixelData = (hu[z].astype(np.int32) + 24).astype("<i2").tobytes()
        ds.save_as(path, write_like_original=False)


def code(value, meaning):
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, "99CTAUG", meaning
    return Sequence([ds])


def write_seg(path, number, labels, series="series", structures=STRUCTURES):
    """One BINARY segmentation object: segments in the order of structures, no empty frames."""
    origin, row, column, normal = geometry(number)
    ds = start(path, SegmentationStorage, number, "seg")
    ds.Modality, ds.ImageType = "SEG", ["DERIVED", "PRIMARY"]
    ds.PatientName, ds.PatientID = "Secret^Name%d" % number, "HOSPITAL-%d" % number
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid(number, "study"), uid(number, "seg series")
    ds.FrameOfReferenceUID = uid(number, "frame")
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 2, 1
    ds.ContentLabel, ds.ContentDescription, ds.ContentCreatorName = "SEG", "", ""
    ds.ContentDate, ds.ContentTime = "20200101", "000000"
    ds.SegmentationType, ds.LossyImageCompression = "BINARY", "00"
    reference = Dataset()
    reference.SeriesInstanceUID = uid(number, series)
    reference.ReferencedInstanceSequence = Sequence()
    for z in range(len(labels)):
        item = Dataset()
        item.ReferencedSOPClassUID = CTImageStorage
        item.ReferencedSOPInstanceUID = uid(number, "slice", z)
        reference.ReferencedInstanceSequence.append(item)
    ds.ReferencedSeriesSequence = Sequence([reference])
    ds.SegmentSequence = Sequence()
    for k, name in enumerate(structures):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = k + 1, name
        segment.SegmentAlgorithmType = "MANUAL"
        segment.SegmentedPropertyCategoryCodeSequence = code("1", "structure")
        segment.SegmentedPropertyTypeCodeSequence = code("2", name)
        ds.SegmentSequence.append(segment)
    index = Dataset()
    index.DimensionOrganizationUID = uid("dimension")
    ds.DimensionOrganizationSequence = Sequence([index])
    shared = Dataset()
    measures = Dataset()
    measures.PixelSpacing = list(SPACING[1:])
    measures.SliceThickness = measures.SpacingBetweenSlices = SPACING[0]
    shared.PixelMeasuresSequence = Sequence([measures])
    plane = Dataset()
    plane.ImageOrientationPatient = ["%.12f" % v for v in (*row, *column)]
    shared.PlaneOrientationSequence = Sequence([plane])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence()
    frames = []
    for k in range(len(structures)):
        for z in range(len(labels)):
            if not (labels[z] == k + 1).any():
                continue
            frames.append(labels[z] == k + 1)
            frame, position, segment = Dataset(), Dataset(), Dataset()
            position.ImagePositionPatient = ["%.8f" % v for v in origin + z * SPACING[0] * normal]
            frame.PlanePositionSequence = Sequence([position])
            segment.ReferencedSegmentNumber = k + 1
            frame.SegmentIdentificationSequence = Sequence([segment])
            ds.PerFrameFunctionalGroupsSequence.append(frame)
    ds.NumberOfFrames = len(frames)
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = labels.shape[1:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 1, 1, 0, 0
    packed = np.packbits(np.concatenate([f.ravel() for f in frames]), bitorder="little").tobytes()
    ds.PixelData = packed + b"\0" * (len(packed) % 2)
    ds.save_as(path, write_like_original=False)


def write_patient(directory, number, shape, seg=True):
    """Writes a folder with the slices and the SEG of one patient; returns HU and labels."""
    hu, labels = voxels(number, shape)
    os.makedirs(directory)
    write_ct(directory, number, hu, number % 2)
    if seg:
        write_seg(os.path.join(directory, "SEG"), number, labels)
    return hu, labels
