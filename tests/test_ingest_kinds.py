#!/usr/bin/python3
"""One archive with a patient of every kind of disorder beside a sound one: each volume that is
sound is in the store, voxel by voxel, each other one is in the list of findings with the file at
fault, on 1 and on 2 ranks with the same bytes. `--check` says the same and stores nothing. The
archive is written by pydicom, its truth is numpy's."""

import json
import os
import re
import stat
import sys
import tempfile

import numpy as np
from pydicom.uid import CTImageStorage

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom

SHAPE = (8, 24, 20)  # z y x
AXIAL = (1, 0, 0, 0, 1, 0)


class Series:
    """Slices of one series, as data sets that a test may spoil before they are written."""

    def __init__(self, folder, seed, step=2.0, shape=SHAPE, iop=AXIAL, origin=(-8.0, -9.0, 40.0),
                 patient=None, uid=None):
        self.folder, self.iop, self.origin, self.step = folder, iop, np.array(origin), step
        self.patient, self.uid = patient or "KIND-" + folder, uid or small_dicom.uid(folder)
        self.hu = np.random.RandomState(seed).randint(-1000, 1000, shape).astype(np.int16)
        self.normal = np.cross(iop[:3], iop[3:])
        self.slices = [self.slice(z) for z in range(shape[0])]

    def slice(self, z, name="I"):
        path = os.path.join(self.folder, "%s%02d" % (name, z))
        ds = small_dicom.start(path, CTImageStorage, self.folder, name, z)
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.PatientID, ds.PatientName = self.patient, "Canary^Name"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = small_dicom.uid(self.patient), self.uid
        ds.SeriesNumber, ds.InstanceNumber, ds.AcquisitionNumber = 1, z + 1, 1
        self.place(ds, z)
        ds.ImageOrientationPatient = ["%.6g" % v for v in self.iop]
        ds.PixelSpacing = [0.8, 0.8]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows, ds.Columns = self.hu.shape[1:]
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope = 0, 1
        ds.PixelData = self.hu[z].astype("<i2").tobytes()
        return ds

    def place(self, ds, z, digits=6):
        position = self.origin + z * self.step * self.normal
        ds.ImagePositionPatient = ["%.*f" % (digits, v) for v in position]

    def write(self, root):
        for ds in self.slices:
            path = os.path.join(root, ds.filename)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            ds.save_as(path, write_like_original=False)


def renamed(series, name, **values):
    """The slices of a series in other files, under other SOP UIDs, with other values."""
    for z, ds in enumerate(series.slices):
        ds.filename = os.path.join(series.folder, "%s%02d" % (name, z))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = \
            small_dicom.uid(series.folder, name, z, "again")
        for key, value in values.items():
            setattr(ds, key, value)
    return series


def archive(root):
    """Writes it; returns the volumes that must be stored (HU with z to the head, y to the back, x
    to the left; contrast) and the findings {file: what is left out}."""
    volumes, findings = [], {}

    def sound(folder, seed, **how):
        series = Series(folder, seed, **how)
        volumes.append((series.hu, 0))
        return series

    sound("sound", 1).write(root)

    # Two phases at the same places; two passes half a step apart, which only the order tells.
    sound("phases", 2).write(root)
    renamed(sound("phases", 3), "P", AcquisitionNumber=2).write(root)
    sound("passes", 4).write(root)
    late = renamed(sound("passes", 5, origin=(-8.0, -9.0, 41.0)), "P")
    for z, ds in enumerate(late.slices):
        ds.InstanceNumber = 9 + z
    late.write(root)

    # One acquisition in two blocks is one volume, and so are interleaved names.
    blocks = sound("blocks", 6)
    for z, ds in enumerate(blocks.slices):
        ds.AcquisitionNumber = 1 + z // 4
    blocks.write(root)

    # One series UID for two patients: of each a volume, unless one is a single slice.
    shared = small_dicom.uid("shared")
    sound("first", 7, uid=shared).write(root)
    sound("second", 8, uid=shared).write(root)
    mixed = Series("mixed", 9)
    mixed.slices[7].PatientID = "KIND-OTHER"
    mixed.write(root)
    findings["mixed/I07"] = "series"

    # Copies of all slices under other UIDs.
    twice = sound("twice", 10)
    twice.write(root)
    renamed(twice, "copy").write(root)
    findings["twice/copy00"] = "file"

    # The whole series under another Series Instance UID, and another reconstruction of it.
    sound("again", 40).write(root)
    copy = Series("again", 40)
    renamed(copy, "S", SeriesInstanceUID=small_dicom.uid("again", 2)).write(root)
    kernel = sound("again", 41)
    renamed(kernel, "K", SeriesInstanceUID=small_dicom.uid("again", 3)).write(root)

    # Rounded positions and cosines.
    tenths = sound("tenths", 11, step=0.625)
    for z, ds in enumerate(tenths.slices):
        tenths.place(ds, z, digits=1)
    tenths.write(root)
    turned = np.radians(7)
    iop = (np.cos(turned), np.sin(turned), 0, -np.sin(turned), np.cos(turned), 0)
    cosines = sound("cosines", 12, iop=iop)
    for ds in cosines.slices[::2]:
        ds.ImageOrientationPatient = ["%.3f" % v for v in iop]
    cosines.write(root)

    # Prone, feet first: the voxels are turned. Coronal: left out.
    prone = Series("prone", 13, iop=(-1, 0, 0, 0, -1, 0))
    volumes.append((prone.hu[:, ::-1, ::-1], 0))
    prone.write(root)
    upside = Series("upside", 14, iop=(-1, 0, 0, 0, 1, 0))
    volumes.append((upside.hu[::-1, :, ::-1], 0))
    upside.write(root)
    Series("coronal", 15, iop=(1, 0, 0, 0, 0, -1)).write(root)
    findings["coronal/I00"] = "series"

    # Without Series Instance UIDs: two stacks in one place, which the Series Number tells apart;
    # two of other sizes; one whose acquisitions are numbered slice by slice.
    for k, (number, side) in enumerate(((1, 20), (2, 20), (2, 16), (3, 16))):
        series = sound("stacks", 50 + k, shape=(8, 24, side))
        for z, ds in enumerate(series.slices):
            ds.filename = "stacks/%d-%02d" % (k, z)
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = small_dicom.uid(k, z)
            ds.SeriesNumber, ds.AcquisitionNumber = number, z if number == 3 else 1
            del ds.SeriesInstanceUID
        series.write(root)

    # Pictures that are no slices, in a series that is whole without them.
    pictures = sound("pictures", 16)
    scout = pictures.slice(0, "scout")
    scout.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
    mip, page, text, hollow, colour, palette = (
        pictures.slice(3, n) for n in ("mip", "page", "text", "hollow", "colour", "palette"))
    mip.ImageType = ["DERIVED", "SECONDARY", "AXIAL", "MIP"]
    page.ImageType = ["DERIVED", "SECONDARY", "OTHER", "CT_SOM5 PROT"]
    text.BurnedInAnnotation = "YES"
    del hollow.PixelData, hollow.ImagePositionPatient, hollow.ImageOrientationPatient
    colour.SamplesPerPixel, colour.PhotometricInterpretation = 3, "RGB"
    colour.BitsAllocated, colour.BitsStored, colour.HighBit, colour.PlanarConfiguration = 8, 8, 7, 0
    colour.PixelRepresentation, colour.PixelData = 0, bytes(3 * 20 * 24)
    palette.PhotometricInterpretation = "PALETTE COLOR"
    del palette.RescaleSlope, palette.RescaleIntercept
    pictures.slices += [scout, mip, page, text, hollow, colour, palette]
    pictures.write(root)
    findings.update({"pictures/scout00": "file", "pictures/mip03": "file", "pictures/page03": "file",
                     "pictures/text03": "file", "pictures/hollow03": "file",
                     "pictures/colour03": "file", "pictures/palette03": "file"})

    # Frames of reference: two blocks, a missing one, and one slice in another.
    blocks = Series("frames", 17)
    for z, ds in enumerate(blocks.slices):
        ds.FrameOfReferenceUID = small_dicom.uid("frame", z // 5)
    volumes += [(blocks.hu[:5], 0), (blocks.hu[5:], 0)]
    blocks.write(root)
    lacking = sound("lacking", 18)
    for ds in lacking.slices[2:6]:
        ds.FrameOfReferenceUID = small_dicom.uid("frame", 2)
    lacking.write(root)
    for folder, odd in (("frame", range(4, 5)), ("frame-each", range(8))):
        series = Series(folder, 19)
        for z, ds in enumerate(series.slices):
            ds.FrameOfReferenceUID = small_dicom.uid("frame", z if z in odd else 3)
        series.write(root)
    findings.update({"frame/I04": "series", "frame-each/I00": "series"})

    # A couch that trembles; a first slice that stands apart, and is the one to look at.
    couch = sound("couch", 60, step=1.0)
    for z, ds in enumerate(couch.slices):
        ds.ImagePositionPatient = [-8, -9, "%.2f" % (40 + z + 0.02 * (z % 2))]
    couch.write(root)
    apart = Series("apart", 61)
    apart.place(apart.slices[0], -1.7)
    apart.write(root)
    findings["apart/I00"] = "series"

    # Stored as CT, and no slices in HU.
    zeff, scouts = Series("zeff", 62), Series("scouts", 63)
    for ds in zeff.slices:
        ds.RescaleType = "Z_EFF"
    for ds in scouts.slices[:2]:
        ds.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    scouts.slices = scouts.slices[:2]
    del scouts.slices[1].SeriesInstanceUID
    zeff.write(root)
    scouts.write(root)
    findings.update({"zeff/I00": "file", "scouts/I00": "file", "scouts/I01": "file"})

    # Contrast agents.
    for k, agent in enumerate(("NONE", "none ", "NON-IONIC 300")):
        series = Series("agent%d" % k, 20 + k)
        for ds in series.slices:
            ds.ContrastBolusAgent = agent
        volumes.append((series.hu, int(k == 2)))
        series.write(root)

    # What is left out.
    for folder, victim, spoil in (
            ("gap", 4, lambda s: s.slices.pop(3)),
            ("step", 5, lambda s: [s.place(s.slices[z], 2 * z - 4) for z in range(5, 8)]),
            ("tilt", 7, lambda s: [setattr(s.slices[z], "ImagePositionPatient", [-8, -9 + z, 40 + 2 * z])
                                   for z in range(8)]),
            ("cut", 2, lambda s: setattr(s.slices[2], "PixelData", s.slices[2].PixelData[:-80])),
            ("slope", 6, lambda s: delattr(s.slices[6], "RescaleSlope")),
            ("letters", 1, lambda s: s.slices[1].__delattr__("PixelSpacing")),
            ("conflict", 3, lambda s: s.slices.append(s.slice(2, "J")) or
             setattr(s.slices[-1], "PixelData", s.slices[0].PixelData))):
        series = Series(folder, 30)
        spoil(series)
        series.write(root)
        name = "J02" if folder == "conflict" else "I%02d" % victim
        findings["%s/%s" % (folder, name)] = "series"

    # A link that leads out of the archive is not followed; one that stays in it is a copy.
    outside = Series("outside", 10)
    outside.write(os.path.dirname(root) + "/elsewhere")
    for name in sorted(os.listdir(os.path.dirname(root) + "/elsewhere/outside")):
        os.symlink(f"{os.path.dirname(root)}/elsewhere/outside/{name}", f"{root}/out-{name}")
        findings[f"out-{name}"] = "file"

    for name, content in (("README.txt", b"hello\n"), ("Thumbs.db", bytes(600)), ("empty", b""),
                          ("a.log", b"x"), ("b.log", b"x"), ("c.log", b"x")):
        with open(os.path.join(root, name), "wb") as stream:
            stream.write(content)
        findings[name] = "file"
    return volumes, findings


def check_store(out, volumes):
    found = list(chain.read_store(out + "/store")[0].values())
    for _, _, space in found:
        direction = np.reshape(space["direction"], (3, 3))
        assert np.abs(direction - np.fliplr(np.eye(3))).max() < 0.13, direction
    for hu, contrast in volumes:
        hits = [k for k, v in enumerate(found) if np.array_equal(v[0], hu)]
        assert len(hits) == 1, hits
        assert int(found.pop(hits[0])[2]["contrast"]) == contrast
    assert not found, len(found)


def check_report(out, findings, stored):
    path = out + "/ingest.json"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    report = json.load(open(path))
    got = {f["file"]: f["left_out"] for f in report["findings"] if f["left_out"] != "nothing"}
    # Of two copies that stays whose pseudonym comes first.
    (copied,) = [k for k in got if k.startswith("again/")]
    assert copied in ("again/I00", "again/S00") and got.pop(copied) == "series"
    assert got == findings, {k: (got.get(k), findings.get(k)) for k in set(got) ^ set(findings)}
    assert all(f["reason"] for f in report["findings"])
    (zeff,) = [f for f in report["findings"] if f["file"] == "zeff/I00"]
    assert zeff["files"] == 8 and zeff["ordinary"] and "Rescale Type is not HU" in zeff["reason"]
    assert report["stored"]["volumes"] == stored and report["not_dicom"] == 6
    series = [f for f in findings.values() if f == "series"]
    assert report["left_out"]["series"] == len(series) + 1, report["left_out"]
    text = open(path).read()
    assert "Canary" not in text and "KIND-" not in text
    events = open(out + "/events.jsonl").read()
    for secret in ("Canary", "KIND-", "Thumbs", "I07", "mixed"):
        assert secret not in events, secret
    return report


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-kinds-") as place:
        dicom = place + "/dicom"
        volumes, findings = archive(dicom)
        yaml, bytes_of = place + "/study.yaml", {}
        for ranks in (0, 2):
            out = place + "/run%d" % ranks
            # Where the archive lies is of no consequence.
            os.rename(dicom, place + "/moved%d" % ranks)
            dicom = place + "/moved%d" % ranks
            with open(yaml, "w") as stream:
                stream.write("name: kinds\nout: %s\ningest: {dicom: %s, labels: thresholds, thresholds: "
                             '["bone: 300..3071"], shard_mib: 1}\n' % (out, dicom))
            # The late fault does not show in the headers.
            early = {k: v for k, v in findings.items() if k != "cut/I02"}
            said = chain.run(ranks, "ingest", "--check", yaml)
            check_report(out, early, len(volumes) + 1)
            assert not os.path.exists(out + "/store")
            assert "nothing (" not in said
            assert len(re.findall(r"^  (?:series|file)", said, re.M)) <= 20 and "more: see" in said
            chain.run(ranks, "ingest", yaml)
            report = check_report(out, findings, len(volumes))
            assert [f["file"] for f in report["findings"] if f["late"]] == ["cut/I02"]
            notes = [f["file"] for f in report["findings"] if f["left_out"] == "nothing"]
            assert sorted(notes) == ["frames/I05", "mixed/I07", "passes/I00", "phases/I00", *(
                "stacks/%d-00" % k for k in range(4))], notes
            check_store(out, volumes)
            chain.run(0, "verify", out + "/store")
            bytes_of[ranks] = {k: v for k, v in chain.hashes(out + "/store").items()
                               if k.endswith(".h5")}  # the fingerprint has the path of the archive
        assert bytes_of[0] == bytes_of[2]

        # Policies: gaps are split, tilts are resampled, other orientations are turned.
        said = chain.run(2, "ingest", yaml, "--set", "ingest.gaps=split", "--set", "ingest.tilt=shear",
                         "--set", "ingest.orientation=any")
        report = json.load(open(out + "/ingest.json"))
        left = {f["file"] for f in report["findings"] if f["left_out"] == "series"}
        left = {k for k in left if not k.startswith("again/")}
        assert left == {k for k, v in findings.items() if v == "series"} - {
            "gap/I04", "frame/I04", "apart/I00", "step/I05", "tilt/I07", "coronal/I00"}, left
        assert report["stored"]["volumes"] == len(volumes) + 2 + 2 + 2 + 1 + 1 + 1, report["stored"]
        (note,) = [f["reason"] for f in report["findings"] if f["file"].startswith("tilt/")]
        assert "by 0 and 7 mm" in note, note
        coronal = Series("coronal", 15, iop=(1, 0, 0, 0, 0, -1)).hu
        turned = np.transpose(coronal, (1, 0, 2))[::-1]  # slices go to the back, rows to the feet
        found = chain.read_store(out + "/store")[0].values()
        assert sum(np.array_equal(v[0], turned) for v in found) == 1


main()
