#!/usr/bin/python3
"""`ctaug export` as others meet it: dcm2niix makes voxels and geometry of the store from the
exported slices; codes of the study stand in SEG and RT Structure Set; files are for their owner
alone unless --share."""
import glob
import os
import stat
import subprocess
import sys
import tempfile

import nibabel
import numpy as np
import pydicom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom
from chain import read_store

SHAPES = [(5, 48, 40), (7, 40, 40), (6, 32, 64)]  # number 1 is oblique
CODES = ["liver: 10200004 SCT Liver", "bone: X-7 99LOCAL Cortical bone",
         "aorta: 52988006 SCT Lesion | 49755003 SCT Morphologically Abnormal Structure"]
TYPES = {"liver": ("10200004", "SCT", "Liver"), "bone": ("X-7", "99LOCAL", "Cortical bone"),
         "aorta": ("52988006", "SCT", "Lesion")}


def study(place, *codes):
    yaml = place + "/run.yaml"
    with open(yaml, "w") as stream:
        stream.write(f"name: run\nout: {place}/run\ningest:\n  dicom: {place}/dicom\n"
                     "export:\n  codes: [" + ", ".join(f'"{c}"' for c in codes) + "]\n")
    return yaml


def export(place, form, name, *words, ranks=0):
    out = f"{place}/{name}"
    chain.run(ranks, "export", "--store", place + "/run/store", "--format", form, "--out", out,
              *words)
    return out


def dcm2niix(place):
    """One image for each volume, wherever its voxels lie: the program may turn axes."""
    volumes, _ = read_store(place + "/run/store")
    out = export(place, "dicom", "slices", ranks=2)
    to_ras = np.diag([-1.0, -1, 1])
    for name, (ct, _, space) in volumes.items():
        made = f"{place}/nii-{name}"
        os.mkdir(made)
        os.remove(f"{out}/{name}/seg.dcm")
        subprocess.run(["dcm2niix", "-z", "n", "-f", "image", "-o", made, f"{out}/{name}"],
                       check=True, stdout=subprocess.DEVNULL)
        (path,) = glob.glob(made + "/*.nii")
        image = nibabel.load(path)
        steps = np.reshape(space["direction"], (3, 3)) * np.reshape(space["spacing"], (3, 1))
        index = np.indices(ct.shape).reshape(3, -1)
        ras = to_ras @ (steps.T @ index + np.reshape(space["origin"], (3, 1)))
        back = np.linalg.inv(image.affine)
        at = back[:3, :3] @ ras + back[:3, 3:]
        nearest = np.rint(at).astype(int)
        assert np.abs(at - nearest).max() < 0.02, name
        assert sorted(image.shape) == sorted(ct.shape)
        assert np.array_equal(np.asanyarray(image.dataobj)[tuple(nearest)], ct[tuple(index)]), name


def code_of(item, sequence):
    (code,) = item[sequence].value
    return code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning


def check_codes(out, types):
    """Of every SEG and structure set; the category follows from the study or the table."""
    seen = 0
    for path in glob.glob(out + "/*/seg.dcm") + glob.glob(out + "/*/rtstruct.dcm"):
        ds = pydicom.dcmread(path)
        kind = "SegmentedPropertyTypeCodeSequence"
        named = [(s.SegmentLabel, s) for s in ds.get("SegmentSequence", [])]
        if ds.Modality == "RTSTRUCT":
            kind = "RTROIIdentificationCodeSequence"
            names = {r.ROINumber: r.ROIName for r in ds.StructureSetROISequence}
            named = [(names[o.ReferencedROINumber], o) for o in ds.RTROIObservationsSequence]
        for name, item in named:
            category = code_of(item, "SegmentedPropertyCategoryCodeSequence")
            assert code_of(item, kind) == types.get(name, code_of(item, kind)), (path, name)
            abnormal = types.get(name, ("",))[0] == "52988006"
            assert category == (("49755003", "SCT", "Morphologically Abnormal Structure")
                                if abnormal else ("123037004", "SCT", "Anatomical Structure"))
            seen += 1
        done = subprocess.run(["dciodvfy", "-new", path], capture_output=True, text=True,
                              check=False)
        errors = [t for t in (done.stdout + done.stderr).splitlines() if t.startswith("Error")]
        assert not errors, errors
    assert seen == 2 * 3 * len(SHAPES), seen


def codes(place):
    known = {"liver": ("10200004", "SCT", "Liver"), "bone": ("272673000", "SCT", "Bone"),
             "aorta": ("15825003", "SCT", "Aorta")}
    check_codes(export(place, "dicom", "known", "--rtstruct"), known)
    # The store is current; the study is taken anew.
    said = chain.run(0, "ingest", study(place, *CODES))
    assert "is current" in said, said
    check_codes(export(place, "dicom", "own", "--rtstruct", ranks=2), TYPES)
    for wrong in ("liver: 10200005 SCT Liver", "liver 10200004 SCT Liver", "liver: 1234 SCT Liver"):
        said = chain.run(0, "ingest", study(place, wrong), expect=2)
        assert "run.yaml:6: export.codes: entry 1 must be" in said, said


def modes(place):
    """Of every folder and file that an export makes, itself included."""
    before = os.umask(0o022)
    for words, folder, file in (((), 0o700, 0o600), (("--share",), 0o755, 0o644)):
        for form in ("dicom", "nifti", "nnunet", "png"):
            more = ("--rtstruct",) if form == "dicom" else ()
            out = export(place, form, f"{form}-{'shared' if words else 'own'}", *more, *words,
                         ranks=2)
            paths = [out, *glob.glob(out + "/**/*", recursive=True)]
            assert len(paths) > 4
            for path in paths:
                mode = stat.S_IMODE(os.lstat(path).st_mode)
                assert mode == (folder if os.path.isdir(path) else file), (path, oct(mode))
    os.umask(before)


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-tools-") as place:
        for n, shape in enumerate(SHAPES):
            small_dicom.write_patient(os.path.join(place, "dicom", str(n)), n, shape)
        chain.run(0, "ingest", study(place))
        dcm2niix(place)
        codes(place)
        modes(place)


main()
