#!/usr/bin/python3
"""`ctaug ingest` with labels from RT Structure Sets and from NIfTI files, against pydicom, nibabel
and numpy: every voxel, the series that a file belongs to, ranks, and faults by name."""

import os
import sys
import tempfile

import nibabel
import numpy as np
import pydicom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import even_odd
import small_dicom
import small_rtstruct
from chain import hashes, read_store
from small_rtstruct import contour, planar

SHAPE = (5, 48, 40)


def study(place, name, dicom, labels, more=""):
    path = os.path.join(place, name + ".yaml")
    with open(path, "w") as stream:
        stream.write("name: labels\nout: %s/%s\ningest: {dicom: %s, labels: %s%s}\n"
                     % (place, name, dicom, labels, more))
    return path, os.path.join(place, name, "store")


def ingest(*words, ranks=0, expect=0):
    return chain.run(ranks, "ingest", *words, expect=expect)


def by_number(volumes):
    """Volumes by the number of the patient: contrast is odd, the origin says the rest."""
    return {int(round(-40.5 - float(v[2]["origin"][0]))): v for v in volumes.values()}


# ---- RT Structure Sets ----

def blob(random, x, y, radius):
    """A star-shaped outline of 40 points."""
    angle = np.arange(40) * 2 * np.pi / 40
    r = radius * random.uniform(0.7, 1.1, 40)
    return [(x + a * np.cos(t), y + a * np.sin(t)) for a, t in zip(r, angle)]


def drawing(number):
    """ROIs of a patient and their label map: 1 aorta, 2 bone, 3 liver, in the order of names."""
    random = np.random.RandomState(number)
    truth = np.zeros(SHAPE, np.uint8)
    rois = []
    for roi, (name, value) in enumerate((("liver", 3), ("bone", 2), ("aorta", 1)), 1):
        contours = []
        for z in range(roi - 1, SHAPE[0] - 1):
            x, y = random.uniform(14, 26), random.uniform(14, 34)
            outlines = [blob(random, x, y, 12), blob(random, x, y, 6), blob(random, x, y, 3),
                        blob(random, 36, 44, 9)]  # a hole, an island in it, a part cut off
            contours += [contour(number, planar(z, o)) for o in outlines]
            truth[z][even_odd.inside(outlines, *SHAPE[1:])] = value
        order = random.permutation(len(contours))
        rois.append((roi, name, [contours[k] for k in order]))
    return rois, truth


def outline_of(number, item):
    """Slice and outline (column, row) of a contour."""
    origin, row, column, normal = small_dicom.geometry(number)
    mm = np.array([float(v) for v in item.ContourData]).reshape(-1, 3) - origin
    dz, dy, dx = small_dicom.SPACING
    return (int(np.round((mm @ normal).mean() / dz)),
            np.stack([mm @ row / dx, mm @ column / dy], axis=1))


def structure_sets(place):
    dicom = os.path.join(place, "rt")
    truth = {}
    for number in range(3):
        folder = os.path.join(dicom, "x%d" % number)
        small_dicom.write_patient(folder, number, SHAPE)  # with a SEG, which is not asked for
        rois, truth[number] = drawing(number)
        # By series; by frame of reference, the series being another; with no series at all.
        refer = [{"frame": "other frame"}, {"series": "gone"}, {"series": None}][number]
        small_rtstruct.write(os.path.join(folder, "RS"), number, rois, implicit=number == 2, **refer)
    found = {}
    for ranks in (1, 3):
        yaml, store = study(place, "rt%d" % ranks, dicom, "rtstruct",
                            ", overlap: order, order: [aorta, bone, liver]")
        said = ingest(yaml, ranks=ranks)
        noted = [line for line in said.split("\n") if "names another frame of reference" in line]
        assert len(noted) == 1 and "x0/RS" in noted[0], said
        assert "voxels lie in two or more structures" in said, said
        found[ranks] = {k: v for k, v in hashes(store).items() if k.endswith(".h5")}
    assert found[1] == found[3]
    volumes, names = read_store(store)
    assert names == ["background", "aorta", "bone", "liver"], names
    volumes = by_number(volumes)
    assert sorted(volumes) == [0, 1, 2]
    for number, labels in truth.items():
        wrong = np.count_nonzero(volumes[number][1] != labels)
        assert wrong == 0, (number, wrong)
        assert 0 < np.count_nonzero(labels == 3) < labels.size / 2

    # The rules of the study hold for ROIs, too; nothing shows the names that it leaves out.
    said = ingest(yaml, "--set", 'ingest.structures=["hepar: liver|Leber"]', "--set",
                  "ingest.order=[]", "--set", "ingest.overlap=smaller-wins")
    assert "2 names in segmentations are not in ingest.structures" in said, said
    chosen, names = read_store(store)
    assert names == ["background", "hepar"], names
    for number in truth:
        rois, _ = drawing(number)
        want = np.zeros(SHAPE, bool)
        for z in range(SHAPE[0]):
            outlines = [outline_of(number, c) for c in rois[0][2]]
            want[z] = even_odd.inside([o for k, o in outlines if k == z], *SHAPE[1:])
        assert np.array_equal(by_number(chosen)[number][1] == 1, want), number

    # Files of a kind that is not asked for cost no labels, whatever they are; those that are asked
    # for cost those of their patient.
    torn = {}
    for name, patient in (("SEG", "x0"), ("RS", "x2")):
        path = os.path.join(dicom, patient, name)
        with open(path, "rb") as stream:
            torn[path] = stream.read()
        with open(path, "wb") as stream:
            stream.write(torn[path][:-30])
    seg = pydicom.dcmread(os.path.join(dicom, "x1", "SEG"))
    seg.Rows = 0
    seg.ReferencedSeriesSequence[0].SeriesInstanceUID = small_dicom.uid(0, "series")
    seg.save_as(os.path.join(dicom, "x0", "SEG"))
    said = ingest(yaml)
    assert "x0/SEG" in said and "x2/RS" in said, said
    assert sorted(by_number(read_store(store)[0])) == [0, 1], said
    for path, content in torn.items():
        with open(path, "wb") as stream:
            stream.write(content)

    # A set that belongs to no series is named, and costs its patient alone.
    path = os.path.join(dicom, "x1", "RS")
    small_rtstruct.write(path, 1, drawing(1)[0], series="gone", frame="gone too")
    said = ingest(yaml)
    assert "x1/RS" in said and "refers to a series that is not here" in said, said
    assert "warning: left out" in said and sorted(by_number(read_store(store)[0])) == [0, 2], said
    ingest(yaml, "--strict", expect=3)
    os.remove(path)
    said = ingest(yaml)
    assert "1 CT series that no RT Structure Set refers to left out" in said and "x1/" in said, said
    assert sorted(by_number(read_store(store)[0])) == [0, 2]
    said = ingest(yaml, "--set", "ingest.unlabelled=keep")
    assert "are stored as unlabelled" in said and len(read_store(store)[0]) == 3
    # Two series of the patient in that frame of reference: there is no telling which is meant.
    rois, labels = drawing(2)
    small_rtstruct.write(os.path.join(dicom, "x2", "RS"), 2, rois, series=None)
    for name in os.listdir(os.path.join(dicom, "x2")):
        ds = pydicom.dcmread(os.path.join(dicom, "x2", name))
        if ds.Modality == "CT":
            ds.SeriesInstanceUID = small_dicom.uid(2, "series", "again")
            ds.SOPInstanceUID = small_dicom.uid(2, name, "again")
            ds.PixelData = ds.PixelData[::-1]  # no copy of the other one
            ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
            ds.save_as(os.path.join(dicom, "x2", name + "-again"))
    said = ingest(yaml)
    assert "x2/RS" in said and "several volumes can be the segmented one" in said, said
    assert sorted(by_number(read_store(store)[0])) == [0], said
    # What is not painted is counted.
    rois[0][2].append(contour(2, planar(2, small_rtstruct.SQUARE), "OPEN_PLANAR"))
    rois[1][2].append(contour(2, planar(40, small_rtstruct.SQUARE)))
    small_rtstruct.write(os.path.join(dicom, "x2", "RS"), 2, rois)
    said = ingest(yaml, ranks=2)
    assert "1 lie on no slice, and 1 are points or not closed" in said, said
    assert np.array_equal(by_number(read_store(store)[0])[2][1], labels)


# ---- NIfTI ----

def affine(number):
    """From indices (x y z) of the CT to RAS, mm."""
    origin, row, column, normal = small_dicom.geometry(number)
    dz, dy, dx = small_dicom.SPACING
    a = np.eye(4)
    a[:3, :3] = np.stack([row * dx, column * dy, normal * dz], axis=1)
    a[:3, 3] = origin
    return np.diag([-1, -1, 1, 1]) @ a


# Type, byte order, order of the axes (x y z of the file among x y z of the CT), reversed axes,
# form, shift in voxels.
VARIANTS = [("u1", "<", (0, 1, 2), (), "s", 0), ("i1", "<", (1, 0, 2), (1,), "q", 0),
            ("i2", ">", (2, 1, 0), (0, 2), "s", 0.4), ("u2", "<", (0, 2, 1), (0,), "both", 0),
            ("i4", ">", (1, 2, 0), (0, 1, 2), "q", 0), ("f4", "<", (2, 0, 1), (2,), "s", -0.4),
            ("f8", ">", (0, 1, 2), (2,), "q", 0), ("u4", "<", (0, 1, 2), (0, 1), "s", 0),
            ("i8", ">", (0, 1, 2), (1,), "s", 0), ("u8", "<", (2, 1, 0), (), "q", 0)]


def write_nifti(path, number, labels, variant):
    """labels: z y x on the grid of the CT."""
    kind, order, axes, back, form, shift = variant
    data = labels.transpose(2, 1, 0)  # x y z
    a = affine(number)
    a[:3, 3] += a[:3, 0] * shift
    a = a @ np.eye(4)[:, [*axes, 3]]
    data = data.transpose(axes)
    for axis in back:
        data = np.flip(data, axis)
        a[:3, 3] += a[:3, axis] * (data.shape[axis] - 1)
        a[:3, axis] *= -1
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.dtype(order + kind))
    image = nibabel.Nifti1Image(np.ascontiguousarray(data), None, header)
    image.set_sform(a if form != "q" else None, code=1 if form != "q" else 0)
    if form == "q":
        image.set_qform(a, code=1)
    elif form == "both":  # the sform counts
        image.set_qform(np.diag([9, 9, 9, 1]), code=1)
    else:
        image.set_qform(None, code=0)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def nifti(place):
    dicom = os.path.join(place, "nii")
    truth = {}
    for number, variant in enumerate(VARIANTS):
        folder = os.path.join(dicom, "x%d" % number)
        _, truth[number] = small_dicom.write_patient(os.path.join(folder, "ct"), number, SHAPE)
        where = ["", "ct", "."][number % 3]  # the folder of the slices, or the one above
        name = ["labels.nii.gz", "Case-7_Seg.nii", "CT_mask.NII.GZ"][number % 3]
        path = os.path.join(folder, where, name)
        write_nifti(path.replace("NII.GZ", "nii.gz"), number, truth[number], variant)
        if path.endswith("NII.GZ"):
            os.rename(path.replace("NII.GZ", "nii.gz"), path)
    found = {}
    for ranks in (1, 3):
        yaml, store = study(place, "nii%d" % ranks, dicom, "nifti")
        ingest(yaml, ranks=ranks)
        found[ranks] = {k: v for k, v in hashes(store).items() if k.endswith(".h5")}
    assert found[1] == found[3]
    volumes, names = read_store(store)
    assert names == ["background", "structure-1", "structure-2", "structure-3"], names
    volumes = by_number(volumes)
    assert sorted(volumes) == list(range(len(VARIANTS)))
    for number, labels in truth.items():
        wrong = np.count_nonzero(volumes[number][1] != labels)
        assert wrong == 0, (VARIANTS[number], wrong)

    # NIfTI files are left alone when others are asked for.
    yaml, store = study(place, "nii-seg", dicom, "seg")
    said = ingest(yaml)
    assert "%d files are neither CT images nor DICOM SEG" % len(VARIANTS) in said, said
    by_name = np.array([0, 3, 2, 1])  # the names of SEG are sorted
    for number, volume in by_number(read_store(store)[0]).items():
        assert np.array_equal(volume[1], by_name[truth[number]])


def binary_masks(place):
    """One file a structure, which is called after it."""
    dicom = os.path.join(place, "binary")
    _, labels = small_dicom.write_patient(os.path.join(dicom, "ct"), 1, SHAPE, seg=False)
    for value, name in enumerate(small_dicom.STRUCTURES, 1):
        write_nifti(os.path.join(dicom, name + ".nii.gz"), 1, (labels == value).astype(np.uint8),
                    VARIANTS[value])
    yaml, store = study(place, "binary-run", dicom, "nifti")
    ingest(yaml)
    volumes, names = read_store(store)
    assert names == ["background", *sorted(small_dicom.STRUCTURES)], names
    value_of = np.array([0] + [names.index(n) for n in small_dicom.STRUCTURES])
    (volume,) = volumes.values()
    assert np.array_equal(volume[1], value_of[labels])


def nifti_faults(place):
    dicom = os.path.join(place, "bad")
    _, labels = small_dicom.write_patient(os.path.join(dicom, "ct"), 0, SHAPE, seg=False)
    path = os.path.join(dicom, "labels.nii")
    yaml, _ = study(place, "bad-run", dicom, "nifti")
    plain = VARIANTS[0]

    def refused(reason, change=None, labels=labels, variant=plain, name=path):
        write_nifti(name, 0, labels, variant)
        if change:
            with open(name, "rb") as stream:
                content = bytearray(stream.read())
            content = change(content) or content
            with open(name, "wb") as stream:
                stream.write(content)
        said = ingest(yaml, expect=3)
        assert os.path.basename(name) in said and reason in said, (reason, said)
        os.remove(name)

    def put(at, value, kind="<i2"):
        def change(content):
            raw = np.array(value, kind).tobytes()
            content[at:at + len(raw)] = raw
        return change

    refused("does not fit the CT", labels=labels[:, :, 1:])
    refused("does not fit the CT", labels=np.repeat(labels, 2, axis=0))
    refused("does not fit the CT", variant=plain[:5] + (0.6,))
    refused("does not fit the CT", put(280, [2.0, 0, 0], "<f4"))
    refused("does not fit the CT", put(280, [0.0] * 12, "<f4"))
    refused("affine is not a number", put(280, np.nan, "<f4"))
    refused("neither sform nor qform", put(254, 0))
    refused("is no label", put(112, [0.5, 0.0], "<f4"))  # slope and intercept
    refused("is no label", put(112, [1.0, -1.0], "<f4"))
    refused("is no label", labels=labels.astype(np.int16) * 200, variant=("i2",) + plain[1:])
    refused("is no label", labels=np.where(labels, np.nan, 0), variant=("f4",) + plain[1:])
    refused("not read as labels", put(70, 128))  # RGB
    refused("not read as labels", put(72, 64))
    refused("more than three dimensions", put(40, [4, *SHAPE[::-1], 2]))
    refused("a side of -1 voxels", put(42, -1))
    refused("a side of 0 voxels", put(42, 0))
    refused("cut off", put(42, [32767, 32767, 32767]))
    refused("voxels at byte", put(108, 1e30, "<f4"))
    refused("voxels at byte", put(108, 0, "<f4"))
    refused("cut off", lambda c: c[:-1])
    refused("cut off", lambda c: c[:100])
    refused("cut off", lambda c: b"\0")
    refused("not a NIfTI-1 single file", put(344, 0))
    refused("not a NIfTI-1 single file", lambda c: b"text " * 100)
    refused("NIfTI-2", put(0, 540, "<i4"))
    refused("cut off or damaged", lambda c: c[:len(c) // 2], name=path + ".gz")
    refused("cut off or damaged", put(40, [0xffff] * 8, "<u2"), name=path + ".gz")


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-labels-") as place:
        structure_sets(place)
        nifti(place)
        binary_masks(place)
        nifti_faults(place)


main()
