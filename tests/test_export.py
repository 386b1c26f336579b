#!/usr/bin/python3
"""`ctaug export`: DICOM read by pydicom and ingested again, NIfTI read by the field offsets of its
header, PNG read chunk by chunk."""

import glob
import gzip
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import pydicom
from pydicom.sr.codedict import codes

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom
from chain import hashes, read_store

CARD = ["README.md", "card.json"]
SHAPES = [(5, 48, 40), (7, 40, 40), (6, 32, 64)]


def export(store, form, out, ranks=0, code=0):
    said = chain.run(ranks, "export", "--store", store, "--format", form, "--out", out, expect=code)
    assert not os.path.exists(out.rstrip("/") + ".tmp.partial")
    return said


def ingest(place, name, dicom, labels="seg", orientation="axial"):
    yaml = os.path.join(place, name + ".yaml")
    with open(yaml, "w") as stream:
        stream.write("name: %s\nout: %s/%s\ningest:\n  dicom: %s\n  labels: %s\n"
                     "  thresholds: ['bone: 300..3071']\n  orientation: %s\n"
                     % (name, place, name, dicom, labels, orientation))
    chain.run(0, "ingest", yaml)
    return os.path.join(place, name, "store")


def position(space, z, y, x):
    """LPS millimetres of a voxel centre."""
    axes = np.reshape(space["direction"], (3, 3)) * np.reshape(space["spacing"], (3, 1))
    return np.asarray(space["origin"]) + np.array([z, y, x]) @ axes


def dicom(place, store):
    volumes, names = read_store(store)
    out = place + "/as-dicom"
    export(store, "dicom", out + "/", ranks=2)
    assert sorted(os.listdir(out)) == sorted([*CARD, *volumes])
    for name, (ct, labels, space) in volumes.items():
        slices = [pydicom.dcmread(p) for p in glob.glob(os.path.join(out, name, "ct-*.dcm"))]
        normal = np.reshape(space["direction"], (3, 3))[0]
        slices.sort(key=lambda s: np.dot([float(v) for v in s.ImagePositionPatient], normal))
        hu = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept)
                       for s in slices])
        assert np.array_equal(hu, ct)
        for z, s in enumerate(slices):
            assert np.allclose([float(v) for v in s.ImagePositionPatient],
                               position(space, z, 0, 0), atol=1e-3)
            assert np.allclose([float(v) for v in s.PixelSpacing], space["spacing"][1:], atol=1e-4)
        assert len({s.SOPInstanceUID for s in slices}) == len(slices)
        assert slices[0].PatientID == name.rpartition("-")[0]
        assert "synthetic" not in str(slices[0].SeriesDescription).lower()
        for s in slices:
            assert (0x0008, 0x001C) not in s and s.PatientIdentityRemoved == "YES"
            made = s.ContributingEquipmentSequence[0]
            assert made.Manufacturer == "ctaug" and made.SoftwareVersions in s.DeidentificationMethod
            assert made.PurposeOfReferenceCodeSequence[0].CodeValue == "109104"
            assert s.PatientPosition == "HFS"
        seg = pydicom.dcmread(os.path.join(out, name, "seg.dcm"))
        for s in seg.SegmentSequence:
            known = getattr(codes.SCT, s.SegmentLabel.capitalize())
            kind = s.SegmentedPropertyTypeCodeSequence[0]
            assert (kind.CodeValue, kind.CodingSchemeDesignator) == (known.value, "SCT")
            assert s.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "123037004"
        validate(out, name)
        label = {s.SegmentNumber: s.SegmentLabel for s in seg.SegmentSequence}
        painted = np.zeros_like(labels)
        for frame, group in zip(np.atleast_3d(seg.pixel_array).reshape(-1, *labels.shape[1:]),
                                seg.PerFrameFunctionalGroupsSequence):
            at = [float(v) for v in group.PlanePositionSequence[0].ImagePositionPatient]
            z = int(round(np.dot(np.subtract(at, space["origin"]), normal) / space["spacing"][0]))
            number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
            painted[z][frame > 0] = names.index(label[number])
        assert np.array_equal(painted, labels)
    # Ingesting what was exported gives the same volumes.
    for name in CARD:
        os.remove(os.path.join(out, name))
    again, names_again = read_store(ingest(place, "again", out))
    assert names_again == names and len(again) == len(volumes)
    for name, (ct, labels, space) in volumes.items():
        patient = chain.pseudonym(name.rpartition("-")[0])
        (found,) = [v for k, v in again.items() if k.startswith(patient)]
        assert np.array_equal(found[0], ct) and np.array_equal(found[1], labels)
        assert int(found[2]["contrast"]) == int(space["contrast"])
        for key in ("kernel", "body"):
            assert found[2].get(key) == space.get(key), key
        for key in ("spacing", "origin", "direction"):
            assert np.allclose(found[2][key], space[key], atol=1e-3), key


def read_nifti(path):
    """Voxels (x y z), sform and qform affines, by the field offsets of nifti1.h."""
    data = open(path, "rb").read()
    assert struct.unpack_from("<i", data, 0)[0] == 348 and data[344:348] == b"n+1\0"
    dim, pixdim = struct.unpack_from("<8h", data, 40), struct.unpack_from("<8f", data, 76)
    kind, bits = struct.unpack_from("<2h", data, 70)
    start, slope, shift = struct.unpack_from("<3f", data, 108)
    qform, sform = struct.unpack_from("<2h", data, 252)
    b, c, d, *q_offset = struct.unpack_from("<6f", data, 256)
    s = np.reshape(struct.unpack_from("<12f", data, 280), (3, 4))
    assert dim[0] == 3 and (slope, shift) == (1, 0) and data[123] == 2 and data[348:352] == b"\0" * 4
    assert (qform, sform) == (1, 1) and pixdim[0] in (-1, 1)
    dtype = {4: "<i2", 2: "u1"}[kind]
    assert bits == 8 * np.dtype(dtype).itemsize
    count = dim[1] * dim[2] * dim[3]
    assert len(data) == start + count * bits // 8
    voxels = np.frombuffer(data, dtype, count, int(start)).reshape(dim[1:4], order="F")
    a = np.sqrt(max(0, 1 - b * b - c * c - d * d))
    turn = np.array([[a * a + b * b - c * c - d * d, 2 * b * c - 2 * a * d, 2 * b * d + 2 * a * c],
                     [2 * b * c + 2 * a * d, a * a + c * c - b * b - d * d, 2 * c * d - 2 * a * b],
                     [2 * b * d - 2 * a * c, 2 * c * d + 2 * a * b, a * a + d * d - c * c - b * b]])
    q = np.column_stack([turn * (pixdim[1], pixdim[2], pixdim[3] * pixdim[0]), q_offset])
    return voxels, s, q


def nifti(place, store):
    volumes, names = read_store(store)
    out = place + "/as-nifti"
    os.mkdir(out)  # an empty folder is accepted
    export(store, "nifti", out, ranks=3)
    expected = CARD + ["labels.tsv"] + [v + e for v in volumes for e in (".nii", "_labels.nii")]
    assert sorted(os.listdir(out)) == sorted(expected)
    for name, (ct, labels, space) in volumes.items():
        for path, truth in ((name + ".nii", ct), (name + "_labels.nii", labels)):
            voxels, s, q = read_nifti(os.path.join(out, path))
            assert voxels.dtype == truth.dtype and np.array_equal(voxels, truth.transpose(2, 1, 0))
            assert np.allclose(s, q, atol=1e-3), (s, q)
            for z, y, x in ((0, 0, 0), (3, 5, 7), (ct.shape[0] - 1, 0, ct.shape[2] - 1)):
                left, posterior, superior = position(space, z, y, x)
                assert np.allclose(s @ (x, y, z, 1), (-left, -posterior, superior), atol=1e-3)
    table = open(os.path.join(out, "labels.tsv")).read().split("\n")
    assert table == ["index\tname"] + ["%d\t%s" % kv for kv in enumerate(names)] + [""]


def nnunet(place, store):
    volumes, names = read_store(store)
    out = place + "/as-nnunet"
    export(store, "nnunet", out, ranks=2)
    assert sorted(os.listdir(out)) == sorted(CARD + ["dataset.json", "imagesTr", "labelsTr"])
    with open(out + "/dataset.json") as f:
        table = json.load(f)
    assert table == {"channel_names": {"0": "CT"}, "numTraining": len(volumes),
                     "labels": {n: k for k, n in enumerate(names)}, "file_ending": ".nii.gz"}
    assert sorted(os.listdir(out + "/imagesTr")) == sorted(v + "_0000.nii.gz" for v in volumes)
    assert sorted(os.listdir(out + "/labelsTr")) == sorted(v + ".nii.gz" for v in volumes)
    for name, (ct, labels, _) in volumes.items():
        for path, truth in ((f"imagesTr/{name}_0000", ct), (f"labelsTr/{name}", labels)):
            with gzip.open(f"{out}/{path}.nii.gz") as packed, open(place + "/flat.nii", "wb") as f:
                f.write(packed.read())
            assert np.array_equal(read_nifti(place + "/flat.nii")[0], truth.transpose(2, 1, 0))
    with open(out + "/card.json") as f:
        card = json.load(f)
    assert card["counts"] == {"patients": len(volumes), "volumes": len(volumes), "unlabelled": 0,
                              "slices": sum(len(v[0]) for v in volumes.values())}
    assert card["structures"] == names[1:] and card["synthetic"] is False and card["model"] == ""
    assert "not stated" in card["licence"] and len(card["claims"]) > 1
    with open(out + "/README.md") as f:
        text = f.read()
    assert all(claim in text for claim in card["claims"]) and card["licence"] in text
    assert not any(name.rpartition("-")[0] in text + json.dumps(card) for name in volumes)


def validate(out, name):
    """dciodvfy finds no error. Debian's of 2022 does not know (0008,001C), which is in the standard
    since 2023."""
    for path in glob.glob(os.path.join(out, name, "*.dcm")):
        done = subprocess.run(["dciodvfy", "-new", path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        errors = [t for t in done.stdout.splitlines() if t.startswith("Error") and
                  "</(0008,001c)> - Attribute with an even group number is not" not in t]
        assert not errors, errors


def positions(place):
    """Patient Position of volumes that were turned when they were ingested."""
    turns = {"HFS": (1, 0, 0, 0, 1, 0), "HFP": (-1, 0, 0, 0, -1, 0), "FFS": (-1, 0, 0, 0, 1, 0),
             "FFP": (1, 0, 0, 0, -1, 0), "HFDL": (0, -1, 0, 1, 0, 0), "HFDR": (0, 1, 0, -1, 0, 0),
             "FFDL": (0, 1, 0, 1, 0, 0), "FFDR": (0, -1, 0, -1, 0, 0), "": (1, 0, 0, 0, 0, -1)}
    for n, (wanted, turn) in enumerate(turns.items()):
        folder = f"{place}/turn{n}"
        small_dicom.write_patient(folder, 0, (3, 16, 16), seg=False)
        normal = np.cross(turn[:3], turn[3:])
        for path in glob.glob(folder + "/*"):
            ds = pydicom.dcmread(path)
            ds.ImagePositionPatient = [f"{v:.6f}" for v in 2.5 * ds.InstanceNumber * normal]
            ds.ImageOrientationPatient = list(turn)
            ds.save_as(path)
        store = ingest(place, f"turn{n}-run", folder, "thresholds", orientation="any")
        export(store, "dicom", f"{place}/turn{n}-out")
        for path in glob.glob(f"{place}/turn{n}-out/*/ct-*.dcm"):
            # The store turns volumes: whatever they were, they lie head first and supine.
            ds = pydicom.dcmread(path)
            kept = tuple(round(float(v)) for v in ds.ImageOrientationPatient)
            assert kept == turns["HFS"] and ds.PatientPosition == "HFS", (wanted, kept)


def table_of_codes():
    """Every code of io/structure_codes.c is in pydicom's SNOMED table, with this meaning."""
    from pydicom.sr._concepts_dict import concepts

    meanings = {}
    for named in concepts["SCT"].values():
        for value, about in named.items():
            meanings.setdefault(value, set()).add(about[0].lower())
    with open(os.path.join(HERE, "..", "io", "structure_codes.c")) as f:
        pairs = re.findall(r'\{"(\d{6,})", "([^"]+)", "SCT"\}', f.read())
    assert len(pairs) > 100
    for value, meaning in pairs:
        assert meaning.lower() in meanings[value], (value, meaning, meanings.get(value))


def png(place, store):
    volumes, _ = read_store(store)
    out = place + "/as-png"
    export(store, "png", out)
    assert sorted(os.listdir(out)) == sorted(CARD + [v + ".png" for v in volumes])
    for name, (ct, _, _) in volumes.items():
        data = open(os.path.join(out, name + ".png"), "rb").read()
        assert data[:8] == b"\x89PNG\r\n\x1a\n"
        at, pixels, kinds = 8, b"", []
        while at < len(data):
            length, kind = struct.unpack_from(">I4s", data, at)
            body = data[at + 8:at + 8 + length]
            assert struct.unpack_from(">I", data, at + 8 + length)[0] == zlib.crc32(kind + body)
            if kind == b"IHDR":
                width, height, depth, colour = struct.unpack_from(">IIBB", body)
            pixels += body if kind == b"IDAT" else b""
            kinds.append(kind)
            at += 12 + length
        assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND" and (depth, colour) == (8, 2)
        assert width % (4 * ct.shape[2]) == 0 and height % ct.shape[1] == 0
        assert len(set(zlib.decompress(pixels))) > 50


def refusals(place, store):
    kept = place + "/kept"
    os.mkdir(kept)
    with open(kept + "/thesis.txt", "w") as stream:
        stream.write("mine")
    said = export(store, "nifti", kept, ranks=2, code=2)
    assert kept in said and os.listdir(kept) == ["thesis.txt"], said
    assert "tiff" in export(store, "tiff", place + "/x", code=2)
    assert place + "/nowhere" in export(place + "/nowhere", "png", place + "/x", code=3)
    assert kept + "/thesis.txt" in export(store, "png", kept + "/thesis.txt/x", code=4)
    assert "--format" in chain.run(0, "export", "--store", store, expect=2)
    assert not os.path.exists(place + "/x")
    # The temporary folder of a killed export is removed.
    os.makedirs(place + "/x.tmp.partial/half")
    export(store, "png", place + "/x")
    assert "half" not in os.listdir(place + "/x")
    # Two exports of a store have the same bytes.
    export(store, "dicom", place + "/first")
    export(store, "dicom", place + "/second", ranks=2)
    assert hashes(place + "/first") == hashes(place + "/second") != {}


def synthetic(place, store):
    """The same store marked as synthetic, with a new seal of its manifest."""
    path = os.path.join(store, "manifest.json")
    manifest = json.load(open(path), parse_float=lambda digits: "@@" + digits)
    manifest["detail"]["provenance"]["synthetic"] = True

    def text(value, **form):
        plain = json.dumps(value, sort_keys=True, ensure_ascii=False, **form)
        return re.sub('"@@([^"]*)"', r"\1", plain)

    del manifest["seal"]
    manifest["seal"] = hashlib.sha256(
        text(manifest, separators=(",", ":")).encode()).hexdigest()
    with open(path, "w") as stream:
        stream.write(text(manifest, indent=1))
    export(store, "dicom", place + "/as-synthetic")
    for path in glob.glob(place + "/as-synthetic/*/ct-*.dcm"):
        ds = pydicom.dcmread(path)
        assert "SYNTHETIC" in ds.SeriesDescription and ds[0x0008, 0x001C].value == "YES"
        assert ds.PatientIdentityRemoved == "YES" and "synthetic" in ds.DeidentificationMethod
    for name in os.listdir(place + "/as-synthetic"):
        validate(place + "/as-synthetic", name)


def native(place, run):
    """Synthetic volumes at the matrix of their series: the place of each voxel is that of the
    series, labels are those of the store, and the card says so."""
    yaml = place + "/run.yaml"
    chain.run(0, "generate", yaml, "--set", "data.size=64", "--set", "generate.volumes=4", "--set",
              "generate.painters=[gaussian]", "--set", "generate.elastic=0")
    store, out = run + "/synthetic-gaussian", place + "/as-native"
    chain.run(2, "export", "--store", store, "--format", "dicom", "--native", "--out", out)
    export(store, "dicom", place + "/as-made")
    real, made = read_store(run + "/store")[0], read_store(store)[0]
    with open(store + "/manifest.json") as f:
        told = json.load(f)["detail"]["provenance"]["volumes"]
    shapes = set()
    for volume in told:
        (_, height, width), space = real[volume["source"]][0].shape, real[volume["source"]][2]
        first = pydicom.dcmread(f"{out}/{volume['id']}/ct-0000.dcm")
        assert (first.Rows, first.Columns) == (height, width)
        assert np.allclose(first.PixelSpacing, space["spacing"][1:], atol=1e-4)
        assert np.allclose(first.ImagePositionPatient, position(space, 0, 0, 0), atol=1e-3)
        other = pydicom.dcmread(f"{place}/as-made/{volume['id']}/ct-0000.dcm")
        assert first.SOPInstanceUID != other.SOPInstanceUID and other.Rows == 64
        # A structure has the same share of the field of view, which is a square.
        share = (made[volume["id"]][1] > 0).mean() * 64 * 64
        seg = pydicom.dcmread(f"{out}/{volume['id']}/seg.dcm").pixel_array
        found = seg.sum() / len(made[volume["id"]][1]) * (64 / max(height, width)) ** 2
        assert share > 40 and abs(found / share - 1) < 0.08, (found, share)
        validate(out, volume["id"])
        shapes.add((height, width))
    assert shapes and (64, 64) not in shapes, shapes
    with open(out + "/card.json") as f:
        claims = json.load(f)["claims"]
    assert any("Made at 64 x 64 pixels" in text for text in claims), claims
    with open(place + "/as-made/card.json") as f:
        assert not any("Made at" in text for text in json.load(f)["claims"])
    # Real volumes have that matrix.
    chain.run(0, "export", "--store", run + "/store", "--format", "nifti", "--native", "--out",
              place + "/native-real")
    export(run + "/store", "nifti", place + "/plain-real")
    assert hashes(place + "/native-real") == hashes(place + "/plain-real")


def injection(place):
    """A label that would clear a terminal, turn text round and add a line to labels.tsv: it is
    stored as structure-1, and nobody shows it."""
    evil = "a\tb\x1b[2J\n9\tc\u009b31m\u202e QUODLIBET"
    source, folder = place + "/dicom/0", place + "/evil"
    shutil.copytree(source, folder)
    for path in glob.glob(folder + "/**/*", recursive=True):
        ds = pydicom.dcmread(path) if os.path.isfile(path) else {}
        if "SegmentSequence" in ds:
            ds.SpecificCharacterSet = "ISO_IR 192"
            ds.SegmentSequence[0].SegmentLabel = evil
            ds.PixelData = bytes(len(ds.PixelData))  # warned of by name: no voxels
            ds.save_as(path)
    store = ingest(place, "evil-run", folder)
    assert "structure-1" in read_store(store)[1]
    out = place + "/evil-nifti"
    said = export(store, "nifti", out)
    said += chain.run(0, "ingest", place + "/evil-run.yaml", "--set", "out=" + place + "/evil-too")
    assert "label 'structure-1' marks no voxel" in said, said
    assert "1 names in segmentations" in said, said
    for root in (place + "/evil-run", place + "/evil-too", out):
        for path in glob.glob(root + "/**/*", recursive=True):
            if os.path.isfile(path):
                assert b"QUODLIBET" not in open(path, "rb").read(), path
    assert "QUODLIBET" not in said and not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", said), said


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-export-") as place:
        for n, shape in enumerate(SHAPES):
            small_dicom.write_patient(os.path.join(place, "dicom", str(n)), n, shape)
        store = ingest(place, "run", place + "/dicom")
        dicom(place, store)
        nifti(place, store)
        nnunet(place, store)
        positions(place)
        table_of_codes()
        png(place, store)
        native(place, place + "/run")
        refusals(place, store)
        injection(place)
        synthetic(place, store)


main()
