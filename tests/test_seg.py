#!/usr/bin/python3
"""`ctaug ingest` of segmentations by the keys of the study, against pydicom and numpy: which
structures, under which names, who has a voxel that several mark; and that no label gets out."""

import glob
import json
import os
import sys
import tempfile

import numpy as np
import pydicom
from pydicom.uid import generate_uid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom
from chain import read_store

SHAPE = (5, 32, 40)
SECRET = "QUODLIBET"


def study(place, name, dicom, *lines):
    path = "%s/%s.yaml" % (place, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(["name: seg", "out: %s/%s" % (place, name), "ingest:",
                           "  dicom: " + dicom, *("  " + line for line in lines)]) + "\n")
    return path


def ingest(place, name, dicom, *lines, ranks=0, expect=0):
    """What was said, the label map of each patient by number, the names, and the event."""
    said = chain.run(ranks, "ingest", study(place, name, dicom, *lines), expect=expect)
    if expect:
        assert not os.path.exists("%s/%s/store/manifest.json" % (place, name))
        return said, None, None, None
    volumes, names = read_store("%s/%s/store" % (place, name))
    by_patient = {}
    for number in range(9):
        origin = small_dicom.geometry(number)[0]
        for _, labels, space in volumes.values():
            if np.allclose(space["origin"], origin):
                by_patient[number] = labels
    assert len(by_patient) == len(volumes)
    with open("%s/%s/events.jsonl" % (place, name), encoding="utf-8") as f:
        events = [json.loads(line) for line in f]
    (event,) = [e for e in events if "label_voxels" in e]
    return said, by_patient, names, event


def archive(place):
    """Patient 0: two SEG objects that overlap. Patient 1: one, with a name in a label. Returns the
    masks of patient 0 by label, and the label map of patient 1."""
    dicom = place + "/dicom"
    small_dicom.write_patient(dicom + "/0", 0, SHAPE, seg=False)
    masks = {name: np.zeros(SHAPE, bool) for name in ("liver", "Vessel", "lesion")}
    masks["liver"][1:4, 5:25, 6:30] = True
    masks["Vessel"][:, 10:14, 3:34] = True
    masks["lesion"][2:4, 11:20, 12:16] = True
    for k, (name, mask) in enumerate(masks.items()):
        path = dicom + "/0/" + ("z", "y", "x")[k]
        small_dicom.write_seg(path, 0, mask.astype(np.uint8), structures=(name,))
        ds = pydicom.dcmread(path)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(
            entropy_srcs=["seg", name])
        ds.save_as(path)
    os.makedirs(dicom + "/1")
    _, labels = small_dicom.write_patient(dicom + "/1/ct", 1, SHAPE, seg=False)
    small_dicom.write_seg(dicom + "/1/seg", 1, labels,
                          structures=("liver", "bone of Mrs. " + SECRET, "AORTA"))
    return dicom, masks, labels


def named(names, labels):
    return np.array(names)[labels]


def joined(masks, order):
    """The first of `order` has the voxel; returns names and the number of overlaps."""
    out = np.full(SHAPE, "background", dtype="<U40")
    for name in reversed(order):
        out[masks[name]] = name
    return out, int((sum(m.astype(int) for m in masks.values()) > 1).sum())


def overlaps(place, dicom, masks):
    by_size = sorted(masks, key=lambda name: masks[name].sum())
    assert by_size == ["lesion", "Vessel", "liver"]
    stores = []
    for ranks in (0, 2, 3):
        said, found, names, event = ingest(place, "smaller-%d" % ranks, dicom, ranks=ranks)
        want, count = joined(masks, by_size)
        assert names == ["background", "AORTA", "Vessel", "lesion", "liver", "structure-1"], names
        assert (named(names, found[0]) == want).all()
        assert count > 100 and event["overlapped_voxels"] == count
        assert "%d voxels lie in two or more structures" % count in said, said
        assert "1 names in segmentations are neither" in said and SECRET not in said, said
        stores.append(chain.hashes("%s/smaller-%d/store" % (place, ranks)))
    assert stores[0] == stores[1] == stores[2]
    for root in glob.glob(place + "/smaller-*/**/*", recursive=True):
        if os.path.isfile(root):
            with open(root, "rb") as f:
                assert SECRET.encode() not in f.read(), root

    said, found, names, _ = ingest(place, "order", dicom, "overlap: order",
                                   'order: ["liver", "Vesel"]')
    assert (named(names, found[0]) == joined(masks, ["liver", "lesion", "Vessel"])[0]).all()
    assert "ingest.order: no structure is 'Vesel'" in said, said

    # A refused overlap costs the labels of its patient alone.
    said, found = ingest(place, "refuse", dicom, "overlap: refuse")[:2]
    assert len(found) == 1, found
    assert "%d voxels lie in two or more structures, such as" % joined(masks, by_size)[1] in said
    ingest(place, "order-of-none", dicom, "overlap: order", expect=2)


def maps(place, dicom, masks, labels):
    said, found, names, event = ingest(
        place, "map", dicom, "structures:", '  - "organ: liver|Vessel"',
        '  - "bone: bone of Mrs. %s | Bone"' % SECRET, '  - "spleen: Milz"', "overlap: refuse")
    assert names == ["background", "bone", "organ"], names
    assert (named(names, found[0]) == np.where(masks["liver"] | masks["Vessel"], "organ",
                                               "background")).all()
    # small_dicom's label k is the k-th structure.
    assert (named(names, found[1]) == np.array(["background", "organ", "bone", "background"])
            [labels]).all()
    assert event["overlapped_voxels"] == 0
    assert "2 names in segmentations are not in ingest.structures: left out" in said, said
    assert "ingest.structures: no structure is 'spleen'" in said, said
    said = ingest(place, "map-twice", dicom, 'structures: ["a: liver", "b: liver"]', expect=2)[0]
    assert "map-twice.yaml:5: ingest.structures: entry 2" in said, said


def fractions(place):
    """Shares of 0..250 of a maximum of 250, by thresholds of the study."""
    dicom = place + "/fractions"
    small_dicom.write_patient(dicom + "/2", 2, SHAPE, seg=False)
    share = np.random.RandomState(1).randint(0, 251, SHAPE).astype(np.uint8)
    share[:, 0, :3] = 124, 125, 126
    small_dicom.write_seg(dicom + "/2/seg", 2, np.ones(SHAPE, np.uint8), structures=("liver",))
    ds = pydicom.dcmread(dicom + "/2/seg")
    ds.SegmentationType, ds.SegmentationFractionalType = "FRACTIONAL", "OCCUPANCY"
    ds.MaximumFractionalValue = 250
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 8, 8, 7
    ds.PixelData = share.tobytes()
    ds.save_as(dicom + "/2/seg")
    for key, least in (("", 125), ("fractional: 0.2", 50), ("fractional: 1", 250),
                       ("fractional: 0", 1)):
        found = ingest(place, "fractions-%d" % least, dicom, *([key] if key else []))[1]
        assert (found[2] == (share >= least)).all(), least


def too_many(place):
    """Segmentations whose names do not fit into a store are left out, and cost no others."""
    dicom = place + "/many"
    many = ["rib %d" % k for k in range(250)]
    for number, structures in ((0, ("liver", "bone", "lesion", *many)), (1, small_dicom.STRUCTURES),
                               (2, ("spleen", "bone", "lesion", "heart", "lung"))):
        labels = small_dicom.write_patient(dicom + "/%d" % number, number, SHAPE, seg=False)[1]
        small_dicom.write_seg(dicom + "/%d/seg" % number, number, labels, structures=structures)
    for ranks in (0, 2):
        said, found, names, _ = ingest(place, "many-%d" % ranks, dicom, ranks=ranks)
        assert sorted(found) == [1, 2] and "spleen" in names and "rib 7" not in names, names
        assert "its 253 names of structures" in said, said
    # Five names fewer: all fit. By a rule they fit, too.
    labels = small_dicom.voxels(0, SHAPE)[1]
    small_dicom.write_seg(dicom + "/0/seg", 0, labels,
                          structures=("liver", "bone", "lesion", *many[:-5]))
    said, found, names, _ = ingest(place, "fitting", dicom)
    assert sorted(found) == [0, 1, 2] and len(names) <= 256, names
    small_dicom.write_seg(dicom + "/0/seg", 0, labels, structures=("liver", "bone", "lesion", *many))
    assert sorted(ingest(place, "ruled", dicom, "structures:", '  - "bone: bone"')[1]) == [0, 1, 2]


def tilted(place):
    """The slices of a tilted gantry, shifted by a pixel each: the straight grid is exact, and so
    are segmentations that lie by their positions."""
    dicom = place + "/tilted"
    hu, labels = small_dicom.write_patient(dicom + "/2", 2, SHAPE)
    shift = small_dicom.SPACING[2] * np.array(small_dicom.geometry(2)[1])
    normal = np.array(small_dicom.geometry(2)[3])
    origin = small_dicom.geometry(2)[0]

    def moved(position):
        z = np.rint((np.array(position, float) - origin) @ normal / small_dicom.SPACING[0])
        return ["%.8f" % v for v in np.array(position, float) + z * shift]

    for path in glob.glob(dicom + "/2/*"):
        ds = pydicom.dcmread(path)
        if "ImagePositionPatient" in ds:
            ds.ImagePositionPatient = moved(ds.ImagePositionPatient)
        for frame in ds.get("PerFrameFunctionalGroupsSequence", []):
            plane = frame.PlanePositionSequence[0]
            plane.ImagePositionPatient = moved(plane.ImagePositionPatient)
        ds.save_as(path)
    ingest(place, "tilted-refused", dicom, expect=3)
    chain.run(0, "ingest", study(place, "sheared", dicom, "tilt: shear"))
    (found,) = read_store(place + "/sheared/store")[0].values()
    depth, rows, columns = SHAPE
    want_hu = np.full((depth, rows, columns + depth - 1), -1024, np.int16)
    want = np.zeros(want_hu.shape, np.uint8)
    place_of = {1: 3, 2: 2, 3: 1}  # "aorta", "bone", "liver"
    for z in range(depth):
        want_hu[z, :, z:z + columns] = hu[z]
        want[z, :, z:z + columns] = np.vectorize(lambda v: place_of.get(v, 0))(labels[z])
    for got, expected in ((found[0], want_hu), (found[1], want)):
        sides = [np.flip(expected, axes) for axes in ((), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2),
                                                      (0, 1, 2))]
        assert any(np.array_equal(got, side) for side in sides)


def copied(place):
    """A segmentation without reference to its series, which is there twice."""
    dicom = place + "/copied"
    labels = small_dicom.write_patient(dicom + "/2", 2, SHAPE)[1]
    ds = pydicom.dcmread(dicom + "/2/SEG")
    del ds.ReferencedSeriesSequence
    ds.save_as(dicom + "/2/SEG")
    os.makedirs(dicom + "/again")
    for path in glob.glob(dicom + "/2/I*"):
        ds = pydicom.dcmread(path)
        ds.SeriesInstanceUID = generate_uid(entropy_srcs=["again"])
        ds.SOPInstanceUID = generate_uid(entropy_srcs=["again", path])
        ds.save_as(dicom + "/again/" + os.path.basename(path))
    for ranks in (0, 2):
        said, found, _, _ = ingest(place, "copied-%d" % ranks, dicom, ranks=ranks)
        assert np.count_nonzero(found[2]) == np.count_nonzero(labels)
        assert "a copy of another series" in said and "several volumes" not in said, said
    # Another reconstruction is no copy: then nobody knows.
    for path in glob.glob(dicom + "/again/I*"):
        ds = pydicom.dcmread(path)
        ds.PixelData = bytes(len(ds.PixelData))
        ds.save_as(path)
    assert "several volumes can be" in ingest(place, "not-copied", dicom, expect=3)[0]


def frames(place):
    """A series in two frames of reference is two volumes; that of the segmentation says which."""
    dicom = place + "/frames"
    labels = small_dicom.write_patient(dicom + "/2", 2, (6, 32, 40), seg=False)[1]
    other = generate_uid(entropy_srcs=["other"])
    for path in glob.glob(dicom + "/2/I*"):
        ds = pydicom.dcmread(path)
        if ds.ImagePositionPatient[2] > 200 + 2.5 * 2.5:
            ds.FrameOfReferenceUID = other
            ds.save_as(path)
    labels[:3] = 0
    small_dicom.write_seg(dicom + "/2/SEG", 2, labels)
    ds = pydicom.dcmread(dicom + "/2/SEG")
    ds.FrameOfReferenceUID = other
    ds.save_as(dicom + "/2/SEG")
    chain.run(0, "ingest", study(place, "two-frames", dicom))
    (found,) = read_store(place + "/two-frames/store")[0].values()
    assert found[0].shape[0] == 3
    assert np.count_nonzero(found[1]) == np.count_nonzero(labels)


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-seg-") as place:
        dicom, masks, labels = archive(place)
        overlaps(place, dicom, masks)
        maps(place, dicom, masks, labels)
        fractions(place)
        too_many(place)
        tilted(place)
        copied(place)
        frames(place)


main()
