"""Distributions of synthetic and real slices in metrics.json: an entry for each generator and
network; FID, precision, recall, density and coverage in the features of an Inception v3 against
PyTorch and numpy; the same on 1 and 2 ranks, resumed, and for volumes of held-out label maps."""
import itertools
import json
import os

import numpy as np

import chain
from inception_weights import Recorder, require_torch, theirs_of, write

SETTINGS = {
    "data.split": "[0.5, 0.17, 0.33]", "train.steps": 4, "train.reproducible": "on",
    "generate.volumes": 2, "generate.steps": 2, "generate.painters": "[diffusion, gaussian]",
    "evaluate.arms": "[real, gaussian-labels]", "evaluate.steps": 8,
}
KINDS = [("domain", "diffusion"), ("domain", "gaussian"), ("inception_v3", "diffusion"),
         ("inception_v3", "gaussian")]
SLICES = 8  # of a volume
NEIGHBOURS = 5
SCORES = ("precision", "recall", "density", "coverage")


def metrics_of(out):
    with open(f"{out}/metrics/metrics.json") as f:
        return json.load(f)


def evaluate(ranks, study, words, **options):
    return chain.run(ranks, "evaluate", study, *words, timeout=500, **options)


# ---- what PyTorch and numpy say ----

def features_of(store, get):
    """Features of every volume of a store, by id: slices in the window, at the size they have."""
    volumes, _ = chain.read_store(store)
    return {name: theirs_of(get, np.clip((ct.astype(np.float32) + 1000) / 1000 - 1, -1, 1))
            .astype(np.float64) for name, (ct, _, _) in sorted(volumes.items())}


def frechet(a, b):
    """By the eigenvalues of the product of covariances in the space of the vectors."""
    x = (a - a.mean(0)) / np.sqrt(len(a) - 1)
    y = (b - b.mean(0)) / np.sqrt(len(b) - 1)
    both = np.linalg.eigvals((x @ y.T) @ (y @ x.T)).astype(complex)
    gap = a.mean(0) - b.mean(0)
    return gap @ gap + (x * x).sum() + (y * y).sum() - 2 * np.sqrt(both).real.sum()


def gaps(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def scores(real, made):
    radius_real = np.sort(gaps(real, real), 1)[:, NEIGHBOURS]
    radius_made = np.sort(gaps(made, made), 1)[:, NEIGHBOURS]
    between = gaps(real, made)
    inside = between <= radius_real[:, None]
    return (inside.any(0).mean(), (between <= radius_made[None]).any(1).mean(),
            inside.sum(0).mean() / NEIGHBOURS, inside.any(1).mean())


def near(a, b, tolerance):
    return abs(a - b) <= tolerance * (1e-6 + abs(b))


def inception_is_numpys(out, get, entries):
    """The split is not in metrics.json: one choice of 2 test and 3 training patients of 6 gives all
    numbers."""
    real = features_of(f"{out}/store", get)
    found = set()
    for entry in entries:
        suffix = {"diffusion": "", "gaussian": "-gaussian"}[entry["generator"]]
        made = np.concatenate(list(features_of(f"{out}/synthetic{suffix}", get).values()))
        assert entry["n_synthetic"] == len(made) == 2 * SLICES, entry
        matches = []
        for test in itertools.combinations(real, 2):
            truth = np.concatenate([real[name] for name in test])
            if not near(entry["fid"], frechet(made, truth), 1e-3):
                continue
            for train in itertools.combinations([name for name in real if name not in test], 3):
                all_ = np.concatenate([real[name] for name in train])
                floor = all_[np.arange(len(made)) * len(all_) // len(made)]
                if near(entry["fid_floor"], frechet(floor, truth), 1e-3):
                    matches.append((test, train))
                    for name, one, other in zip(SCORES, scores(truth, made), scores(truth, floor)):
                        assert abs(entry[name] - one) < 1e-9, (entry, name, one)
                        assert abs(entry[name + "_floor"] - other) < 1e-9, (entry, name, other)
        assert len(matches) == 1, (entry, matches)
        found.add(matches[0])
    assert len(found) == 1, found


# ---- entries ----

def entries_hold(metrics):
    entries, fid = metrics["distribution"], metrics["fid"]
    assert [(e["network"], e["generator"]) for e in entries] == KINDS
    for e in entries:
        assert e["conditions"] == "training maps", e
        assert e["labelled"] == 3 and e["set"] == 0 and len(e["network_hash"]) == 64, e
        assert e["n_real"] == e["n_equal"] == e["n_floor"] == 2 * SLICES, e
        assert [n for n, _ in e["fid_curve"]] == [4, 8, 12, 16], e
        assert near(e["fid_curve"][-1][1], e["fid"], 1e-6), e
        assert e["kid_low"] <= e["kid"] <= e["kid_high"] and 0 < e["ms_ssim"] < 1, e
    assert entries[0]["fid"] == fid["value"] and entries[0]["fid_floor"] == fid["floor"]
    assert entries[0]["network_hash"] in fid["extractor"]
    assert {"segmenters", "distributions"} < {c["what"] for c in metrics["costs"]}


def equal_but_rounding(entries, others):
    """JSON has 9 digits, and groups of other sizes may add in another order."""
    assert len(entries) == len(others)
    for one, other in zip(entries, others):
        assert one.keys() == other.keys()
        for key, value in one.items():
            if isinstance(value, float):
                assert abs(value - other[key]) <= 1e-6 * (1 + abs(value)), (key, value, other[key])
            elif key != "fid_curve":
                assert value == other[key], (key, value, other[key])


def kept_and_made_again(study, out, words, expected):
    """The parts stay when the metrics are made again; one that is missing is made by both ranks."""
    parts = f"{out}/metrics.parts"
    names = sorted(name for name in os.listdir(parts) if name.endswith(".part"))
    assert names == sorted(f"distribution-{g}-{n}.part" for n, g in KINDS), names
    before = {name: os.stat(f"{parts}/{name}").st_mtime_ns for name in names}
    for name in ("distribution-diffusion-domain.part", "distribution-gaussian-inception_v3.part"):
        os.remove(f"{parts}/{name}")
        os.remove(f"{out}/metrics/manifest.json")
        said = evaluate(2, study, words)
        assert "2 of 2 trainings have their results" in said, said
        equal_but_rounding(metrics_of(out)["distribution"], expected)
        changed = {n for n in names if os.stat(f"{parts}/{n}").st_mtime_ns != before[n]}
        assert name in changed and "distribution-gaussian-domain.part" not in changed, changed


def held_out_maps_are_preferred(study, out, words):
    """With other volumes, of another number."""
    words = [*words, "--set", "generate.held_out=3"]
    chain.run(2, "generate", study, *words)
    chain.run(2, "evaluate", study, *words, timeout=500)
    entries = metrics_of(out)["distribution"]
    assert {e["conditions"] for e in entries} == {"held-out maps"}
    assert all(e["n_synthetic"] == 3 * SLICES and e["n_equal"] == 2 * SLICES for e in entries)
    for verb in ("gate", "report"):
        chain.run(1, verb, study, *words)
    with open(f"{out}/report/report.html") as f:
        text = f.read()
    assert "held-out maps" in text and "inception_v3" in text


def other_weights_are_noticed(place, study, out, words, get):
    """The content of the file counts, not its path."""
    words = [*words, "--set", "evaluate.arms=[real]"]
    os.rename(f"{place.root}/weights", f"{place.root}/moved")
    said = evaluate(1, study, words, expect=3)
    assert f"{place.root}/weights" in said, said
    moved = [w.replace("/weights", "/moved") for w in words]
    evaluate(1, study, moved)
    assert "metrics is current" in evaluate(1, study, moved)
    get["Conv2d_1a_3x3.bn.bias"] = get["Conv2d_1a_3x3.bn.bias"] + np.float32(0.5)
    write(f"{place.root}/weights", get)
    old = metrics_of(out)["distribution"]
    evaluate(2, study, words)
    new = metrics_of(out)["distribution"]
    assert old[0] == new[0] and old[1]["network_hash"] != new[1]["network_hash"]
    assert old[1]["fid"] != new[1]["fid"]


def main():
    require_torch()
    get = Recorder()
    theirs_of(get, np.zeros((1, 32, 32), np.float32))
    with chain.Place(patients=6) as place:
        write(f"{place.root}/weights", get)
        settings = dict(SETTINGS, **{"evaluate.inception": f"{place.root}/weights"})
        words = list(itertools.chain(*(("--set", f"{k}={v}") for k, v in settings.items())))
        study, out = place.study("one")
        chain.run(1, "run", study, *words, timeout=500)
        metrics = metrics_of(out)
        expected = metrics["distribution"]
        entries_hold(metrics)
        inception_is_numpys(out, get, expected[2:])
        study_2, out_2 = place.study("two")
        chain.run(2, "run", study_2, *words, timeout=500)
        assert metrics_of(out_2)["distribution"] == expected
        kept_and_made_again(study, out, words, expected)
        held_out_maps_are_preferred(study, out, words)
        other_weights_are_noticed(place, study, out, words, get)


main()
