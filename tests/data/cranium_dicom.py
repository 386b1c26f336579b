#!/usr/bin/python3
"""Writes the head CT that Debian ships in invesalius-examples as a DICOM series, by pydicom.

usage: cranium_dicom.py OUTDIR [CRANIUM.inv3]

Cranium.inv3 is a gzip tar: main.plist has shape and spacing, matrix.dat int16 HU, rows bottom-up,
slice 0 inferior. The DICOM files are like a scanner's: unsigned stored values with an intercept,
rows from anterior to posterior, file names that are not in the order of the slices. If the package
is not installed with its documentation, apt-get download fetches it. OUTDIR is created completely
or not at all; an existing one is left unchanged.
"""

import glob
import os
import plistlib
import shutil
import subprocess
import sys
import tarfile
import tempfile

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

INSTALLED = "/usr/share/doc/invesalius-examples/examples/Cranium.inv3"
INTERCEPT = -1024


def fetch(scratch):
    """The path of Cranium.inv3, from the package archive if it is not installed."""
    if os.path.exists(INSTALLED):
        return INSTALLED
    # apt-get as root drops to the user _apt, which must be able to write here.
    os.chmod(scratch, 0o777)
    subprocess.run(["apt-get", "download", "invesalius-examples"], cwd=scratch, check=True,
                   stdout=sys.stderr)
    package = glob.glob(os.path.join(scratch, "invesalius-examples_*.deb"))[0]
    unpacked = os.path.join(scratch, "unpacked")
    subprocess.run(["dpkg", "-x", package, unpacked], check=True)
    return unpacked + INSTALLED


def read_inv3(path):
    """HU (z y x, rows as stored) and spacing (x y z, mm)."""
    members = {}
    with tarfile.open(path, "r:gz") as tar:
        for member in tar:
            name = os.path.basename(member.name)
            if name in ("main.plist", "matrix.dat"):
                members[name] = tar.extractfile(member).read()
    plist = plistlib.loads(members["main.plist"])
    shape = plist["matrix"]["shape"]
    return np.frombuffer(members["matrix.dat"], "<i2").reshape(shape), plist["spacing"]


def write_slice(path, index, hu, spacing, shape):
    uid = lambda what: generate_uid(entropy_srcs=["ctaug cranium", what])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid("slice %d" % index)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.Modality = "CT"
    ds.Manufacturer = ""
    ds.SeriesDescription = "Cranium"
    ds.PatientName, ds.PatientID = "CRANIUM", "CRANIUM-1"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.SliceThickness = spacing[2]
    ds.KVP = None
    ds.PatientPosition = "HFS"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.FrameOfReferenceUID = uid("frame of reference")
    ds.StudyID, ds.SeriesNumber, ds.AcquisitionNumber = "1", 1, 1
    ds.InstanceNumber = shape[0] - index  # scanned from the top of the head down
    ds.ImagePositionPatient = ["%.6f" % v for v in (-spacing[0] * (shape[2] - 1) / 2,
                                                    -spacing[1] * (shape[1] - 1) / 2,
                                                    spacing[2] * index)]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.PositionReferenceIndicator = ""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = shape[1:]
    ds.PixelSpacing = ["%.8f" % spacing[1], "%.8f" % spacing[0]]
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.PixelData = (hu[::-1].astype(np.int32) - INTERCEPT).astype("<u2").tobytes()
    ds.save_as(path, write_like_original=False)


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.split("\n\n")[1])
    out = os.path.abspath(sys.argv[1])
    if os.path.isdir(out):
        return
    parent = os.path.dirname(out)
    os.makedirs(parent, exist_ok=True)
    scratch = tempfile.mkdtemp(prefix="cranium-")
    growing = tempfile.mkdtemp(prefix=os.path.basename(out) + ".tmp.", dir=parent)
    try:
        hu, spacing = read_inv3(sys.argv[2] if len(sys.argv) == 3 else fetch(scratch))
        names = np.random.RandomState(7).permutation(len(hu)) + 1
        for index, number in enumerate(names):
            write_slice(os.path.join(growing, "IM%04d" % number), index, hu[index], spacing,
                        hu.shape)
        os.chmod(growing, 0o755)
        os.rename(growing, out)
    finally:
        shutil.rmtree(scratch)
        shutil.rmtree(growing, ignore_errors=True)
    print("%s: %d slices" % (out, len(hu)))


main()
