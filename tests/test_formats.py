#!/usr/bin/python3
"""CT files of every kind that archives hold, read by tool_dicom, against the values that numpy put
into them: JPEG 2000 (encoded by opj_compress), Enhanced CT, files that are not encoded as they say,
loosely written numbers, odd padding; and hostile ones, which are refused by name."""

import copy
import os
import struct
import subprocess
import sys
import time

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
from ct_files import (BIG, COLUMNS, CT, ENCODER, ENHANCED, EXPLICIT, HTJ2K, IMPLICIT, INPUT, J2K,
                      J2K_LOSSLESS, JPEG, RLE, ROWS, TOOL, check, data_set, head, j2k, packed,
                      random, read, refused, run_tests, scratch, slice_of, some, whole)


# ---- JPEG 2000 ----

def jpeg2000_forms():
    v = some()
    ds = slice_of(v)
    check(packed(ds, [j2k(v, 12, False)], J2K_LOSSLESS), v - 1024)
    check(packed(ds, [j2k(v, 12, False)], J2K), v - 1024)
    check(packed(ds, [j2k(v, 12, False, "-t", "8,8")], J2K), v - 1024)
    check(packed(ds, [j2k(v, 12, False)], J2K, fragments_per_frame=3), v - 1024)
    check(packed(ds, [j2k(v, 12, False, suffix="jp2")], J2K), v - 1024)  # with boxes around it
    # The codestream knows better: 13 bits where the header says 12, a sign where it has none.
    wide = some(0, 8192)
    check(packed(slice_of(wide), [j2k(wide, 13, False)], J2K), wide - 1024)
    v = some(-2048, 2048)
    check(packed(slice_of(v, 12, False, intercept=0), [j2k(v, 12, True)], J2K), v)
    check(packed(slice_of(v, 16, True, intercept=0), [j2k(v, 16, True)], J2K), v)
    # Unsigned codestreams of values that the header calls signed: two's complement, with and
    # without extension of the sign beyond Bits Stored.
    check(packed(slice_of(v, 16, True, intercept=0), [j2k(v & 0xFFFF, 16, False)], J2K), v)
    check(packed(slice_of(v, 12, True, intercept=0), [j2k(v & 0xFFFF, 16, False)], J2K), v)
    check(packed(slice_of(v, 12, True, intercept=0), [j2k(v & 0xFFF, 16, False)], J2K), v)
    # Padding.
    ds = slice_of(v, 16, True, intercept=0)
    v[0] = -2000
    ds.add_new(0x00280120, "SS", -2000)
    hu = np.where(v == -2000, -1024, v)
    check(packed(ds, [j2k(v, 16, True)], J2K), hu)


def jpeg2000_lossy():
    """Lossy codestreams as opj_decompress decodes them, which must be near what went in."""
    v = (np.add.outer(np.arange(ROWS), np.arange(COLUMNS)) * 40) % 4096
    stream = j2k(v, 12, False, "-I", "-r", "4")
    path = scratch("lossy.j2k")
    with open(path, "wb") as out:
        out.write(stream)
    subprocess.run(["opj_decompress", "-i", path, "-o", path + ".rawl"], check=True,
                   stdout=subprocess.DEVNULL)
    want = np.fromfile(path + ".rawl", "<u2").reshape(ROWS, COLUMNS).astype(int)
    assert 0 < np.abs(want - v).max()
    check(packed(slice_of(v), [stream], J2K), want - 1024)


def jpeg2000_hostile():
    v = some(shape=(64, 64))
    ds = slice_of(v)
    stream = j2k(v, 12, False, "-t", "32,32")

    def changed(at, data):
        spoilt = bytearray(stream)
        spoilt[at:at + len(data)] = data
        return packed(ds, [bytes(spoilt)], J2K)

    read(packed(ds, [stream], J2K))
    refused(packed(ds, [stream], HTJ2K), "HTJ2K is not supported by this build")
    refused(changed(6, b"\x40\x00"), "HTJ2K is not supported by this build")
    big = struct.pack(">II", 1 << 30, 1 << 30)
    refused(changed(8, big), "1073741824 x 1073741824")
    refused(changed(24, struct.pack(">II", 1, 1)), "4096 tiles")
    refused(changed(24, struct.pack(">II", 0, 0)), "no JPEG 2000 codestream")
    refused(changed(40, b"\x00\x03"), "3 components")
    refused(changed(42, b"\x1f"), "32 bits")
    refused(packed(ds, [b"\xff\xd8\xff\xe0" + bytes(60)], J2K), "no JPEG 2000 codestream")
    refused(packed(slice_of(some()), [stream], J2K), "64 x 64", "%d x %d" % (ROWS, COLUMNS))
    # A precinct for every four pixels would take gigabytes.
    zeros = np.zeros((1024, 1024), int)
    many = bytearray(j2k(zeros, 12, False, "-c", "[16,16]"))
    style = many.index(b"\xff\x52")
    for k in range(many[style + 9] + 1):
        many[style + 14 + k] = 0x11
    refused(packed(slice_of(zeros), [bytes(many)], J2K), "precincts: refused")
    # A start of data that is behind the end of its tile-part leads nowhere.
    second = stream.index(b"\xff\x90\0\x0a", stream.index(b"\xff\x90\0\x0a") + 2)
    refused(changed(second, b"\xff\x93"), "cut or damaged")
    for keep in list(range(2, len(stream) - 2, 211)):
        refused(packed(ds, [stream[:keep]], J2K), "JPEG 2000 codestream")
    fine = 0
    for _ in range(60):
        spoilt = bytearray(stream)
        for _ in range(random.randint(1, 6)):
            spoilt[random.randint(0, len(spoilt))] = random.randint(0, 256)
        path = scratch("spoilt.dcm")
        with open(path, "wb") as out:
            out.write(packed(ds, [bytes(spoilt)], J2K))
        ran = subprocess.run([TOOL, path, scratch("hu")], stderr=subprocess.PIPE,
                             stdout=subprocess.DEVNULL, timeout=60, check=False)
        assert ran.returncode in (0, INPUT), (ran.returncode, ran.stderr)
        fine += ran.returncode == 0
    assert fine < 60


# ---- Enhanced CT ----

def group(**attributes):
    item = Dataset()
    for name, value in attributes.items():
        setattr(item, name, value)
    return Sequence([item])


def enhanced(values, slopes=None, shared_only=False):
    """A multi-frame file: orientation and spacing shared, position and rescale for each frame."""
    ds = slice_of(values)
    ds.SOPClassUID, ds.NumberOfFrames = ENHANCED, len(values)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope",
                 "RescaleIntercept"):
        delattr(ds, name)
    shared = Dataset()
    shared.PlaneOrientationSequence = group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = group(PixelSpacing=[0.75, 0.5])
    if slopes is None:
        shared.PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=-1024,
                                                        RescaleType="HU")
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    frames = []
    for k in range(len(values)):
        frame = Dataset()
        frame.PlanePositionSequence = group(ImagePositionPatient=[0, 0, 7 - 2.5 * k])
        frame.FrameContentSequence = group(FrameAcquisitionNumber=k // 2, TemporalPositionIndex=1)
        frame.CTImageFrameTypeSequence = group(FrameType=["ORIGINAL", "PRIMARY", "AXIAL", "NONE"])
        if slopes is not None:
            frame.PixelValueTransformationSequence = group(
                RescaleSlope=slopes[k], RescaleIntercept=-1024, RescaleType="HU")
        frames.append(frame)
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return ds


def check_frames(content, hu, numbers):
    headers, got = read(content)
    assert [h["frame"] for h in headers] == numbers
    np.testing.assert_array_equal(got, np.asarray(hu).ravel())
    for h in headers:
        assert h["position"] == [0, 0, 7 - 2.5 * h["frame"]] and h["spacing"] == [0.75, 0.5]
        assert h["acquisition"] == h["frame"] // 2 and h["temporal"] == "1"
        assert h["instance"] == h["frame"] + 1
    return headers


def enhanced_ct():
    v = some(shape=(5, ROWS, COLUMNS))
    ds = enhanced(v)
    for syntax in (EXPLICIT, IMPLICIT, BIG):
        check_frames(whole(ds, syntax), v - 1024, [0, 1, 2, 3, 4])
    slopes = np.array([1, 2, 0.5, 1, 3])
    hu = np.floor(v * slopes[:, None, None] - 1024 + 0.5)
    check_frames(whole(enhanced(v, slopes)), hu, [0, 1, 2, 3, 4])
    # Compressed frame by frame, with and without a table of offsets, and in several fragments.
    streams = [j2k(frame, 12, False) for frame in v]
    for table in (True, False):
        check_frames(packed(ds, streams, J2K, has_bot=table), v - 1024, [0, 1, 2, 3, 4])
    check_frames(packed(ds, streams, J2K, fragments_per_frame=2), v - 1024, [0, 1, 2, 3, 4])
    path = scratch("native.dcm")
    with open(path, "wb") as out:
        out.write(whole(ds))
    for tool in (["dcmcrle"], ["dcmcjpeg", "+e1"], ["dcmcjpls", "+el"]):
        subprocess.run([*tool, path, path + ".packed"], check=True)
        with open(path + ".packed", "rb") as stream:
            check_frames(stream.read(), v - 1024, [0, 1, 2, 3, 4])
    # A localizer among the frames, and a map of something else.
    one = copy.deepcopy(ds)
    frames = one.PerFrameFunctionalGroupsSequence
    frames[0].CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER", "NONE"]
    frames[2].PixelValueTransformationSequence = group(RescaleSlope=1, RescaleIntercept=0,
                                                       RescaleType="MGML")
    check_frames(whole(one), v[[1, 3, 4]] - 1024, [1, 3, 4])
    for k in range(5):
        frames[k].CTImageFrameTypeSequence[0].FrameType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    (header,), _ = read(whole(one))
    assert header["kind"] == "other" and "none of its frames" in header["note"]


def enhanced_hostile():
    v = some(shape=(5, ROWS, COLUMNS))
    for frames, reason in ((4, "has 5 items"), (0, "has 5 items"), (1 << 30, "has 5 items")):
        ds = enhanced(v)
        ds.NumberOfFrames = frames
        refused(whole(ds), reason)
    ds = enhanced(v)
    ds.PixelData = ds.PixelData[:-2]
    refused(whole(ds), "the pixel array is cut")
    ds.PixelData = ds.PixelData[:2000]
    refused(whole(ds), "it claims 5 frames")
    ds = enhanced(v)
    del ds.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    refused(whole(ds), "ImagePositionPatient (0020,0032) is missing")
    ds = enhanced(v)
    del ds.SharedFunctionalGroupsSequence
    refused(whole(ds), "is missing")
    streams = [j2k(frame, 12, False) for frame in v]
    refused(packed(enhanced(v), streams[:4], J2K), "missing or damaged")


# ---- files that are not encoded as they say ----

def other_encodings():
    v = some()
    ds, hu = slice_of(v), v - 1024
    for syntax in (EXPLICIT, IMPLICIT, BIG):
        check(data_set(ds, syntax), hu, "the transfer syntax was guessed")
        check(head(syntax)[128 + 4:] + data_set(ds, syntax), hu, "no preamble")
        for named in (EXPLICIT, IMPLICIT, BIG):
            check(head(named) + data_set(ds, syntax), hu,
                  None if syntax == named else "not the one that is named")
    for named in (JPEG, J2K, RLE):
        check(head(named) + data_set(ds), hu, "not compressed as the transfer syntax says")
    for content in (b"", b"\0" * 8, b"plain text, in which nothing of DICOM is\n" * 20,
                    bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504), bytes(2000),
                    random.bytes(5000)):
        refused(content, "not a DICOM file")


def bytes_after_the_pixels():
    v = some()
    content = whole(slice_of(v))
    for excess in (b"\0", bytes(600), b"\xee" * 511, b"the end of a mail\r\n", random.bytes(3000)):
        check(content + excess, v - 1024, "bytes after the pixels")
    packed_file = packed(slice_of(v), [j2k(v, 12, False)], J2K)
    check(packed_file + bytes(600), v - 1024, "bytes after the pixels")
    padded = slice_of(v)
    padded.add_new(0xFFFCFFFC, "OB", bytes(40))  # as the standard has it
    check(whole(padded), v - 1024)


def explicit_items_of_unknown_sequences():
    v = some()
    value = b"\x51\x00\x11\x10LO\x06\x00hidden" + b"\x51\x00\x12\x10UL\x04\x00\x07\x00\x00\x00"
    for length in (struct.pack("<I", len(value)), b"\xff\xff\xff\xff"):
        item = b"\xfe\xff\x00\xe0" + length + value
        if length == b"\xff\xff\xff\xff":
            item += b"\xfe\xff\x0d\xe0\0\0\0\0"
        item += b"\xfe\xff\xdd\xe0\0\0\0\0"
        element = b"\x51\x00\x10\x10UN\0\0\xff\xff\xff\xff" + item
        content = whole(slice_of(v))
        at = content.index(b"\xe0\x7f\x10\x00OW")
        check(content[:at] + element * 3 + content[at:], v - 1024, "items in explicit VR")
        # As the standard has it, items of implicit VR.
        plain = b"\x51\x00\x11\x10\x06\x00\x00\x00hidden"
        element = (b"\x51\x00\x10\x10UN\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0" +
                   struct.pack("<I", len(plain)) + plain + b"\xfe\xff\xdd\xe0\0\0\0\0")
        check(content[:at] + element + content[at:], v - 1024)


# ---- numbers and texts ----

def with_text(ds, tag, old, new):
    """A file in which one decimal string stands in place of another."""
    content = whole(ds)
    old, new = (text.encode() + b" " * (len(text) % 2) for text in (old, new))
    vr = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + b"DS"
    before = vr + struct.pack("<H", len(old)) + old
    assert content.count(before) == 1, before
    return content.replace(before, vr + struct.pack("<H", len(new)) + new)


def decimal_commas():
    v = some()
    ds, hu = slice_of(v), v - 1024
    position, spacing, intercept = 0x00200032, 0x00280030, 0x00281052
    note = "decimal commas in "
    check(with_text(ds, position, "1.5\\-2.5\\30.5", "1,5\\-2,5\\30,5"), hu,
          note + "ImagePositionPatient")
    check(with_text(ds, position, "1.5\\-2.5\\30.5", "1,500\\-2,5\\30.5"), hu, note)
    check(with_text(ds, spacing, "0.75\\0.5", "0,750\\0,500"), hu, note + "PixelSpacing")
    check(with_text(ds, intercept, "-1024.0", "-1024,0"), hu, note + "RescaleIntercept")
    for tag, old, new in ((intercept, "-1024.0", "-1,024"), (intercept, "-1024.0", "1,2,3"),
                          (position, "1.5\\-2.5\\30.5", "1,500\\-2,500\\3"),
                          (spacing, "0.75\\0.5", "0,75.1\\0,5"), (spacing, "0.75\\0.5", ",\\,")):
        refused(with_text(ds, tag, old, new), "is not a number")
    refused(with_text(ds, spacing, "0.75\\0.5", "0,75,0,5"), "has 1 values where 2 are needed")


def rescale_and_padding():
    v = some()
    v[0, :5] = 0
    for slope, intercept in ((0.25, 3.125), (-1, 500), (1e-3, 0), (8, -10240)):
        hu = np.floor(v * float(slope) + float(intercept) + 0.5)
        check(whole(slice_of(v, slope=slope, intercept=intercept)), hu)
    # What int16 does not hold is said, unless it is padding.
    for slope, intercept, first, last in ((1e300, 0, 0, 1e300), (7, -1e9, -1e9, -1e9 + 7), (
            1, 32767, 32767, 32768), (-1, -32768, -32769, -32768)):
        said = refused(whole(slice_of(v % 2, slope=slope, intercept=intercept)),
                       "beyond -32768 to 32767 HU", "from %g to %g HU" % (first, last))
        odd = np.count_nonzero(v % 2) if abs(intercept) < 1e9 else v.size
        assert " %d of %d pixels" % (odd, v.size) in said, said
    wide = v.copy()
    wide[2] = 65535
    refused(whole(slice_of(wide, 16)), " %d of %d pixels" % (COLUMNS, v.size), "to 64511 HU")
    ds = slice_of(wide, 16)
    ds.add_new(0x00280120, "US", 65535)
    check(whole(ds), np.where(wide == 65535, -1024, wide - 1024))
    air = np.full(v.shape, -1024)
    for syntax in (EXPLICIT, IMPLICIT):
        cells = v.copy()
        cells[:, :9] = 63536  # 12 bits of it are 2096: bone
        ds = slice_of(cells)
        ds.add_new(0x00280120, "US", 63536)
        check(whole(ds, syntax), np.where(cells == 63536, air, v - 1024))
        cells[:, :4] = 63000  # and a range
        ds = slice_of(cells)
        ds.add_new(0x00280120, "US", 63536)
        ds.add_new(0x00280121, "US", 63000)
        check(whole(ds, syntax), np.where(cells >= 63000, air, v - 1024))
        # Within the stored bits padding is raised to air, if it is below.
        signed = some(-2000, 2000)
        signed[3] = -2000
        ds = slice_of(signed, 12, True, intercept=0)
        ds.add_new(0x00280120, "SS", -2000)
        ds.add_new(0x00280121, "SS", -1990)
        check(whole(ds, syntax), np.where(signed <= -1990, -1024, signed))
        ds = slice_of(signed, 12, True, intercept=0)
        ds.add_new(0x00280120, "SS", 0)  # water is no padding
        check(whole(ds, syntax), signed)


def contrast():
    v = some()
    for agent, given in (("", 0), ("NONE", 0), ("none ", 0), ("No", 0), ("N/A", 0), ("W/O", 0),
                         ("No contrast", 0), ("-", 0), ("non-contrast", 0), ("Omnipaque 350", 1),
                         ("No contrast given", 0), ("Kein KM", 0), ("IV: none", 0),
                         ("no iv contrast", 0), ("APPLIED", 1), ("Iodine", 1), ("NO NAME 300", 1), ("& 100 ml", 1)):
        ds = slice_of(v)
        ds.ContrastBolusAgent = agent
        assert check(whole(ds), v - 1024)["contrast"] == given, agent
    assert not check(whole(slice_of(v)), v - 1024)["contrast"]
    ds = enhanced(v[None])
    ds.ContrastBolusAgentSequence = group(CodeMeaning="Iohexol")
    assert read(whole(ds))[0][0]["contrast"]
    ds.ContrastBolusAgentSequence = group(CodeMeaning="None")
    assert not read(whole(ds))[0][0]["contrast"]


def traits():
    v = some()
    for kernel, part, words in (("B30f", "CHEST", ["soft", "chest"]),
                                (["Br64f", "3"], "ABDOMENPELVIS", ["sharp", "trunk"]),
                                ("BONEPLUS", "Head", ["sharp", "head"]),
                                ("Doe^Jane", "Jane Doe", ["", ""]), ("", "", ["", ""])):
        ds = slice_of(v)
        ds.add_new(0x00181210, "SH", kernel)
        ds.add_new(0x00180015, "CS", part)
        assert check(whole(ds), v - 1024)["traits"] == words, kernel
    assert check(whole(slice_of(v)), v - 1024)["traits"] == ["", ""]
    ds = enhanced(v[None])
    shared = ds.SharedFunctionalGroupsSequence[0]
    shared.CTReconstructionSequence = group(ConvolutionKernel="FC51")
    shared.FrameAnatomySequence = group(FrameLaterality="U")
    ds.BodyPartExamined = "KNEE"
    assert read(whole(ds))[0][0]["traits"] == ["sharp", "leg"]


def identity():
    v = some()
    ds = slice_of(v)
    ds.AcquisitionNumber, ds.InstanceNumber, ds.TemporalPositionIdentifier = 4, 17, 2
    ds.BurnedInAnnotation = "YES"
    h = check(whole(ds), v - 1024)
    assert (h["acquisition"], h["instance"], h["temporal"]) == (4, 17, "2")
    assert h["picture"] == 4  # text is burned in
    for name in ("StudyInstanceUID", "SOPInstanceUID", "SeriesInstanceUID", "PatientID"):
        delattr(ds, name)
    h = check(whole(ds), v - 1024, "no Study Instance UID")
    assert h["study"] == h["sop"] == h["patient"] == h["series"] == ""
    assert "no SOP Instance UID" in h["note"] and "no Series Instance UID" in h["note"]
    del ds.SOPClassUID
    check(data_set(ds), v - 1024, "by its Modality")
    for value, picture in (("AXIAL", 0), ("CT_SOM5 SPI", 0), ("SCOUT VIEW", 1), ("CT_SOM5 TOP", 1),
                           ("CT_SOM5 MIP", 2), ("THICK MIP", 2), ("MINIP_AXIAL", 2), ("MIPLESS", 0)):
        ds = slice_of(v)
        ds.ImageType = ["DERIVED", "SECONDARY", value]
        assert check(whole(ds), v - 1024)["picture"] == picture, value
    for unit, kind in (("hu", "ct"), ("Hounsfield", "ct"), ("US", "ct"), ("Z_EFF", "other")):
        ds = slice_of(v)
        ds.RescaleType = unit
        assert read(whole(ds))[0][0]["kind"] == kind, unit
    ds = slice_of(v)
    ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    (h,), _ = read(whole(ds))
    assert h["kind"] == "other" and h["note"] == "a localizer"


def too_long():
    """Texts and numbers of megabytes, and more elements than fit in memory."""
    v = some()
    ds = slice_of(v)
    content = whole(ds)
    at = content.index(b"\x20\x00\x32\x00DS")
    end = at + 8 + struct.unpack("<H", content[at + 6:at + 8])[0]
    long = b"\x20\x00\x32\x00UT\0\0" + struct.pack("<I", 4 << 20) + b"1\\" * (2 << 20)
    refused(content[:at] + long + content[end:],
            "ImagePositionPatient (0020,0032) is 4194304 bytes")
    ds.ImageType = ["ORIGINAL", "PRIMARY"] + ["A"] * 30000
    begin = time.monotonic()
    check(whole(ds), v - 1024)
    assert time.monotonic() - begin < 5
    tiny = b"\x09\x00\x10\x10LO\0\0"
    pixels = content.index(b"\xe0\x7f\x10\x00OW")
    refused(content[:at] + tiny * 8000001 + content[pixels:], "more than 8000000 elements")


def main():
    tests = [other_encodings, explicit_items_of_unknown_sequences, decimal_commas,
             rescale_and_padding, contrast, traits, identity, too_long]
    with_encoder = [jpeg2000_forms, jpeg2000_lossy, jpeg2000_hostile, enhanced_ct,
                    enhanced_hostile, bytes_after_the_pixels]
    run_tests(tests + (with_encoder if ENCODER else []), sys.argv[1:])
    if not ENCODER:
        print("opj_compress is not installed (libopenjp2-tools)")
        sys.exit(77)


main()
