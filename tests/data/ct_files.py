"""CT files of every kind for test_formats.py and test_damage.py: data sets with chosen values,
their encodings, and what tool_dicom reads from them."""
import copy
import json
import os
import shutil
import struct
import subprocess
import tempfile

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_pixel_data_frame
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import generate_uid

TOOL = os.path.join(os.environ.get("BUILD", "build"), "tests", "tool_dicom")
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, RLE = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.5"
J2K_LOSSLESS, J2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"
HTJ2K = "1.2.840.10008.1.2.4.201"
CT, ENHANCED = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1"
ROWS, COLUMNS = 21, 34
INPUT = 3
ENCODER = shutil.which("opj_compress") is not None
random = np.random.RandomState(3)
place = None


def scratch(name):
    """A path in the scratch folder of the test that is running."""
    return os.path.join(place, name)


def run_tests(tests, words):
    """Runs those that the words name, or all, each in a scratch folder of its own."""
    global place
    for test in tests:
        if words and test.__name__ not in words:
            continue
        with tempfile.TemporaryDirectory() as place:
            test()
        print("passed:", test.__name__)


def uid(what):
    return generate_uid(entropy_srcs=["test_formats", what])


def slice_of(values, stored=12, signed=False, slope=1, intercept=-1024):
    """A data set of CT Image Storage with these stored values."""
    ds = Dataset()
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.SOPClassUID, ds.SOPInstanceUID = CT, uid("sop")
    ds.Modality, ds.PatientID = "CT", "FORMATS"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.FrameOfReferenceUID = uid("frame")
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape[-2:]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, stored, stored - 1
    ds.PixelRepresentation = int(signed)
    ds.ImagePositionPatient, ds.ImageOrientationPatient = [1.5, -2.5, 30.5], [1, 0, 0, 0, 1, 0]
    ds.PixelSpacing = [0.75, 0.5]
    ds.RescaleSlope, ds.RescaleIntercept = slope, intercept
    ds.add_new(0x7FE00010, "OW", np.asarray(values).astype("<i4").astype("<u2").tobytes())
    return ds


def data_set(ds, syntax=EXPLICIT):
    """The bytes of a data set without file meta information."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = syntax != BIG, syntax == IMPLICIT
    if syntax == BIG:
        ds = copy.deepcopy(ds)
        ds.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(">u2").tobytes()
    ds.is_little_endian, ds.is_implicit_VR = out.is_little_endian, out.is_implicit_VR
    write_dataset(out, ds)
    return out.getvalue()


def head(syntax):
    """Preamble and file meta information."""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CT, "2.25.1"
    meta.TransferSyntaxUID = syntax
    write_file_meta_info(out, meta, enforce_standard=True)
    return b"\0" * 128 + b"DICM" + out.getvalue()


def whole(ds, syntax=EXPLICIT):
    return head(syntax) + data_set(ds, syntax)


def packed(ds, frames, syntax, **how):
    """A file with encapsulated frames."""
    ds = copy.deepcopy(ds)
    ds.add_new(0x7FE00010, "OB", encapsulate(frames, **how))
    ds["PixelData"].is_undefined_length = True
    return head(syntax) + data_set(ds)


def read(content, expect=0, name="file.dcm"):
    """Headers and HU of the frames; or, if another exit code is expected, the message."""
    path, out = scratch(name), scratch("hu")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as stream:
        stream.write(content)
    ran = subprocess.run([TOOL, path, out], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         timeout=60, check=False)
    said = ran.stderr.decode("utf-8", "replace")
    assert ran.returncode == expect, (ran.returncode, said, ran.stdout[:2000])
    if expect:
        assert path in said, said
        return said
    headers = [json.loads(line) for line in ran.stdout.splitlines()]
    return headers, np.fromfile(out, "<i2")


def check(content, hu, note=None, name="file.dcm"):
    """One slice with these HU, and a note that says `note` (None: no note at all)."""
    (header,), got = read(content, name=name)
    assert header["kind"] == "ct"
    np.testing.assert_array_equal(got, np.asarray(hu).ravel())
    assert header["position"] == [1.5, -2.5, 30.5] and header["spacing"] == [0.75, 0.5]
    assert header["orientation"] == [1, 0, 0, 0, 1, 0]
    assert (note in header["note"]) if note else not header["note"], header["note"]
    return header


def refused(content, *reasons):
    said = read(content, INPUT)
    for reason in reasons:
        assert reason in said, said
    return said


def some(low=0, high=4096, shape=(ROWS, COLUMNS)):
    return random.randint(low, high, shape)


def j2k(values, bits, signed, *options, suffix="j2k"):
    """A codestream by OpenJPEG's own encoder, of another program than the decoder's."""
    raw, out = scratch("in.rawl"), scratch("out." + suffix)
    values.astype("<i4").astype("<u2").tofile(raw)
    subprocess.run(["opj_compress", "-i", raw, "-o", out, "-F",
                    "%d,%d,1,%d,%s" % (values.shape[1], values.shape[0], bits, "us"[signed]),
                    "-n", "3", *options], check=True, stdout=subprocess.DEVNULL)
    with open(out, "rb") as stream:
        return stream.read()


def by_dcmtk(values, tool):
    """The frame of a slice that a program of DCMTK compressed, and its transfer syntax."""
    path = scratch("native.dcm")
    with open(path, "wb") as out:
        out.write(whole(slice_of(values)))
    subprocess.run([*tool, path, path + ".packed"], check=True)
    ds = pydicom.dcmread(path + ".packed")
    return next(generate_pixel_data_frame(ds.PixelData, 1)), ds.file_meta.TransferSyntaxUID
