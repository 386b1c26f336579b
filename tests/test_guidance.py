"""generate.guidance: auto: the same choice on one and two ranks and after an interruption, a table
that follows the rules, validation patients alone; an untrained checkpoint loses; later stages take
the synthetic store; what is missing is named."""
import glob
import json
import math
import os
import shutil
import signal

import h5py

import chain
from interruption import interrupt

SET = [word for key in ("data.size=16", "evaluate.steps=100", "evaluate.fidelity=0",
                        "train.steps=80", "train.checkpoint_every=40", "train.lr=2e-3",
                        "train.ema=0.95", "model.dropout=0", "generate.guidance=auto",
                        "generate.steps=12", "generate.held_out=1") for word in ("--set", key)]


def record(out):
    with open(f"{out}/guidance/guidance.json") as f:
        return json.load(f)


def provenance(out, store="synthetic"):
    with open(f"{out}/{store}/manifest.json") as f:
        return json.load(f)["detail"]["provenance"]


def copy_of(place, name, out):
    study, other = place.study(name)
    os.makedirs(other)
    for folder in ("store", "referee", "checkpoints"):
        shutil.copytree(f"{out}/{folder}", f"{other}/{folder}")
    return study, other


def chosen_by_the_rules(table):
    """The candidates that the header asks for, and the choice among them."""
    keys = [(c["checkpoint_step"], c["guidance"], c["sampler_steps"]) for c in table]
    score = [c["score"] for c in table]
    kept = sorted({k[0] for k in keys}, reverse=True)
    assert keys[:4] == [(kept[0], g, 12) for g in (1, 1.5, 2, 3)], keys
    best = max(range(4), key=lambda i: (score[i], -i))
    others = range(4, 3 + len(kept))
    assert [keys[i] for i in others] == [(s, keys[best][1], 12) for s in kept[1:]], keys
    for i in others:
        if score[i] > score[best]:
            best = i
    assert keys[3 + len(kept):] == [(keys[best][0], keys[best][1], 6)], keys
    return len(keys) - 1 if score[-1] >= score[best] - 0.01 else best


def the_table(out):
    found = record(out)
    table = found["candidates"]
    assert len({c["checkpoint_step"] for c in table}) == 2 and len(table) == 6
    assert found["chosen"] == chosen_by_the_rules(table), found
    assert found["slices"] == 8 and "Dice" in found["formula"]
    for c in table:
        assert 0 <= c["dice"] <= 1 and c["noise_ratio"] > 0 and c["score"] <= c["dice"], c
        # The mean of absolute logarithms is at least the absolute value of their mean.
        assert c["score"] <= c["dice"] - 0.1 * abs(math.log(c["noise_ratio"])) + 1e-6, c
        assert len(c["checkpoint"]) == 64
    # Candidates differ, and are not all of one noise.
    assert len({c["score"] for c in table}) == 6
    made = provenance(out)
    choice = table[found["chosen"]]
    for key in ("checkpoint_step", "checkpoint", "guidance", "sampler_steps"):
        assert made[key] == choice[key], key
    assert made["guidance_choice"] == found
    with open(f"{out}/guidance/manifest.json") as f:
        assert json.load(f)["seal"] == made["guidance_record"]
    # One validation patient, none of training or test.
    others = {v["source"] for s in ("synthetic", "synthetic-heldout")
              for v in provenance(out, s)["volumes"]}
    assert len(found["sources"]) == 1 and not set(found["sources"]) & others
    return choice


def interrupted(place, out):
    study, other = copy_of(place, "interrupted", out)
    parts = f"{other}/guidance.parts-*/candidate-*"
    assert interrupt(signal.SIGUSR1, parts, 0, "generate", study, *SET) == 75
    kept = glob.glob(parts)
    assert 0 < len(kept) < 6 and not os.path.exists(f"{other}/guidance"), kept
    with open(kept[0], "r+b") as f:  # damaged: measured again
        f.seek(-3, os.SEEK_END)
        f.write(b"x")
    said = chain.run(2, "generate", study, *SET)
    assert "measured again" in said, said
    same(out, other)
    assert not [name for name in os.listdir(other) if "parts" in name], os.listdir(other)


def same(out, other):
    for folder in ("guidance", "synthetic", "synthetic-heldout"):
        assert chain.hashes(f"{out}/{folder}") == chain.hashes(f"{other}/{folder}"), folder


def untrained_loses(place, out):
    """The EMA of the newest checkpoint is set to 0: the older one is taken."""
    study, other = copy_of(place, "untrained", out)
    newest = sorted(glob.glob(f"{other}/checkpoints/step-*"))[-1]
    with h5py.File(f"{newest}/state.h5", "r+") as f:
        f["ema"].visititems(lambda _, item: item.write_direct(item[()] * 0)
                            if isinstance(item, h5py.Dataset) else None)
    chain.vouch(newest)
    said = chain.run(0, "generate", study, *SET)
    assert "checkpoint of step 40" in said, said
    table = record(other)["candidates"]
    assert table[record(other)["chosen"]]["checkpoint_step"] == 40
    assert max(c["score"] for c in table[:4]) < table[4]["score"], table
    assert provenance(other)["checkpoint_step"] == 40
    # The gate samples with the same checkpoint.
    for verb in ("evaluate", "gate", "report"):
        chain.run(0, verb, study, *SET, "--set", "gate.steps=5", "--set", "gate.slices=8")
    with open(f"{other}/report/report.html", encoding="utf-8") as f:
        text = f.read()
    assert "best of several candidates" in text and "guidance 0" not in text
    chain.run(0, "verify", other)


def without_validation_patients():
    with chain.Place(2) as place:
        study, _ = place.study("two")
        words = [*SET, "--set", "train.steps=2", "--set", "evaluate.steps=2"]
        for verb in ("ingest", "referee", "train"):
            chain.run(0, verb, study, *words)
        said = chain.run(0, "generate", study, *words, expect=3)
        assert "needs validation patients who are not test patients" in said, said


def main():
    without_validation_patients()
    with chain.Place() as place:
        study, out = place.study("one")
        chain.run(0, "ingest", study, *SET)
        chain.run(0, "train", study, *SET)
        said = chain.run(0, "generate", study, *SET, expect=3)
        assert "run ctaug referee first" in said, said
        chain.run(0, "referee", study, *SET)
        said = chain.run(0, "generate", study, *SET)
        choice = the_table(out)
        line = f"guidance {choice['guidance']:g}, checkpoint of step {choice['checkpoint_step']}, "
        assert said.count(line) == 1 and "best of 6 candidates on 8 validation slices" in said, said
        said = chain.run(2, "generate", study, *SET, "--set", "generate.guidance=0")
        assert said.count("is current") == 2 and "candidates" not in said, said
        two, other = copy_of(place, "two", out)
        chain.run(2, "generate", two, *SET)
        same(out, other)
        interrupted(place, out)
        untrained_loses(place, out)
        # With a number nothing is chosen.
        chain.run(0, "generate", two, *SET, "--set", f"generate.guidance={choice['guidance']}")
        assert "guidance_record" not in provenance(other)


main()
