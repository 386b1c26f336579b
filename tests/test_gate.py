"""The release gate. A model that was trained on 16 slices until it knows them by heart is caught;
the same model passes for patients whom it never saw, although it paints on their label maps. What
follows from the finding in `ctaug run` and `ctaug export`. tests/long/gate_rates.py measures how
often the gate is wrong over several seeds.

The bounds of this test were fixed before it was run: a copy rate of 20 % or more and an AUC of 0.95
or more for the model that copies; `passed` for the other one.
"""
import glob
import json
import os
import shutil
import signal
import struct

import chain
from interruption import interrupt

# Two training patients of eight slices; no augmentation and no deformation.
STUDY = """
name: gate
seed: 3
out: {out}
ingest: {{dicom: {dicom}, labels: seg, shard_mib: 1}}
data: {{size: 32, split: [0.25, 0.25, 0.5], rotate: 0, zoom: 0, shift: 0, elastic: 0}}
model: {{net: R16}}
train: {{steps: {steps}, batch: 8, micro_batch: 8, warmup: 20, lr: 2e-3, ema: 0.98,
        validate_every: 1000000, preview_every: 1000000}}
generate: {{volumes: 6, steps: 20, batch: 16, rotate: 0, zoom: 0, shift: 0, elastic: 0}}
evaluate: {{seeds: 1, steps: 4, batch: 8, fidelity: 0}}
gate: {{steps: 250, slices: 48}}
"""


def make_patients(folder, seed, patients=8):
    chain.run(1, "phantom", "--patients", patients, "--seed", seed, "--size", "32", "--slices", "8",
              "--out", folder)


def write_study(root, name, dicom, steps=2500):
    out = os.path.join(root, name)
    with open(out + ".yaml", "w") as f:
        f.write(STUDY.format(out=out, dicom=dicom, steps=steps))
    return out + ".yaml", out


def finding(out):
    with open(f"{out}/gate/gate.json") as f:
        return json.load(f)


def newest(out):
    return sorted(glob.glob(f"{out}/checkpoints/step-*[0-9]"))[-1]


def with_model_of(donor, study, out):
    """Ingests and generates with the parameters of another run: the first checkpoint of this one
    gets the state of the donor's."""
    chain.run(1, "ingest", study)
    code = interrupt(signal.SIGUSR1, f"{out}/checkpoints/step-????????", 0, "train", study,
                     "--set", "train.checkpoint_every=1")
    assert code == 75
    mine = newest(out)
    shutil.copy(f"{newest(donor)}/state.h5", f"{mine}/state.h5")
    chain.vouch(mine)
    chain.run(1, "generate", study)


def png_size(path):
    with open(path, "rb") as f:
        head = f.read(24)
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", head[16:24])


def check_copies_are_caught(study, out):
    for verb in ("ingest", "train", "generate"):
        chain.run(1, verb, study, timeout=500)
    said = chain.run(2, "gate", study)
    assert "NOT passed" in said, said
    found = finding(out)
    print({k: v for k, v in found.items() if k != "pairs"})
    assert found["passed"] is False and found["release"] == "warn"
    assert found["copy_rate"] >= 0.2 and found["excess_low"] > found["margin"]
    assert found["auc"] >= 0.95 and found["slice_auc"] >= 0.95
    assert found["n"] == 48 and found["volumes"] == found["clusters"] == 6
    assert found["copy_low"] <= found["copy_rate"] <= found["copy_high"]
    check_pairs(out, found["pairs"])


def check_pairs(out, pairs):
    """The nearest first; a copy is of the patient whose label map it has."""
    assert len(pairs) == 10
    assert all(a["distance"] <= b["distance"] for a, b in zip(pairs, pairs[1:]))
    with open(f"{out}/synthetic/manifest.json") as f:
        made = {v["id"]: v for v in json.load(f)["detail"]["provenance"]["volumes"]}
    patients = {p["training"].rsplit("-", 1)[0] for p in pairs}
    assert len(patients) <= 2
    for p in pairs:
        same = made[p["synthetic"]]["source"].rsplit("-", 1)[0] == p["training"].rsplit("-", 1)[0]
        assert p["source"] is same and 0 <= p["training_slice"] < 8 and 0 <= p["slice"] < 8
    assert sum(p["source"] for p in pairs) >= 8
    assert png_size(f"{out}/gate/pairs.png") == (3 * 130 - 2, 10 * 130 - 2)


def check_ranks_agree(study, out):
    """One rank finds what two have found, but for rounding in the training of the embedding."""
    before = finding(out)
    shutil.rmtree(f"{out}/gate")
    chain.run(1, "gate", study)
    after = finding(out)
    assert after["passed"] == before["passed"] and abs(after["auc"] - before["auc"]) < 1e-6
    assert abs(after["training_loss"] - before["training_loss"]) < 1e-5
    assert abs(after["copy_rate"] - before["copy_rate"]) < 0.2


def check_release(study, out, where):
    """warn exports with a warning, block refuses with 5 until it is warn again."""
    def export(name, expect):
        return chain.run(1, "export", "--store", f"{out}/synthetic", "--format", "png", "--out",
                         f"{where}/{name}", expect=expect)

    said = export("warned", 0)
    assert "warning" in said and "gate.margin" in said, said
    before = chain.hashes(f"{out}/gate")
    said = chain.run(1, "gate", study, "--set", "gate.release=block")
    assert "is current" in said and finding(out)["release"] == "block"
    assert chain.hashes(f"{out}/gate")["pairs.png"] == before["pairs.png"]
    said = export("blocked", 5)
    assert not os.path.exists(f"{where}/blocked")
    for word in ("not released", "pairs.png", "gate.release=warn"):
        assert word in said, said
    # The whole run writes its report and ends with 5.
    said = chain.run(1, "run", study, "--set", "gate.release=block", expect=5)
    assert os.path.exists(f"{out}/report/report.html") and "not released" in said, said
    chain.run(1, "verify", out)
    chain.run(1, "run", study)
    assert chain.hashes(f"{out}/gate") == before
    export("warned again", 0)
    # A finding that is changed by hand is damage.
    with open(f"{out}/gate/gate.json") as f:
        text = f.read()
    with open(f"{out}/gate/gate.json", "w") as f:
        f.write(text.replace('"passed": false', '"passed": true '))
    export("forged", 5)
    # Without a finding, block refuses and warn warns.
    shutil.rmtree(f"{out}/gate")
    assert "no gate has looked" in export("unseen", 0)
    with open(f"{out}/study.yaml") as f:
        text = f.read()
    with open(f"{out}/study.yaml", "w") as f:
        f.write(text.replace("release: warn", "release: block"))
    assert "no gate has looked" in export("unseen and blocked", 5)


def check_strangers_pass(donor, study, out, where):
    with_model_of(donor, study, out)
    said = chain.run(1, "gate", study, "--set", "gate.release=block")
    found = finding(out)
    print({k: v for k, v in found.items() if k != "pairs"})
    assert found["passed"] is True and "gate: passed" in said
    chain.run(1, "export", "--store", f"{out}/synthetic", "--format", "png", "--out",
              f"{where}/passed")


def check_one_patient_is_not_measured(root):
    make_patients(f"{root}/one", 5, patients=1)
    study, out = write_study(root, "alone", f"{root}/one", steps=20)
    for verb in ("ingest", "train", "generate"):
        chain.run(1, verb, study)
    assert "not measured" in chain.run(1, "gate", study)
    found = finding(out)
    assert found["passed"] is None and "one patient" in found["reason"]
    chain.run(1, "gate", study, "--set", "gate.release=block")
    said = chain.run(1, "export", "--store", f"{out}/synthetic", "--format", "png", "--out",
                     f"{root}/alone-png", expect=5)
    assert "one patient" in said, said


def main():
    with chain.Place(patients=1) as place:
        make_patients(f"{place.root}/known", 1)
        make_patients(f"{place.root}/strangers", 2)
        study, out = write_study(place.root, "copies", f"{place.root}/known")
        check_copies_are_caught(study, out)
        check_ranks_agree(study, out)
        other, other_out = write_study(place.root, "others", f"{place.root}/strangers")
        check_strangers_pass(out, other, other_out, place.root)
        check_release(study, out, place.root)
        check_one_patient_is_not_measured(place.root)


if __name__ == "__main__":
    main()
