"""All stages in one command: `ctaug run` on 2 ranks takes phantom patients from DICOM to a report.

Sizes are tiny: the test checks that all results are present and consistent, not their quality. A
second run must find everything current.
"""
import json
import math
import os
import re
import sys

import h5py

import chain


def outputs(out):
    """{path: SHA-256} of the files in the output folder, without the journal and without the record
    of input files, which leaves out those that were changed a moment before."""
    found = chain.hashes(out)
    del found["events.jsonl"], found["ingest-files.json"]
    return found


def check_metrics(metrics):
    fid = metrics["fid"]
    assert set(fid) >= {"value", "n_real", "n_synthetic", "extractor", "floor"}, fid
    assert math.isfinite(fid["value"]) and fid["value"] >= 0
    assert math.isfinite(fid["floor"]) and fid["floor"] >= 0
    assert fid["n_real"] > 0 and fid["n_synthetic"] == 3 * 8
    assert re.search(r"[0-9a-f]{64}", fid["extractor"]), "the encoder is not named"
    assert metrics["data"]["patients"] == metrics["data"]["volumes"] == 6
    assert metrics["data"]["slices"] == 6 * 8 and metrics["data"]["rows"] == [32, 32]
    assert sum(metrics["split"][part]["volumes"] for part in ("train", "validation", "test")) == 6
    assert metrics["training"]["checkpoint_step"] == metrics["training"]["steps"] == 12
    for loss in ("train_loss", "validation_loss"):
        assert 0 < metrics["training"][loss] < 10, metrics["training"]
    made = metrics["synthetic"]
    assert made["volumes"] == 3 and made["slices"] == 24 and made["seconds_a_slice"] > 0, made
    assert made["evaluations"] == 2 * 4, made  # four steps, each with and without conditions
    assert "liver" in metrics["dice"] and "lung" in metrics["dice"]
    for name, dice in metrics["dice"].items():
        assert set(dice) >= {"real", "real+synthetic", "n_patients"}, name
        for arm in ("real", "real+synthetic"):
            assert dice["n_patients"] == 0 or 0 <= dice[arm] <= 1, (name, dice)


def check_report(text):
    for word in ("<script src", "fetch(", "XMLHttpRequest"):
        assert word not in text, f"report.html contains {word}"
    text = re.sub(r"<script>.*?</script>", "", text, flags=re.S)
    for attribute, target in re.findall(r"""\b(src|href|action|data|poster)\s*=\s*["']?([^"'\s>]+)""", text):
        assert target.startswith(("data:", "#")), f"report.html refers to {attribute}={target}"
    for target in re.findall(r"url\(\s*['\"]?([^)'\"]+)", text):
        assert target.startswith(("data:", "#")), f"report.html refers to url({target})"
    for word in ("@import", "<link", "<iframe"):
        assert word not in text, f"report.html contains {word}"
    assert "data:image/png;base64," in text, "no picture"
    for word in ("FID", "Dice"):
        assert word in text, f"report.html does not mention {word}"


def check_stores(out):
    for store, volumes in (("store", 6), ("synthetic", 3)):
        with h5py.File(os.path.join(out, store, "index.h5")) as index:
            assert len(index["volumes"]) == volumes, store
            for name, volume in index["volumes"].items():
                assert volume["ct"].shape == volume["labels"].shape == (8, 32, 32), (store, name)
                assert volume["ct"].dtype == "int16" and volume["labels"].dtype == "uint8"


with chain.Place(patients=6) as place:
    study, out = place.study("phantom")
    print(chain.run(2, "run", study))
    first = outputs(out)
    with open(os.path.join(out, "metrics", "metrics.json")) as f:
        check_metrics(json.load(f, parse_constant=lambda c: sys.exit(f"metrics.json holds {c}")))
    with open(os.path.join(out, "report", "report.html")) as f:
        check_report(f.read())
    check_stores(out)
    print(chain.run(1, "verify", out))

    print(chain.run(2, "run", study))
    second = outputs(out)
    changed = sorted(p for p in first.keys() | second.keys()
                     if first.get(p) != second.get(p))
    assert not changed, f"a second run changed {changed}"
