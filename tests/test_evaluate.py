"""What `ctaug evaluate` refuses before it computes anything: a synthetic store that was not made
from this study and real store, and stores with too few slices. (For the rest see
test_phantom_study.py.)"""
import os

import chain


def refused(ranks, out, study, *words):
    said = chain.run(ranks, "evaluate", study, *words, expect=3)
    assert not os.path.exists(f"{out}/metrics") and "metrics.parts" not in "".join(os.listdir(out))
    return said


def another_chain():
    with chain.Place() as place:
        study, out = place.study("first")
        for verb in ("ingest", "train", "generate"):
            chain.run(2, verb, study)
        for words in (("train.lr=1e-3",), ("generate.guidance=1",), ("seed=9",)):
            said = refused(2, out, study, "--set", *words)
            assert f"{out}/synthetic" in said and "ctaug generate" in said, said
        # Settings of the evaluation itself may change.
        chain.run(2, "evaluate", study, "--set", "evaluate.steps=2")


def few_slices():
    with chain.Place(patients=1) as place:
        study, out = place.study("few")
        few = ("--set", "data.split=[0.8, 0.1, 0.1]")
        for verb in ("ingest", "train", "generate"):
            chain.run(1, verb, study, *few)
        said = refused(2, out, study, *few)
        assert "slices for testing is 1" in said and "data.split" in said, said


another_chain()
few_slices()
