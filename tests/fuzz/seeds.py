#!/usr/bin/python3
"""Seeds of the fuzz targets: small files of each kind and compression.

usage: seeds.py CTAUG SHARED DIR

Writes DIR/TARGET/FILE and the dictionary DIR/TARGET.dict for the targets ct, seg, rtstruct,
nifti, study and csv, and for seg_grid and nifti_grid, which have the seeds of seg and nifti. They
come from a phantom that CTAUG writes, from the writers in tests/data, and, where the folder SHARED
is there, from its archives."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import warnings

import nibabel
import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent / "data"
LARGEST = 32 << 10  # bytes; larger files are too slow to try many changes of them
CT = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1")
KINDS = {**dict.fromkeys(CT, "ct"), "1.2.840.10008.5.1.4.1.1.66.4": "seg",
         "1.2.840.10008.5.1.4.1.1.66.7": "seg", "1.2.840.10008.5.1.4.1.1.481.3": "rtstruct"}
SYNTAXES = ["1.2.840.10008.1.2" + tail for tail in
            ("", ".1", ".1.99", ".2", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".4.90",
             ".4.91", ".4.201", ".5")]


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def oracle(script, *words):
    run(sys.executable, DATA / script, *words)


def jpeg2000(source, out, *options):
    """A slice of the phantom with a codestream by opj_compress."""
    ds = pydicom.dcmread(source)
    raw, code = out.with_suffix(".rawl"), out.with_suffix(".j2k")
    raw.write_bytes(ds.PixelData)
    run("opj_compress", "-i", raw, "-o", code, "-n", "3", *options,
        "-F", "%d,%d,1,16,s" % (ds.Columns, ds.Rows))
    ds.PixelData = encapsulate([code.read_bytes()])
    ds["PixelData"].VR, ds["PixelData"].is_undefined_length = "OB", True
    ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
    ds.save_as(out)
    raw.unlink()
    code.unlink()


def cts(ctaug, out):
    """CT slices of the phantom in every compression, and those of the oracle."""
    phantom = out.parent / "phantom"
    run(ctaug, "phantom", "--patients", "1", "--seed", "1", "--size", "24", "--slices", "4",
        "--out", phantom)
    plain = out / "plain.dcm"
    shutil.copy(phantom / "patient-0000" / "ct-0001.dcm", plain)
    for name, command in {"rle": ("dcmcrle",), "lossless": ("dcmcjpeg",),
                          "lossless-14": ("dcmcjpeg", "+el"), "jpeg-ls": ("dcmcjpls",),
                          "baseline": ("dcmcjpeg", "+eb"),
                          "extended": ("dcmcjpeg", "+ee"), "deflated": ("dcmconv", "+td"),
                          "implicit": ("dcmconv", "+ti"), "big": ("dcmconv", "+tb"),
                          "undefined": ("dcmconv", "-e"), "bare": ("dcmconv", "-F")}.items():
        run(*command, plain, out / (name + ".dcm"))
    jpeg2000(plain, out / "jpeg2000.dcm")
    jpeg2000(plain, out / "jpeg2000-tiles.dcm", "-t", "8,8", "-r", "4")
    oracle("dicom_oracle.py", "ct", out)


def segs(ctaug, out):
    del ctaug
    oracle("seg_oracle.py", out / "oracle")


def rtstructs(ctaug, out):
    del ctaug
    oracle("small_rtstruct.py", out)


def niftis(ctaug, out):
    """Masks on the grid of fuzz_nifti.c, in the order of its axes and turned, of several types."""
    del ctaug
    affine = np.diag([-0.7, -0.8, 2.5, 1])
    affine[:3, 3] = 40.5, 30.25, 0
    cells = np.zeros((7, 6, 5))  # x y z
    cells[2:5, 1:4, 1:3] = 1
    cells[5, 5, 3] = 7
    for kind in ("u1", "i2", "f4", "f8", "i8"):
        image = nibabel.Nifti1Image(cells.astype(kind), affine, dtype=kind)
        nibabel.save(image, out / (kind + ".nii"))
        nibabel.save(image, out / (kind + ".nii.gz"))
    big = nibabel.Nifti1Image(cells.astype(">i2"), affine, nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, out / "big.nii")
    turned = nibabel.Nifti1Image(cells.astype("u1"), affine)
    turned = turned.as_reoriented([[2, -1], [0, 1], [1, -1]])
    turned.set_sform(None, 0)
    turned.set_qform(turned.affine, 1)
    nibabel.save(turned, out / "turned.nii")
    dictionary(out, {b"n+1", b"\x5c\x01\x00\x00", b"\x00\x00\x01\x5c"})


def studies(ctaug, out):
    """The study with all keys, those of the repository, and the keys as a dictionary."""
    text = subprocess.run([ctaug, "init"], check=True, stdout=subprocess.PIPE).stdout.decode()
    (out / "init.yaml").write_text(text)
    plain = re.sub(r" *#.*", "", text)
    (out / "plain.yaml").write_text(plain)
    for path in (HERE.parent.parent / "jobs").glob("*.yaml"):
        shutil.copy(path, out)
    words = re.findall(r"[A-Za-z_][A-Za-z0-9_-]+", plain)
    words += ["- ", "[", "{", "&a", "*a", "!!str ", "|", ">", "%YAML", "---", "? ", "<<: *a"]
    dictionary(out, {word.encode() for word in words})


def tables(ctaug, out):
    """Fields with and without quotes, line ends of both kinds, a byte order mark."""
    del ctaug
    (out / "plain.csv").write_bytes(b"pseudonym,text\na1,liver\n")
    (out / "quoted.csv").write_bytes(b'\xef\xbb\xbfa,"b, c"\r\n"d ""e""","two\r\nlines"\r\n')
    dictionary(out, {b'"', b'""', b",", b"\r\n", b'","', b"\xef\xbb\xbf"})


def dictionary(out, words):
    """What libFuzzer inserts now and then."""
    lines = ('"%s"\n' % "".join("\\x%02X" % byte for byte in word) for word in sorted(words))
    out.with_suffix(".dict").write_text("".join(lines))


def dicom_words(out):
    """The data elements of the seeds as far as their VR, and the UIDs that choose a reader."""
    words = {uid.encode() for uid in (*SYNTAXES, *KINDS)}
    for path in sorted(out.rglob("*.dcm")):
        try:
            for element in pydicom.dcmread(path, force=True).iterall():
                tag = element.tag
                words.add(tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") +
                          element.VR.encode()[:2])
        except Exception:  # pylint: disable=broad-except
            continue  # spoilt on purpose
    dictionary(out, words)


def kind_of(path):
    """The target for a file of a foreign archive, or None."""
    if path.name.endswith((".nii", ".nii.gz")):
        return "nifti"
    try:
        return KINDS.get(pydicom.dcmread(path, stop_before_pixels=True, force=True).SOPClassUID)
    except Exception:  # pylint: disable=broad-except
        return "ct"  # what pydicom cannot read is of use, too


def foreign(shared, out):
    """Small files of the archives in SHARED, and the cases that are made there."""
    cases = out / "cases"
    cases.mkdir()
    if (shared / "cases" / "make_cases.py").exists():
        run(sys.executable, shared / "cases" / "make_cases.py", cases)
    count = 0
    for root in (shared / "data", cases):
        for path in sorted(root.rglob("*")):
            if not path.is_file() or not 0 < path.stat().st_size <= LARGEST:
                continue
            target = kind_of(path)
            if target:
                count += 1
                shutil.copyfile(path, out / target / ("shared-%04d" % count))
    shutil.rmtree(cases)
    print("%d seeds from %s" % (count, shared))


def main():
    ctaug, shared, out = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    warnings.simplefilter("ignore")  # of files that are spoilt on purpose
    for target, make in (("ct", cts), ("seg", segs), ("rtstruct", rtstructs), ("nifti", niftis),
                         ("study", studies), ("csv", tables)):
        (out / target).mkdir(parents=True)
        make(ctaug, out / target)
        if target in KINDS.values():
            dicom_words(out / target)
    if shared.is_dir():
        foreign(shared, out)
    else:
        print("no %s: seeds from the phantom and the writers in tests/data alone" % shared)
    for target in ("seg", "nifti"):
        shutil.copytree(out / target, out / (target + "_grid"))
        shutil.copy(out / (target + ".dict"), out / (target + "_grid.dict"))


main()
