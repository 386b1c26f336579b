"""In-painting: structures sampled into labelled training volumes. Outside of them the slices are
the real ones, inside they are not; labels change inside the host alone; the same bytes on any
number of ranks and after a kill; the other stores do not change; exports say whom they show; an arm
is trained on them."""
import glob
import json
import os
import shutil
import signal

import numpy as np
import pydicom

import chain
from interruption import interrupt

LOW, HIGH = -200, 300
SET = ["--set", f"data.window=[{LOW}, {HIGH}]", "--set", "generate.volumes=6", "--set",
       'generate.insert=["lesion in liver: 0.7 x 1..2"]', "--set", "train.reproducible=on", "--set",
       "generate.steps=6", "--set", "generate.batch=3"]
ON = ["--set", "generate.inpaint=on"]


def told(out):
    with open(f"{out}/synthetic-inpaint/manifest.json") as f:
        return json.load(f)["detail"]["provenance"]


def surroundings_are_real(out):
    real, names = chain.read_store(f"{out}/store")
    made, made_names = chain.read_store(f"{out}/synthetic-inpaint")
    lesion, liver = names.index("lesion"), names.index("liver")
    assert made_names == names and told(out)["inpainted"] is True and 0 < len(made) < 6
    painted = 0
    for volume in told(out)["volumes"]:
        hu, labels, _ = made[volume["id"]]
        own, truth, _ = real[volume["source"]]
        own = np.clip(own, LOW, HIGH)
        changed = labels != truth
        assert volume["id"].startswith("inpainted") and volume["inserted"]["lesion in liver"] > 0
        assert changed.any() and set(truth[changed]) == {liver} and set(labels[changed]) == {lesion}
        # Five pixels around a changed one are not all real; the others are, to a HU.
        near = np.zeros_like(changed)
        for y in range(-5, 6):
            for x in range(-5, 6):
                near |= np.roll(changed, (y, x), axis=(1, 2))
        assert np.abs(hu[~near].astype(int) - own[~near]).max() <= 1
        unlike = np.abs(hu[changed].astype(int) - own[changed])
        painted += unlike.sum()
    assert painted > 0


def latents(place, store):
    """A model of latents keeps the surroundings, too; the same bytes on 1 and 2 ranks."""
    words = [w for setting in (
        "model.space=latent", "generate.appearance=0", "autoencode.steps=24", "autoencode.batch=8",
        "autoencode.base=8", "autoencode.blocks=1", "autoencode.patch=16", "train.copies=1")
             for w in ("--set", setting)]
    study, out = place.study("latent")
    shutil.copytree(store, f"{out}/store")
    for verb in ("autoencode", "train", "generate"):
        chain.run(2, verb, study, *SET, *ON, *words)
    surroundings_are_real(out)
    one = chain.hashes(f"{out}/synthetic-inpaint")
    shutil.rmtree(f"{out}/synthetic-inpaint")
    chain.run(1, "generate", study, *SET, *ON, *words)
    assert chain.hashes(f"{out}/synthetic-inpaint") == one


def main():
    with chain.Place(5) as place:
        study, out = place.study("first")
        for stage in ("ingest", "train"):
            chain.run(1, stage, study, *SET)
        chain.run(1, "generate", study, *SET)
        before = chain.hashes(f"{out}/synthetic")
        said = chain.run(1, "generate", study, *SET, *ON)
        assert "synthetic is current" in said and "in-painted volumes by painter diff" in said, said
        assert chain.hashes(f"{out}/synthetic") == before
        assert not [name for name in os.listdir(out) if "parts" in name]
        surroundings_are_real(out)
        one = chain.hashes(f"{out}/synthetic-inpaint")
        assert "inpaint is current" in chain.run(2, "generate", study, *SET, *ON)

        # Made again on two ranks, stopped on the way.
        os.remove(f"{out}/synthetic-inpaint/manifest.json")
        code = interrupt(signal.SIGKILL, f"{out}/synthetic-inpaint.parts-*/unit-*", 2, "generate",
                         study, *SET, *ON)
        assert code != 0 and not os.path.exists(f"{out}/synthetic-inpaint/manifest.json")
        chain.run(2, "generate", study, *SET, *ON)
        assert chain.hashes(f"{out}/synthetic-inpaint") == one

        exported = f"{place.root}/exported"
        chain.run(0, "export", "--store", f"{out}/synthetic-inpaint", "--format", "dicom", "--out",
                  exported)
        with open(f"{exported}/card.json") as f:
            card = json.load(f)
        assert card["counts"]["patients"] == len({v["source"] for v in told(out)["volumes"]})
        assert not any("no volume shows a patient" in text for text in card["claims"])
        assert any("farther than 4 pixels" in text for text in card["claims"])
        native = f"{place.root}/native"
        chain.run(0, "export", "--store", f"{out}/synthetic-inpaint", "--format", "nifti", "--native",
                  "--out", native)
        with open(f"{native}/card.json") as f:
            claims = " ".join(json.load(f)["claims"])
        assert "farther than 4 pixels" not in claims and "both were interpolated" in claims, claims
        item = pydicom.dcmread(glob.glob(f"{exported}/*/ct-0000.dcm")[0])
        assert item[0x0008001C].value == "YES" and "real CT" in item.SeriesDescription
        assert "no real patient" not in item.DeidentificationMethod

        arms = ["--set", "evaluate.arms=[real, real+synthetic, real+inpainted]"]
        said = chain.run(2, "evaluate", study, *SET, *ON, *arms)
        assert "real+inpainted" in said, said
        with open(f"{out}/metrics/metrics.json") as f:
            metrics = json.load(f)
        assert {d["generator"] for d in metrics["distribution"]} == {"diffusion", "in-painting"}

        # Each step twice: other bytes, the same surroundings.
        chain.run(2, "generate", study, *SET, *ON, "--set", "generate.resample=2")
        surroundings_are_real(out)
        assert chain.hashes(f"{out}/synthetic-inpaint") != one

        latents(place, f"{out}/store")

        wrong = [(["--set", "generate.resample=2", "--set", "generate.sampler=heun"],
                  "generate.resample"),
                 (["--set", "generate.insert=[]"], "generate.insert"),
                 (["--set", "generate.inpaint=off", *arms], "generate.inpaint")]
        for words, why in wrong:
            said = chain.run(0, "generate", study, *SET, *ON, *words, expect=2)
            assert why in said, said


main()
