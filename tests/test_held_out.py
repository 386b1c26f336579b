"""Held-out volumes (generate.held_out): label maps of test patients as they are, stores of their
own for each painter, the same bytes on any number of ranks; the synthetic stores do not change; an
evaluation does not take them for synthetic ones."""
import json
import os
import shutil

import numpy

import chain

SET = ["--set", "generate.held_out=3", "--set", "generate.painters=[diffusion, gaussian]"]
STORES = ("synthetic-heldout", "synthetic-gaussian-heldout")


def copy_of(place, name, out, *folders):
    study, other = place.study(name)
    os.makedirs(other)
    for folder in folders:
        shutil.copytree(f"{out}/{folder}", f"{other}/{folder}")
    return study, other


def told(out, store):
    with open(f"{out}/{store}/manifest.json") as f:
        return json.load(f)["detail"]["provenance"]


def maps_are_those_of_test_patients(out):
    real, names = chain.read_store(f"{out}/store")
    training = {v["source"] for v in told(out, "synthetic")["volumes"]}
    assert len(training) == 2, training
    for store in STORES:
        made, made_names = chain.read_store(f"{out}/{store}")
        about = told(out, store)
        assert made_names == names and about["held_out"] is True and len(made) == 3
        assert about["painter"] == ("gaussian" if "gaussian" in store else "diffusion")
        for volume in about["volumes"]:
            hu, labels, _ = made[volume["id"]]
            assert volume["id"].startswith("heldout") and volume["source"] not in training
            assert numpy.array_equal(labels, real[volume["source"]][1])
            assert "inserted" not in volume and labels.any() and hu.std() > 50
        # One test patient: the volumes differ by noise alone.
        assert len({v["source"] for v in about["volumes"]}) == 1
        ct = [made[v["id"]][0] for v in about["volumes"]]
        assert not numpy.array_equal(ct[0], ct[1]) and not numpy.array_equal(ct[1], ct[2])
    assert "held_out" not in told(out, "synthetic")


def main():
    with chain.Place() as place:
        study, out = place.study("first")
        chain.run(0, "ingest", study)
        chain.run(0, "train", study)
        chain.run(0, "generate", study)
        before = chain.hashes(f"{out}/synthetic")
        said = chain.run(2, "generate", study, *SET)
        assert "synthetic is current" in said and "3 held-out volumes by painter diff" in said, said
        assert chain.hashes(f"{out}/synthetic") == before
        assert not [name for name in os.listdir(out) if "parts" in name]
        maps_are_those_of_test_patients(out)
        said = chain.run(1, "generate", study, *SET)
        assert said.count("is current") == 4, said
        other_study, other = copy_of(place, "three", out, "store", "checkpoints")
        chain.run(3, "generate", other_study, *SET)
        for store in (*STORES, "synthetic"):
            assert chain.hashes(f"{out}/{store}") == chain.hashes(f"{other}/{store}"), store
        chain.run(0, "verify", out)
        # Another number of volumes: others.
        said = chain.run(0, "generate", study, *SET, "--set", "generate.held_out=2")
        assert "2 held-out volumes by painter gaussian" in said, said

        shutil.rmtree(f"{other}/synthetic")
        shutil.move(f"{other}/synthetic-heldout", f"{other}/synthetic")
        said = chain.run(0, "evaluate", other_study, *SET, "--set", "evaluate.fidelity=0", expect=3)
        assert "was generated from another store or study" in said, said


main()
