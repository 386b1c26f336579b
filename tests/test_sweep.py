"""A sweep: arms that are ordinary runs, one training for arms that differ in sampling alone, the
same figures on other ranks and as tasks, stop and resume, an arm that fails, and statistics against
scipy."""
import csv
import json
import os
import signal
import subprocess
import time

import numpy as np
from scipy import stats

import chain

GRID = "sweep.grid=[train.lr: 1e-3 | 1e-4, generate.steps: 2 | 4]"
TIMES = ("seconds_a_slice", "core_hours")


def read(out):
    with open(f"{out}/sweep/sweep.json") as f:
        return json.load(f)


def table(out):
    """The rows of sweep.csv without times."""
    with open(f"{out}/sweep/sweep.csv", newline="") as f:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(f)]


def metrics(out, arm):
    with open(f"{out}/{arm['folder']}/metrics/metrics.json") as f:
        return json.load(f)


def inode(out, arm, name):
    return os.stat(f"{out}/arms/{arm}/{name}").st_ino


def check_figures(out):
    """sweep.json says what the arms' metrics.json say."""
    found = read(out)
    assert [p["settings"] for p in found["points"]] == [
        {"train.lr": lr, "generate.steps": n} for lr in ("1e-3", "1e-4") for n in ("2", "4")]
    for point in found["points"]:
        for arm in point["arms"]:
            m = metrics(out, arm)
            assert arm["fid"] == m["fid"]["value"] and arm["fid_floor"] == m["fid"]["floor"]
            dice = [d["real+synthetic"] for d in m["dice"].values()
                    if d["real+synthetic"] is not None]
            assert abs(arm["dice"] - np.mean(dice)) < 1e-12
            assert arm["failed"] is None and m["seed"] == arm["seed"]
            assert arm["evaluations"] == 2 * int(point["settings"]["generate.steps"])
            assert arm["seconds_a_slice"] > 0
    means = [p["fid"]["mean"] for p in found["points"]]
    assert found["best"] == int(np.argmin(means)), (found["best"], means)
    return found


def check_costs(found):
    """An arm costs what its training cost, whoever made it."""
    first, second = (p["arms"][0]["core_hours"] for p in found["points"][:2])
    assert first > 0 and second > 0 and 0.3 < first / second < 3, (first, second)


with chain.Place() as place:
    study, out = place.study("sweep")
    said = chain.run(0, "sweep", study, "--set", GRID)
    found = check_figures(out)
    check_costs(found)
    # The arms with one training share it, the others do not; all share the store.
    for name in ("manifest.json", "index.h5"):
        assert inode(out, "p00-s0", f"store/{name}") == os.stat(f"{out}/store/{name}").st_ino
    last = "checkpoints/step-00000012/state.h5"
    assert inode(out, "p00-s0", last) == inode(out, "p01-s0", last)
    assert inode(out, "p02-s0", last) == inode(out, "p03-s0", last) != inode(out, "p00-s0", last)
    page = open(f"{out}/sweep/sweep.html").read()
    assert "train.lr 1e-4, generate.steps 4" in page and "<svg" in page
    chain.run(0, "verify", out)

    # Nothing is made again.
    before = chain.hashes(f"{out}/arms")
    chain.run(0, "sweep", study, "--set", GRID)
    assert chain.hashes(f"{out}/arms") == before

    # An arm is an ordinary run: from its own study.yaml, and as one made without a sweep.
    chain.run(0, "evaluate", f"{out}/arms/p01-s0/study.yaml")
    plain, alone = place.study("alone")
    for verb in ("ingest", "train", "generate", "evaluate"):
        chain.run(0, verb, plain, "--set", "train.lr=1e-3", "--set", "generate.steps=4")
    with open(f"{alone}/metrics/metrics.json") as f:
        assert json.load(f)["fid"] == metrics(out, {"folder": "arms/p01-s0"})["fid"]

    # Two ranks, and two tasks, measure the same.
    study2, out2 = place.study("ranks")
    chain.run(2, "sweep", study2, "--set", GRID)
    assert table(out2) == table(out)
    study3, out3 = place.study("tasks")
    chain.run(0, "ingest", study3)
    for task in ("1/2", "0/2"):
        said = chain.run(0, "sweep", study3, "--set", GRID, "--task", task)
        assert not os.path.exists(f"{out3}/sweep") and "next, when all tasks have ended" in said
    chain.run(0, "sweep", study3, "--set", GRID)
    assert table(out3) == table(out)

    # Stopped at some time and resumed, it ends alike.
    study4, out4 = place.study("stopped")
    job = subprocess.Popen([chain.CTAUG, "sweep", study4, "--set", GRID], env=chain.ENV,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for _ in range(600):
        if os.path.exists(f"{out4}/arms/p01-s0/study.yaml"):
            break
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    said = job.communicate(timeout=120)[0]
    assert job.returncode in (0, 75), said
    assert job.returncode == 0 or "ctaug sweep" in said, said
    chain.run(0, "sweep", study4, "--set", GRID)
    assert table(out4) == table(out)

    # Seeds: means and intervals are scipy's; an arm that fails takes no other one with it.
    study5, out5 = place.study("seeds")
    points = "sweep.points=[train.lr: 1e-3, evaluate.share: 0.001]"
    said = chain.run(2, "sweep", study5, "--set", "sweep.seeds=[3, 4, 5]", "--set", points)
    assert "leave no synthetic" in said, said
    found = read(out5)
    good, bad = found["points"]
    values = [arm["fid"] for arm in good["arms"]]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert np.allclose([good["fid"][k] for k in ("mean", "low", "high")],
                       [np.mean(values), low, high], rtol=1e-6), (good["fid"], values)
    assert [arm["failed"] for arm in bad["arms"]] == ["refused"] * 3
    assert bad["fid"] == {"mean": None, "low": None, "high": None, "n": 0} and found["best"] == 0
    said = chain.run(0, "sweep", study5, "--set", "sweep.seeds=[3, 4, 5]", "--set", points)
    assert said.count("has failed before") == 3, said

    # Nothing measured is no success.
    said = chain.run(0, "sweep", study5, "--set", "sweep.points=[evaluate.share: 0.001]", "--set",
                     "sweep.seeds=[3]", expect=2)
    assert "no point was measured" in said and read(out5)["best"] is None, said

    # Other settings, another store: arms follow, and still share; what they had is kept.
    again = ("--set", "train.steps=8", "--set", "ingest.shard_mib=2")
    chain.run(0, "sweep", study2, "--set", GRID, *again)
    for arm in ("p00-s0", "p01-s0"):
        assert inode(out2, arm, "store/manifest.json") == os.stat(
            f"{out2}/store/manifest.json").st_ino
        assert os.path.exists(f"{out2}/arms/{arm}/checkpoints.earlier-1/step-00000012")
    last = "checkpoints/step-00000008/state.h5"
    assert inode(out2, "p00-s0", last) == inode(out2, "p01-s0", last)
    assert all(a["fid"] != b["fid"] for a, b in zip(table(out2), table(out)))

    # What a sweep cannot vary is said before anything is run.
    for what, why in (("sweep.grid=[ingest.labels: seg]", "the same in all arms"),
                      ("sweep.grid=[train.lrr: 1]", "train.lr"),
                      ("sweep.grid=[train.lr]", "key: value"),
                      ("sweep.grid=[train.lr: fast]", "train.lr"),
                      ("sweep.points=[seed: 3]", "sweep.seeds"), ("seed=4", "nothing is varied")):
        said = chain.run(0, "sweep", study5, "--set", what, "--set", "out=" + place.root + "/none",
                         expect=2)
        assert why in said, said
