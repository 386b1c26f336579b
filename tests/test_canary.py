#!/usr/bin/python3
"""Nothing that identifies a patient gets out: unique strings stand in every text-like attribute of
the archive, in private and nested ones, in segment labels, names of folders and files. After all
stages and exports, with masks of one's own too, no file that ctaug wrote has one of them, nor a UID
of the archive, but the records that only the owner can read."""

import glob
import gzip
import os
import re
import subprocess
import sys

import nibabel
import numpy as np
import pydicom
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

import chain

TEXT = ("LO", "SH", "PN", "LT", "ST", "UT", "UC", "AE", "UR")
# Text that decides how a file is read. Labels get canaries of their own.
MEANT = {0x00281054, 0x00620005}  # Rescale Type, Segment Label
CONFIDENTIAL = {"study.yaml", "ingest-files.json", "ingest.json"}
CANARY = re.compile(rb"CAN[0-9a-zA-Z]*ARY", re.I)


def text_tags():
    for tag, (vr, *_) in sorted(DicomDictionary.items()):
        if vr in TEXT and tag not in MEANT and 0x0008 <= tag >> 16 <= 0x4FFF and \
                tag >> 16 not in (0x0060, 0x0064):
            yield tag, vr


def poison(path, renamed, uids):
    ds = pydicom.dcmread(path)
    patient = ds.PatientID
    nested = Dataset()
    for tag, vr in text_tags():
        value = f"CAN{tag:08x}ARY"
        if vr == "UR":
            value = "http://" + value
        if vr == "AE":
            value = value[:16]
        ds.add_new(tag, vr, value)
        if tag & 0xFFFF0000 < 0x00200000:
            nested.add_new(tag, vr, value[:-3] + "nestedARY")
    ds.PatientID = f"CAN{patient}ARY"
    ds.PatientName = f"CAN{patient}nameARY"
    ds.RequestAttributesSequence = Sequence([nested])
    block = ds.private_block(0x0099, "CANcreatorARY", create=True)
    block.add_new(0x01, "LO", "CANprivateARY")
    block.add_new(0x02, "SQ", Sequence([nested]))
    block.add_new(0x03, "UN", b"CANunknownARY ")
    for k, segment in enumerate(ds.get("SegmentSequence", [])):
        segment.SegmentDescription = "CANdescriptionARY"
        if k == 0:
            segment.SegmentLabel = f"{segment.SegmentLabel} CANlabelARY"
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID",
                    "FrameOfReferenceUID"):
        if keyword in ds:
            uids.add(str(ds[keyword].value))
    os.makedirs(os.path.dirname(renamed), exist_ok=True)
    ds.save_as(renamed)


def make_masks(folder, archive):
    """Masks of one's own, with strings in the names of folders and files and in their headers."""
    seg = [p for p in glob.glob(f"{archive}/*/*") if pydicom.dcmread(p).Modality == "SEG"][0]
    os.makedirs(f"{folder}/CANpatientARY")
    ds = pydicom.dcmread(seg)
    liver = [s for s in ds.SegmentSequence if "CAN" not in s.SegmentLabel]
    assert liver, "no label of this SEG is left"
    ds.save_as(f"{folder}/CANpatientARY/CANsegARY")
    labels = np.zeros((32, 32, 6), np.uint8)
    labels[8:20, 6:24, 1:5] = 1
    labels[22:26, 6:24, 1:5] = 2
    for name in ("CANmapARY_labels.nii.gz", "CANtornARY_labels.nii.gz"):
        image = nibabel.Nifti1Image(labels, np.diag([-10, -10, 5, 1]))
        image.header["descrip"] = b"CANdescripARY"
        image.header["db_name"] = b"CANdbARY"
        nibabel.save(image, f"{folder}/{name}")
    with open(f"{folder}/{name}", "r+b") as f:
        f.truncate(os.path.getsize(f.name) // 2)


def texts(path):
    """What a reader of the file gets to see."""
    with open(path, "rb") as f:
        data = f.read()
    yield data
    if path.endswith(".gz"):
        yield gzip.decompress(data)
    if path.endswith(".pdf"):
        yield subprocess.run(["pdftotext", path, "-"], stdout=subprocess.PIPE, check=True).stdout


def leaks(folder, uids):
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            if name in CONFIDENTIAL:
                assert os.stat(path).st_mode & 0o777 == 0o600, path
                continue
            for text in [os.path.relpath(path, folder).encode(), *texts(path)]:
                for found in CANARY.findall(text):
                    yield path, found.decode()
                yield from ((path, uid) for uid in uids if uid.encode() in text)


def main():
    with chain.Place() as place:
        archive, uids = f"{place.root}/CANarchiveARY", set()
        for k, path in enumerate(sorted(glob.glob(f"{place.dicom}/**/*.dcm", recursive=True))):
            folder = os.path.basename(os.path.dirname(path))
            poison(path, f"{archive}/CAN{folder}ARY/CANfile{k}ARY", uids)
        with open(f"{archive}/CANscoutARY", "wb") as f:  # named in a warning: a series of one slice
            ds = pydicom.dcmread(path if "ct-" in path else glob.glob(f"{archive}/*/*")[0])
            ds.SeriesInstanceUID = "2.25.4711"
            ds.save_as(f)
        place.dicom = archive
        study, _ = place.study("CANrunARY")
        out = f"{place.root}/CANrunARY"
        said = chain.run(2, "run", study, timeout=500)
        assert "CANarchiveARY" in said  # people are told which file it was
        exports = f"{place.root}/exports"
        for store in ("store", "synthetic"):
            for form in ("dicom", "nifti", "nnunet", "png"):
                more = ("--rtstruct",) if form == "dicom" else ()
                chain.run(1, "export", "--store", f"{out}/{store}", "--format", form, "--out",
                          f"{exports}/{store}-{form}", *more)
        chain.run(0, "compare", out, out, "--out", f"{exports}/compare.html")
        assert "structure-1" in chain.read_store(f"{out}/store")[1]
        assert len(uids) > 30 and os.path.getsize(f"{out}/report/report.pdf") > 1000
        found = set(leaks(out, uids)) | set(leaks(exports, uids))

        # The same run with masks of one's own, which take the place of deformed ones.
        masks = f"{place.root}/CANmasksARY"
        make_masks(masks, archive)
        said = chain.run(2, "run", study, "--set", f"generate.masks={masks}", timeout=500)
        assert "CANtornARY" in said and "CANlabelARY" in said  # people are told
        for form in ("dicom", "nnunet"):
            more = ("--rtstruct",) if form == "dicom" else ()
            chain.run(1, "export", "--store", f"{out}/synthetic", "--format", form, "--out",
                      f"{exports}/masks-{form}", *more)
        assert len(glob.glob(f"{exports}/masks-dicom/*/rtstruct.dcm")) == 3
        found = sorted(found | set(leaks(out, uids)) | set(leaks(exports, uids)))
        for path, text in found[:40]:
            print(f"{os.path.relpath(path, place.root)}: {text}")
        sys.exit(len(found) > 0)


main()
