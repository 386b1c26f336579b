#!/usr/bin/python3
"""`generate.masks`: synthetic volumes on masks of one's own, in NIfTI, SEG and RT Structure Sets,
against numpy: every label at the working size, geometry, the tissue around, ranks, faults by name.
"""
import hashlib
import json
import os
import shutil
import sys

import nibabel
import numpy as np
import pydicom

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import faulty_decoder
import small_dicom
import small_rtstruct
from chain import read_store
from small_rtstruct import contour, planar

SIZE = 32  # of the working slices
SECRET = "QUODLIBET"


def working(labels):
    """A label map at the working size: in the middle of a square, then the most frequent label of
    each block, of equally frequent ones the largest."""
    side = max(labels.shape[1:])
    before = [(side - n) // 2 for n in labels.shape[1:]]
    square = np.pad(labels, [(0, 0)] + [(b, side - n - b)
                                        for b, n in zip(before, labels.shape[1:])])
    assert side % SIZE == 0
    n = side // SIZE
    blocks = square.reshape(len(labels), SIZE, n, SIZE, n).swapaxes(2, 3)
    blocks = blocks.reshape(len(labels), SIZE, SIZE, n * n)
    counts = np.stack([(blocks == k).sum(-1) for k in range(labels.max() + 1)])
    return len(counts) - 1 - counts[::-1].argmax(0)


def shapes(shape, values, seed):
    """A label map of ellipsoids of these values, which the blocks of working() cut."""
    random = np.random.RandomState(seed)
    z, y, x = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    labels = np.zeros(shape, np.uint8)
    for value in values:
        cz, cy, cx = random.uniform(-0.4, 0.4, 3)
        labels[((z - cz) / 0.8) ** 2 + ((y - cy) / 0.4) ** 2 + ((x - cx) / 0.3) ** 2 < 1] = value
    return labels


def save_nifti(path, labels, spacing, turn=False):
    """Labels z y x in LPS with slices to the head; turn: the file has other axes."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = 20, 30, -40
    image = nibabel.Nifti1Image(labels.transpose(2, 1, 0), affine)
    if turn:  # y x z, z downwards
        image = image.as_reoriented(np.array([[1, 1], [0, -1], [2, -1]]))
    nibabel.save(image, path)


def make_masks(root, names):
    """The folder of masks; {file that makes a volume: (label map at its own size, spacing z y x)}.
    """
    index = {name: k for k, name in enumerate(names)}
    truth = {}
    # A label map with values of the store, not square and on other axes.
    labels = shapes((6, 48, 64), (index["liver"], index["spleen"], index["bone"]), 1)
    save_nifti(f"{root}/a/case_labels.nii.gz", labels, (4, 1.5, 1.5), turn=True)
    truth["a/case_labels.nii.gz"] = labels, (4, 1.5, 1.5)
    # A folder with a file for each structure; one that the store does not have.
    labels = shapes((5, 64, 64), (index["liver"], index["aorta"]), 2)
    for name in ("liver", "aorta"):
        save_nifti(f"{root}/b/{name}.nii.gz", (labels == index[name]).astype(np.uint8), (3, 1, 1))
    save_nifti(f"{root}/b/{SECRET}.nii.gz", (labels == 0).astype(np.uint8), (3, 1, 1))
    truth["b/aorta.nii.gz"] = labels, (3, 1, 1)
    # A SEG alone: its frames are those with marks, it has no aorta, and a name in capitals.
    own = shapes((7, 64, 64), (1, 2), 3)
    own[3][own[3] == 2] = 0
    os.makedirs(f"{root}/c")
    small_dicom.SPACING = (2.5, 0.75, 0.75)
    small_dicom.write_seg(f"{root}/c/SEG", 0, own, structures=("LIVER", "bone"))
    marked = own.any((1, 2)).nonzero()[0]
    own = own[marked[0]:marked[-1] + 1]
    truth["c/SEG"] = np.array([0, index["liver"], index["bone"]])[own], small_dicom.SPACING
    # A series with a SEG and a structure set.
    hu, _ = small_dicom.voxels(2, (4, 64, 64))
    os.makedirs(f"{root}/d")
    small_dicom.write_ct(f"{root}/d", 2, hu, 1)
    liver = np.zeros((4, 64, 64), np.uint8)
    liver[1:3, 10:30, 12:40] = 1
    small_dicom.write_seg(f"{root}/d/SEG", 2, liver, structures=("liver",))
    square = [(39.6, 39.6), (56.4, 39.6), (56.4, 60.4), (39.6, 60.4)]
    small_rtstruct.write(f"{root}/d/RS", 2,
                         [(1, "aorta", [contour(2, planar(z, square)) for z in range(4)])])
    both = liver * index["liver"]
    both[:, 40:61, 40:57] = index["aorta"]
    truth["d/RS"] = both, small_dicom.SPACING
    return truth, hu


def spoil(root):
    """Files at fault, and what is said of each."""
    os.makedirs(f"{root}/x/y")
    small_rtstruct.write(f"{root}/x/RS", 7, [(1, "liver", [contour(7, planar(
        z, [(3, 3), (20, 3), (20, 20)])) for z in range(3)])])
    with open(f"{root}/a/case_labels.nii.gz", "rb") as f:
        whole = f.read()
    with open(f"{root}/x/torn_labels.nii.gz", "wb") as f:
        f.write(whole[:len(whole) // 2])
    with open(f"{root}/x/text.nii", "w") as f:
        f.write("no NIfTI" * 100)
    save_nifti(f"{root}/x/flat_labels.nii.gz", shapes((4, 32, 32), (1,), 1), (2, 1, 1.5))
    save_nifti(f"{root}/x/y/liver.nii.gz", shapes((4, 32, 32), (2,), 1), (2, 1, 1))
    save_nifti(f"{root}/x/none_labels.nii.gz", np.full((4, 32, 32), 200, np.uint8), (2, 1, 1))
    image = nibabel.load(f"{root}/b/liver.nii.gz")
    image.affine[0, 1] = 0.3
    nibabel.save(nibabel.Nifti1Image(image.get_fdata().astype(np.uint8), image.affine),
                 f"{root}/x/skew_labels.nii.gz")
    ds = pydicom.dcmread(f"{root}/c/SEG")
    del ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence
    ds.save_as(f"{root}/x/SEG")
    ds = pydicom.dcmread(f"{root}/c/SEG")
    position = ds.PerFrameFunctionalGroupsSequence[1].PlanePositionSequence[0]
    position.ImagePositionPatient[2] = position.ImagePositionPatient[2] + 1
    ds.save_as(f"{root}/x/uneven")
    with open(f"{root}/x/README", "w") as f:
        f.write("not a mask")
    return {"x/RS": "a series that is not here", "x/torn_labels.nii.gz": "cut off", "x/text.nii": "not a NIfTI",
            "x/flat_labels.nii.gz": "not square", "x/y/liver.nii.gz": "other values",
            "x/none_labels.nii.gz": "no voxel", "x/skew_labels.nii.gz": "right angles",
            "x/SEG": "PlanePositionSequence", "x/uneven": "uneven"}


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def provenance(store):
    with open(f"{store}/manifest.json") as f:
        return json.load(f)["detail"]["provenance"]


def check_store(store, root, truth, names):
    """Every label and the geometry; which volume is on which mask."""
    volumes, found = read_store(store)
    about = provenance(store)
    assert found == names and len(volumes) == len(about["volumes"])
    by_hash = {sha256(f"{root}/{name}"): name for name in truth}
    painted = []
    for told in about["volumes"]:
        (name,) = {by_hash[h] for h in told["mask"] if h in by_hash}
        hu, labels, space = volumes[told["id"]]
        own, spacing = truth[name]
        want = working(own)
        assert np.array_equal(labels, want), (name, np.count_nonzero(labels != want))
        assert hu.shape == want.shape and hu.std() > 50
        scale = max(own.shape[1:]) / SIZE
        assert np.allclose(space["spacing"], (spacing[0], spacing[1] * scale, spacing[2] * scale))
        assert np.allclose(space["direction"].ravel()[[2, 4, 6]], 1)
        assert told["image"] == ("series" if name == "d/RS" else "source"), told
        assert len(told["mask"]) == {"b": 3, "d": 2}.get(name[0], 1)
        painted.append(name)
    return painted, volumes, about


def generate(place, first, name, ranks, *words, expect=0, env=None):
    study, out = place.study(name)
    if not os.path.exists(out):
        os.makedirs(out)
        for folder in ("store", "checkpoints"):
            shutil.copytree(f"{first}/{folder}", f"{out}/{folder}")
    said = chain.run(ranks, "generate", study, *words, expect=expect, env=env)
    return said, out


def stores(out):
    return {name: h for name, h in chain.hashes(out).items()
            if name.startswith("synthetic") and name.endswith(".h5")}


def air_is_where_the_series_has_it(root, hu, volumes, about):
    """The painter `gaussian` divides the background by the image: around the structures its volume
    follows the slices of the series, and elsewhere those of the source, laid upon the mask."""
    for told in about["volumes"]:
        painted, labels, _ = volumes[told["id"]]
        if told["image"] == "source":
            outside = labels == 0
            assert (painted[outside] < -500).any() and (painted[outside] > -200).any(), told
            continue
        real = hu.reshape(4, SIZE, 2, SIZE, 2).mean((2, 4))
        air, soft = (labels == 0) & (real < -800), (labels == 0) & (real > -50) & (real < 100)
        assert air.sum() > 500 and soft.sum() > 200
        assert painted[air].mean() < -800 and painted[soft].mean() > -100


def whom_networks_are_tested_on(place, first):
    """Segmentations of the archive, as masks: those of validation and test patients are left out,
    with a NIfTI mask beside their series."""
    trained = {v["source"].rpartition("-")[0] for v in provenance(f"{first}/synthetic")["volumes"]}
    root = f"{place.root}/of-archive"
    kept, left = [], []
    os.makedirs(root)
    for k, (path, _, patient) in enumerate(chain.segmentations(place.dicom)):
        (kept if patient[:-1] in trained else left).append(f"{root}/{k}.dcm")
        shutil.copy(path, f"{root}/{k}.dcm")
        if f"{root}/{k}.dcm" in left and not os.path.exists(f"{root}/beside"):
            shutil.copytree(os.path.dirname(path), f"{root}/beside")
            os.remove(f"{root}/beside/{os.path.basename(path)}")
            save_nifti(f"{root}/beside/liver.nii", np.ones((8, 32, 32), np.uint8), (5, 12, 12))
    assert kept and left
    left.append(f"{root}/beside/liver.nii")
    words = "--set", f"generate.masks={root}", "--set", "generate.painters=[gaussian]"
    said, out = generate(place, first, "tested", 2, *words)
    for path in left:
        assert f"left out: {path}: of a patient in the validation or the test part" in said, said
    hashes = {h for v in provenance(f"{out}/synthetic-gaussian")["volumes"] for h in v["mask"]}
    assert hashes == {sha256(path) for path in kept}
    said, _ = generate(place, first, "tested", 2, *words, "--set",
                       f"ingest.key={place.root}/no.key")
    assert "would not be noticed" in said and not os.path.exists(f"{place.root}/no.key"), said


def the_nearest_volume_is_laid_upon_a_mask(place, first):
    """The map of a training volume, moved in its slices and with an empty slice before it, is most
    like that volume; the tissue around is that of the volume, moved alike."""
    real, names = read_store(f"{first}/store")
    root = f"{place.root}/moved-map"
    source = provenance(f"{first}/synthetic")["volumes"][0]["source"]
    hu, labels, _ = real[source]
    down, left = 3, 2
    assert not labels[:, -down:].any() and not labels[:, :, :left].any()
    moved = np.concatenate([np.zeros_like(labels[:1]), np.roll(labels, (down, -left), (1, 2))])
    save_nifti(f"{root}/own_labels.nii.gz", moved, (5, 12, 12))
    _, out = generate(place, first, "nearest", 2, "--set", f"generate.masks={root}", "--set",
                      "generate.painters=[gaussian]")
    store = f"{out}/synthetic-gaussian"
    for told in provenance(store)["volumes"]:
        assert told["source"] == source and told["source_slices"] == [0, *range(len(labels))], told
        assert told["matrix"] == list(labels.shape[1:]), told
        painted, found, space = read_store(store)[0][told["id"]]
        assert np.array_equal(found, moved) and space["contrast"] == real[source][2]["contrast"]
        image = np.roll(hu, (down, -left), (1, 2))
        inside = np.zeros(image.shape, bool)
        inside[:, down:, :-left] = True
        inside &= moved[1:] == 0
        agree = ((painted[1:] < -500) == (image < -500))[inside].mean()
        plain = ((painted[1:] < -500) == (hu < -500))[inside].mean()
        assert agree > 0.97 and plain < agree - 0.03, (agree, plain)
        assert (painted[0] < -500).any() and (painted[0] > -200).any()  # the first slice again


def a_mask_that_crashes_costs_its_volume(place, first, root, truth, names):
    """The voxels of masks are read in the decoder, a SEG and a structure set of one volume
    together: if it dies on one of them, that one is named, and the other volumes stay."""
    spoilt = f"{place.root}/spoilt"
    shutil.copytree(root, spoilt)
    os.rename(f"{spoilt}/d/RS", f"{spoilt}/d/late-crash")
    _, out = place.study("crashed")
    said, _ = generate(place, first, "crashed", 2, "--set", f"generate.masks={spoilt}", "--set",
                       "generate.painters=[gaussian]",
                       env={"LD_PRELOAD": faulty_decoder.build(place.root),
                            "LATE": f"{out}/maps.parts-*"})
    assert f"left out: {spoilt}/d/late-crash: cannot be decoded: the decoder crashed" in said, said
    assert said.count("left out: /") == 1, said
    others = [name for name in truth if name != "d/RS"]
    assert check_store(f"{out}/synthetic-gaussian", root, truth, names)[0] == others


def main():
    with chain.Place() as place:
        study, out = place.study("first")
        chain.run(2, "ingest", study)
        chain.run(2, "train", study)
        names = read_store(f"{out}/store")[1]
        root = f"{place.root}/masks"
        truth, hu = make_masks(root, names)
        words = ("--set", f"generate.masks={root}", "--set",
                 "generate.painters=[diffusion, gaussian]")

        said, one = generate(place, out, "one", 1, *words)
        assert "masks of 4 volumes, 1 beside their series" in said, said
        assert f"left out: {SECRET}" in said, said
        painted, volumes, about = check_store(f"{one}/synthetic-gaussian", root, truth, names)
        assert painted == list(truth)  # 3 are asked for; each is painted once
        air_is_where_the_series_has_it(root, hu, volumes, about)
        assert check_store(f"{one}/synthetic", root, truth, names)[0] == list(truth)
        good = stores(one)
        for ranks in (2, 3):
            _, other = generate(place, out, f"ranks-{ranks}", ranks, *words)
            assert stores(other) == good, ranks
        assert "current" in generate(place, out, "one", 2, *words)[0]
        text = "".join(open(f"{one}/{name}").read()
                       for name in ("events.jsonl", "synthetic/manifest.json"))
        assert SECRET not in text and root not in text and "case_labels" not in text

        # More volumes than masks: in turn, with other noise.
        _, more = generate(place, out, "more", 2, *words, "--set", "generate.volumes=6")
        painted, volumes, _ = check_store(f"{more}/synthetic", root, truth, names)
        assert painted == [*truth, *list(truth)[:2]]
        assert not np.array_equal(volumes["synthetic00000-0"][0], volumes["synthetic00004-0"][0])

        # Other masks, another store.
        moved = f"{place.root}/moved"
        shutil.copytree(root, moved)
        said, _ = generate(place, out, "one", 1, "--set", f"generate.masks={moved}", *words[2:])
        assert said.count("is current") == 2, said
        save_nifti(f"{moved}/b/liver.nii.gz", shapes((5, 64, 64), (1,), 9), (3, 1, 1))
        said, _ = generate(place, out, "one", 1, "--set", f"generate.masks={moved}", *words[2:])
        assert "is current" not in said, said

        # Rules of the study name structures, and change no store.
        said, ruled = generate(place, out, "ruled", 1, *words[:2], "--set",
                               "generate.painters=[gaussian]", "--set",
                               f'ingest.structures=["liver: {SECRET}|liver", "aorta: aorta"]',
                               "--set", "ingest.overlap=order", "--set", "ingest.order=[aorta]")
        told = provenance(f"{ruled}/synthetic-gaussian")["volumes"]
        (volume,) = [v for v in told if sha256(f"{root}/b/liver.nii.gz") in v["mask"]]
        labels = read_store(f"{ruled}/synthetic-gaussian")[0][volume["id"]][1]
        assert (labels == names.index("aorta")).any() and (labels > 0).all()

        a_mask_that_crashes_costs_its_volume(place, out, root, truth, names)
        chain.run(2, "generate", study)
        the_nearest_volume_is_laid_upon_a_mask(place, out)
        whom_networks_are_tested_on(place, out)

        # The whole chain takes the store; one with masks is not one without.
        chain.run(2, "run", study, *words[:2])
        report = open(f"{out}/report/report.html").read()
        assert "masks of its user" in report and SECRET not in report and root not in report
        said = chain.run(1, "evaluate", study, expect=3)
        assert "generated from another store or study" in said, said
        chain.run(1, "verify", out)

        faults = spoil(root)
        said, bad = generate(place, out, "bad", 2, *words)
        for name, why in faults.items():
            (line,) = [line for line in said.splitlines() if f"{root}/{name}: " in line]
            assert "left out" in line and why in line, (name, line)
        assert f"{root}/x/README: not a DICOM file" in said, said
        assert stores(bad) == good
        said, _ = generate(place, out, "strict", 2, *words, "--strict", expect=3)
        assert "because of --strict" in said, said
        said, _ = generate(place, out, "none", 2, "--set", f"generate.masks={root}/x", expect=3)
        assert "none of the masks can be used" in said, said
        said, _ = generate(place, out, "gone", 1, "--set", f"generate.masks={root}/z", expect=3)
        assert f"{root}/z" in said, said
        said, _ = generate(place, out, "mixed", 1, *words, "--set", "generate.mixture=0.5",
                           expect=2)
        assert "painted as they are" in said, said
        said, _ = generate(place, out, "inside", 1, "--set", f"generate.masks={out}/store",
                           "--set", f"out={out}", expect=2)
        assert "contains generate.masks" in said, said


main()
