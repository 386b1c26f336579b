#!/usr/bin/python3
"""The oracle of tests/test_dicom_seg.c: segmentations by pydicom, their label maps by numpy.

usage: seg_oracle.py DIR    writes DIR/good/NAME.dcm with NAME.labels (uint8), and DIR/bad/NAME.dcm
                            with NAME.reason, a part of the message

The CT is oblique, of SHAPE voxels. A voxel has the value of the pixel whose centre is the nearest
to its own, by solving for it in patient coordinates. Label k is segment LABELS[k - 1]; where
segments overlap, the one with fewer voxels has the voxel.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixel_data_handlers.rle_handler import rle_encode_frame
from pydicom.sequence import Sequence
from pydicom.uid import (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian,
                         ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, RLELossless,
                         SegmentationStorage, generate_uid)

SHAPE, SPACING = (6, 21, 19), np.array((2.5, 0.8, 0.7))
LABELS = ("liver", "kidney", "lesion")
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
J2K = [("jpeg2000", JPEG2000Lossless)] if shutil.which("opj_compress") else []
CT_FRAME = "1.2.3.4"  # the Frame of Reference UID that the test gives to the CT
ORIGIN = np.array([-40.5, 12.25, 300.0])
A, B = np.deg2rad(12), np.deg2rad(-20)
TURN = np.array([[np.cos(B), -np.sin(B), 0], [np.sin(B), np.cos(B), 0], [0, 0, 1]]) @ \
    np.array([[1, 0, 0], [0, np.cos(A), -np.sin(A)], [0, np.sin(A), np.cos(A)]])
AXES = TURN[:, ::-1].T  # rows: directions in which z, y, x grow


def uid(*what):
    return generate_uid(entropy_srcs=["seg_oracle", *map(str, what)])


class Grid:
    """Voxels of a segmentation: shape, spacing, origin and axes (rows: z y x), in mm."""

    def __init__(self, shape=SHAPE, spacing=SPACING, origin=ORIGIN, axes=AXES):
        self.shape, self.spacing = tuple(shape), np.array(spacing, float)
        self.origin, self.axes = np.array(origin, float), np.array(axes, float)

    def point(self, z, y, x):
        return self.origin + (np.array([z, y, x]) * self.spacing) @ self.axes

    def from_ct(self, values):
        """values[z, y, x] of this grid at the voxels of the CT; 0 outside."""
        index = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), -1).reshape(-1, 3)
        points = ORIGIN + (index * SPACING) @ AXES
        own = np.linalg.solve((self.spacing[:, None] * self.axes).T, (points - self.origin).T).T
        assert (np.abs(own - np.floor(own) - 0.5) > 1e-4).all(), "a tie"
        own = np.rint(own).astype(int)
        inside = ((own >= 0) & (own < values.shape)).all(1)
        out = np.zeros(len(own), values.dtype)
        out[inside] = values[tuple(own[inside].T)]
        return out.reshape(SHAPE)


CT = Grid()


def frame_item(grid, z, number):
    item, position = Dataset(), Dataset()
    position.ImagePositionPatient = ["%.9g" % v for v in grid.point(z, 0, 0)]
    item.PlanePositionSequence = Sequence([position])
    if number is not None:
        identity = Dataset()
        identity.ReferencedSegmentNumber = number
        item.SegmentIdentificationSequence = Sequence([identity])
    return item


def pack(frames, bits):
    cells = np.array(frames, int)
    if bits == 1:
        return np.packbits(cells.ravel() > 0, bitorder="little").tobytes()
    return cells.astype("<u2" if bits == 16 else np.uint8).tobytes()


def rle_of_bits(frame):
    """One RLE fragment with the packed bits of a frame, as literal runs."""
    data = np.packbits(frame.ravel(), bitorder="little").tobytes()
    runs = b"".join(bytes([len(data[k:k + 128]) - 1]) + data[k:k + 128]
                    for k in range(0, len(data), 128))
    head = np.zeros(16, "<u4")
    head[:2] = 1, 64
    return head.tobytes() + runs + b"\0" * (len(runs) % 2)


def jpeg2000(frame, bits, sign="u"):
    """The codestream of a frame, by OpenJPEG's encoder."""
    with tempfile.TemporaryDirectory() as place:
        raw, out = place + "/in.rawl", place + "/out.j2k"
        bits = max(bits, 8)  # the encoder has none of one bit
        np.asarray(frame).astype("<u2" if bits > 8 else np.uint8).tofile(raw)
        subprocess.run(["opj_compress", "-i", raw, "-o", out, "-n", "2", "-F",
                        "%d,%d,1,%d,%s" % (*frame.shape[::-1], bits, sign)], check=True,
                       stdout=subprocess.DEVNULL)
        with open(out, "rb") as stream:
            return stream.read()


def segmentation(frames, grid=CT, kind="BINARY", bits=None, numbers=(1, 2, 3), shuffle=None,
                 labels=LABELS):
    """frames: (slice of the grid, segment number or None, pixels)."""
    if shuffle is not None:
        frames = [frames[k] for k in np.random.RandomState(shuffle).permutation(len(frames))]
    ds = Dataset()
    ds.SOPClassUID = LABEL_MAP if kind == "LABELMAP" else SegmentationStorage
    ds.SOPInstanceUID, ds.Modality = uid("seg"), "SEG"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.PatientID, ds.FrameOfReferenceUID = "ORACLE", CT_FRAME
    ds.Rows, ds.Columns = grid.shape[1:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = bits or (1 if kind == "BINARY" else 8)
    ds.BitsStored, ds.HighBit = ds.BitsAllocated, ds.BitsAllocated - 1
    ds.PixelRepresentation = 0
    ds.SegmentationType = kind
    if kind == "FRACTIONAL":
        ds.SegmentationFractionalType, ds.MaximumFractionalValue = "PROBABILITY", 200
    ds.SegmentSequence = Sequence()
    for number, label in zip(numbers, labels):
        segment = Dataset()
        segment.SegmentNumber, segment.SegmentLabel = number, label
        ds.SegmentSequence.append(segment)
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = ["%.9g" % v for v in grid.spacing[1:]]
    measures.SpacingBetweenSlices = measures.SliceThickness = "%.9g" % grid.spacing[0]
    plane.ImageOrientationPatient = ["%.12f" % v for v in (*grid.axes[2], *grid.axes[1])]
    shared.PixelMeasuresSequence = Sequence([measures])
    shared.PlaneOrientationSequence = Sequence([plane])
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.NumberOfFrames = len(frames)
    ds.PerFrameFunctionalGroupsSequence = Sequence([frame_item(grid, z, n) for z, n, _ in frames])
    ds.pixels = [pixels for _, _, pixels in frames]  # no element: for save() alone
    data = pack(ds.pixels, ds.BitsAllocated)
    ds.PixelData = data + b"\0" * (len(data) % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated == 16 else "OB"
    return ds


def save(ds, path, syntax=ExplicitVRLittleEndian):
    pixels = ds.__dict__.pop("pixels", None)
    if syntax == RLELossless and pixels is not None:
        encoded = [rle_of_bits(f) if ds.BitsAllocated == 1 else
                   rle_encode_frame(f.astype(np.uint16 if ds.BitsAllocated == 16 else np.uint8))
                   for f in pixels]
        ds.PixelData = encapsulate(encoded)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    if syntax == JPEG2000Lossless and pixels is not None:
        ds.PixelData = encapsulate([jpeg2000(f, ds.BitsAllocated) for f in pixels],
                                   fragments_per_frame=1 + len(pixels) % 2)
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    if syntax == ExplicitVRBigEndian and ds.BitsAllocated == 16:
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ds.SOPClassUID
    meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    ds.file_meta = meta
    ds.is_little_endian = syntax != ExplicitVRBigEndian
    ds.is_implicit_VR = syntax == ImplicitVRLittleEndian
    ds.save_as(path, write_like_original=False)


def blobs(grid, seed, apart=False):
    """Three masks of unlike size; `apart`: without overlap."""
    random = np.random.RandomState(seed)
    masks = np.stack([random.rand(*grid.shape) < share for share in (0.5, 0.3, 0.1)])
    masks[:, :, 0] = masks[:, :, -1] = False
    if apart:
        masks[0] &= ~masks[1] & ~masks[2]
        masks[1] &= ~masks[2]
    return masks


def frames_of(masks, empty=True):
    return [(z, k + 1, masks[k, z]) for k in range(len(masks)) for z in range(masks.shape[1])
            if empty or masks[k, z].any()]


def joined(masks):
    """The smaller structure has the voxel."""
    out = np.zeros(SHAPE, np.uint8)
    for k in sorted(range(len(masks)), key=lambda k: (-masks[k].sum(), -k)):
        out[masks[k]] = k + 1
    return out


class Writer:
    def __init__(self, root):
        self.root = root
        os.makedirs(root + "/good")
        os.makedirs(root + "/bad")

    def good(self, name, ds, truth, syntax=ExplicitVRLittleEndian):
        path = os.path.join(self.root, "good", name)
        save(ds, path + ".dcm", syntax)
        assert truth.shape == SHAPE and truth.any()
        truth.astype(np.uint8).tofile(path + ".labels")

    def bad(self, name, ds, reason, syntax=ExplicitVRLittleEndian):
        path = os.path.join(self.root, "bad", name)
        save(ds, path + ".dcm", syntax)
        with open(path + ".reason", "w", encoding="utf-8") as f:
            f.write(reason)


def on_grid(w, name, grid, seed, kind="BINARY"):
    """Masks on another grid; each is resampled on its own, then they are joined."""
    masks = blobs(grid, seed)
    truth = joined(np.stack([grid.from_ct(m) for m in masks]))
    w.good(name, segmentation(frames_of(masks, empty=False), grid, kind, shuffle=seed), truth)


def kinds(w):
    masks = blobs(CT, 1)
    truth = joined(masks)
    for name, syntax in (("explicit", ExplicitVRLittleEndian), ("implicit", ImplicitVRLittleEndian),
                         ("big-endian", ExplicitVRBigEndian),
                         ("deflated", DeflatedExplicitVRLittleEndian), ("rle-bits", RLELossless)):
        w.good("binary-" + name, segmentation(frames_of(masks), shuffle=3), truth, syntax)
    w.good("binary-bytes", segmentation(frames_of(masks), bits=8, shuffle=4), truth)
    for name, syntax in J2K:
        for bits in (1, 8):
            w.good("binary-%s-%d" % (name, bits),
                   segmentation(frames_of(masks), bits=bits, shuffle=4), truth, syntax)
    w.good("binary-rle", segmentation(frames_of(masks), bits=8, shuffle=4), truth, RLELossless)
    # 0.5 of 200: 100 counts, 99 does not.
    random = np.random.RandomState(5)
    shares = random.randint(0, 201, (3, *SHAPE))
    shares[:, :, 0] = (99, 100, 101) * 6 + (0,)
    shares = shares * (random.rand(3, *SHAPE) < [[[[0.9]]], [[[0.5]]], [[[0.2]]]])
    for name, syntax in (("plain", ExplicitVRLittleEndian), ("rle", RLELossless),
                         ("deflated", DeflatedExplicitVRLittleEndian), *J2K):
        w.good("fractional-" + name, segmentation(frames_of(shares), kind="FRACTIONAL", shuffle=6),
               joined(shares >= 100), syntax)
    ds = segmentation(frames_of(masks), kind="FRACTIONAL")
    ds.SegmentationFractionalType, ds.MaximumFractionalValue = "OCCUPANCY", 1
    w.good("fractional-of-one", ds, truth)


def label_maps(w):
    truth = joined(blobs(CT, 7))
    for bits, numbers in ((8, (1, 2, 200)), (16, (3, 700, 65535))):
        stored = np.array([0, *numbers])[truth]
        for name, syntax in (("plain", ExplicitVRLittleEndian), ("rle", RLELossless),
                             ("deflated", DeflatedExplicitVRLittleEndian),
                             ("big-endian", ExplicitVRBigEndian), *J2K):
            ds = segmentation([(z, None, stored[z]) for z in range(SHAPE[0])], kind="LABELMAP",
                              bits=bits, numbers=numbers, shuffle=8)
            w.good("map-%d-%s" % (bits, name), ds, truth, syntax)
    # Slices without a frame; a padding value that is no segment; segment 0, the background.
    sparse = truth.copy()
    sparse[[1, 2, 4]] = 0
    ds = segmentation([(z, None, np.where(sparse[z], sparse[z], 9)) for z in (5, 0, 3)],
                      kind="LABELMAP", numbers=(1, 2, 3, 0), labels=(*LABELS, "Background"))
    ds.PixelPaddingValue = 9
    ds["PixelPaddingValue"].VR = "US"
    w.good("map-sparse-padded", ds, sparse)
    ds = segmentation([(0, None, np.full(SHAPE[1:], 7))], kind="LABELMAP")
    w.bad("map-of-an-unknown-value", ds, "frame 1: it refers to segment 7, which is not there")


def grids(w):
    row, column = AXES[2], AXES[1]
    sparse = blobs(CT, 9)
    sparse[:, [0, 2, 3]] = False
    sparse[0, 1] = sparse[1, 4] = False
    w.good("sparse", segmentation(frames_of(sparse, empty=False), shuffle=9), joined(sparse))
    on_grid(w, "crop", Grid((4, 9, 8), origin=CT.point(1, 5, 6)), 10)
    on_grid(w, "larger", Grid((6, 31, 29), origin=CT.point(0, -4, -3)), 11)
    on_grid(w, "shifted", Grid(origin=CT.point(0, 2.3, -1.4)), 12)
    on_grid(w, "mirrored-rows", Grid(origin=CT.point(0, 20, 0), axes=[AXES[0], -column, row]), 13)
    on_grid(w, "mirrored-all", Grid(origin=CT.point(5, 20, 18), axes=[-AXES[0], -column, -row]), 14)
    on_grid(w, "transposed", Grid((6, 19, 21), SPACING[[0, 2, 1]], axes=[AXES[0], row, column]), 15)
    on_grid(w, "quarter-turn", Grid((6, 19, 21), SPACING[[0, 2, 1]], CT.point(5, 0, 18),
                                    [-AXES[0], -row, column]), 16)
    angle = np.deg2rad(31)
    turned = [AXES[0], np.cos(angle) * column + np.sin(angle) * row,
              np.cos(angle) * row - np.sin(angle) * column]
    on_grid(w, "turned", Grid((6, 40, 40), (2.5, 0.61, 0.53), CT.point(0, -6.2, 3.1), turned), 17)
    on_grid(w, "finer", Grid((6, 43, 60), (2.5, 0.37, 0.23), CT.point(0, 0.11, -0.2)), 18)
    on_grid(w, "coarser", Grid((6, 9, 8), (2.5, 1.9, 1.7), CT.point(0, 0.3, 0.4)), 19)
    on_grid(w, "near-slices", Grid(origin=CT.point(0.4, 0, 0)), 20)
    # Cosines rounded to three digits, positions to a tenth of a millimetre.
    masks = blobs(CT, 21)
    ds = segmentation(frames_of(masks))
    plane = ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    plane.ImageOrientationPatient = ["%.3f" % v for v in plane.ImageOrientationPatient]
    for item in ds.PerFrameFunctionalGroupsSequence:
        position = item.PlanePositionSequence[0]
        position.ImagePositionPatient = ["%.1f" % v for v in position.ImagePositionPatient]
    w.good("rounded", ds, joined(masks))
    # Frames beyond the CT are no fault if they mark nothing.
    longer = Grid((9, *SHAPE[1:]), origin=CT.point(-1, 0, 0))
    masks = blobs(longer, 22)
    masks[:, [0, 7, 8]] = False
    w.good("longer-and-empty", segmentation(frames_of(masks), longer), joined(masks[:, 1:7]))
    w.bad("longer", segmentation(frames_of(blobs(longer, 22)), longer), "lies on no slice of the CT")
    # Every frame says all of its plane itself; one segment is named in the shared groups.
    masks = blobs(CT, 23)[:1]
    ds = segmentation(frames_of(masks))
    shared = ds.SharedFunctionalGroupsSequence[0]
    for item in ds.PerFrameFunctionalGroupsSequence:
        item.PixelMeasuresSequence = shared.PixelMeasuresSequence
        item.PlaneOrientationSequence = shared.PlaneOrientationSequence
        identity = item.SegmentIdentificationSequence
        del item.SegmentIdentificationSequence
    del shared.PixelMeasuresSequence, shared.PlaneOrientationSequence
    shared.SegmentIdentificationSequence = identity
    w.good("groups-of-frames", ds, joined(masks))


def slices(w):
    """Stacks whose frames are not on the slices, and those that only look so."""
    def stack(shape_z, step, start=0.0):
        return Grid((shape_z, *SHAPE[1:]), (2.5 * step, *SPACING[1:]), CT.point(start, 0, 0))

    between = "it falls between two slices of the CT"
    for name, grid in (("half-a-slice", stack(5, 1, 0.5)), ("half-steps", stack(11, 0.5)),
                       ("steps-of-three-quarters", stack(7, 0.75)), ("thirds", stack(4, 4 / 3))):
        w.bad(name, segmentation(frames_of(blobs(grid, 30)), grid), between)
    apart = "slices of the CT apart, and none is on the slices between"
    second = stack(3, 2)
    w.bad("every-second", segmentation(frames_of(blobs(second, 31)), second), apart)
    two = stack(2, 2)
    w.bad("two-of-twice-the-step", segmentation(frames_of(blobs(two, 32)), two), apart)
    ds = segmentation(frames_of(blobs(second, 33)), second)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    del measures.SpacingBetweenSlices
    w.bad("every-second-by-thickness", ds, apart)
    ds = segmentation(frames_of(blobs(second, 34)), second)
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    del measures.SpacingBetweenSlices, measures.SliceThickness
    w.bad("every-second-without-a-word", ds, apart)
    # The CT's own step, and empty slices left out.
    masks = blobs(CT, 35)
    masks[:, 1::2] = False
    w.good("every-second-of-all", segmentation(frames_of(masks, empty=False)), joined(masks))
    # Slices thicker than their distance; the marked ones are not evenly apart.
    masks = blobs(CT, 36)
    masks[:, [1, 3, 4]] = False
    ds = segmentation(frames_of(masks, empty=False))
    measures = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    measures.SliceThickness = "5"
    del measures.SpacingBetweenSlices
    w.good("thick-slices", ds, joined(masks))
    tilted = np.deg2rad(3)
    axes = [np.cos(tilted) * AXES[0] + np.sin(tilted) * AXES[1],
            np.cos(tilted) * AXES[1] - np.sin(tilted) * AXES[0], AXES[2]]
    w.bad("tilted", segmentation(frames_of(blobs(CT, 37)), Grid(axes=axes)),
          "its plane is not that of the CT's slices")
    coronal = Grid((6, 6, 19), (0.8, 2.5, 0.7), axes=[AXES[1], AXES[0], AXES[2]])
    w.bad("coronal", segmentation(frames_of(blobs(coronal, 38)), coronal),
          "its plane is not that of the CT's slices")
    beside = Grid(origin=CT.point(0, 100, 0))
    w.bad("beside", segmentation(frames_of(blobs(beside, 39)), beside), "outside of the CT's picture")
    far = Grid(origin=ORIGIN + 1e30 * AXES[0])
    w.bad("far", segmentation(frames_of(blobs(far, 40)), far), "is far from that of the CT")


def faults(w):
    masks = blobs(CT, 50)

    def plain(**options):
        return segmentation(frames_of(masks), **options)

    ds = plain()
    ds.FrameOfReferenceUID = CT_FRAME + ".5"
    w.bad("reference", ds, "FrameOfReferenceUID (0020,0052) is not that of the CT")
    ds = plain()
    del ds.FrameOfReferenceUID
    w.good("no-reference", ds, joined(masks))
    w.bad("no-frames", segmentation([]), "the segmentation has no frames")
    ds = segmentation([])
    del ds.PerFrameFunctionalGroupsSequence, ds.NumberOfFrames, ds.PixelData
    w.bad("no-frames-at-all", ds, "the segmentation has no frames")
    for count in (-1, 0, 17, 19, 2147483647):
        ds = plain()
        ds.NumberOfFrames = count
        w.bad("count-%d" % count, ds, "NumberOfFrames (0028,0008) is %d, but" % count)
    for rows, columns in ((65535, 65535), (8192, 8192), (0, 19), (21, 20)):
        ds = plain()
        ds.Rows, ds.Columns = rows, columns
        w.bad("size-%d-%d" % (rows, columns), ds, "are not read" if rows in (0, 65535) else "claims")
    ds = plain(kind="FRACTIONAL")
    ds.MaximumFractionalValue = 0
    w.bad("fraction-of-0", ds, "MaximumFractionalValue (0062,000e) is 0")
    ds = plain(kind="FRACTIONAL")
    del ds.MaximumFractionalValue
    w.bad("fraction-of-nothing", ds, "MaximumFractionalValue (0062,000e) is missing")
    ds = plain()
    ds.SegmentationType = "SURFACE"
    w.bad("kind", ds, "none of BINARY, FRACTIONAL, LABELMAP")
    ds = plain()
    ds.BitsAllocated = 16
    w.bad("bits", ds, "BitsAllocated (0028,0100) is 16")
    ds = plain()
    ds.SamplesPerPixel = 3
    w.bad("samples", ds, "of 3 samples are not read")
    ds = plain()
    ds.PixelData = ds.PixelData[:-4]
    w.bad("cut", ds, "it claims 18 frames")
    ds = plain()
    ds.SegmentSequence[1].SegmentNumber = 1
    w.bad("twice", ds, "two segments have the number 1")
    ds = plain()
    ds.PerFrameFunctionalGroupsSequence[4].SegmentIdentificationSequence[0] \
        .ReferencedSegmentNumber = 77
    w.bad("segment", ds, "frame 5: it refers to segment 77")
    ds = plain()
    ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [0, 1]
    w.bad("spacing", ds, "frame 1: PixelSpacing (0028,0030) must be positive")
    ds = plain()
    ds.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = \
        [1, 0, 0, 1, 0, 0]
    w.bad("axes", ds, "is not two unit vectors at right angles")
    ds = segmentation([(0, 1, masks[0, 0])], numbers=range(1, 4098), labels=["spot"] * 4097)
    w.bad("segments", ds, "more than 4096 segments")
    # RLE: a frame too few, a header of too many segments, an offset beyond, a run cut off.
    for name, change in (("fewer", None), ("header", (0, 9)), ("offset", (4, 255)), ("run", -8)):
        ds = plain(bits=8)
        frames = [bytearray(rle_encode_frame(f.astype(np.uint8))) for f in ds.pixels]
        if change is None:
            frames.pop()
        elif change == -8:
            frames[3] = frames[3][:-8]
        else:
            frames[3][change[0]] = change[1]
            frames[3][change[0] + 1] = change[1]
        del ds.pixels
        ds.PixelData = encapsulate([bytes(f) for f in frames])
        ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
        w.bad("rle-" + name, ds, "RLE data have 17" if change is None else
              "frame 4: its RLE data are damaged", RLELossless)
    # JPEG 2000: cut, damaged within, of another size, with a sign, a frame too few.
    for name, syntax in J2K:
        ds = plain(bits=8)
        frames = [jpeg2000(f, 8) for f in ds.pixels]
        at = len(frames[3]) // 2
        small = jpeg2000(ds.pixels[3][:-1], 8)
        for fault, frame, reason in (
                ("cut", frames[3][:at], "frame 4: the JPEG 2000 codestream is cut or damaged"),
                ("hole", frames[3][:at - 9] + bytes(18) + frames[3][at + 9:], "frame 4: the JPEG 2000"),
                ("size", small, "frame 4: the JPEG 2000 codestream has 20 x 19 pixels"),
                ("sign", jpeg2000(ds.pixels[3], 8, "s"), "frame 4: its codestream has values of 8 bits with a sign"),
                ("fewer", None, "has 18 frames, but its JPEG 2000 data have 17")):
            ds = plain(bits=8)
            del ds.pixels
            ds.PixelData = encapsulate([f for f in (*frames[:3], frame, *frames[4:]) if f])
            ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
            w.bad("%s-%s" % (name, fault), ds, reason, syntax)
    # A compression that is not read is named.
    save(plain(bits=8), w.root + "/plain.dcm")
    subprocess.run(["dcmcjpls", "+el", w.root + "/plain.dcm", w.root + "/bad/jpeg-ls.dcm"],
                   check=True)
    with open(w.root + "/bad/jpeg-ls.reason", "w", encoding="utf-8") as f:
        f.write("JPEG-LS Lossless")


def main():
    w = Writer(sys.argv[1])
    for part in (kinds, label_maps, grids, slices, faults):
        part(w)


main()
