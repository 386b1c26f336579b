"""Labelled sets: the same results on 1, 2 and 4 ranks, killed and resumed, and after a result was
damaged; the statistics of metrics.json against numpy and scipy; what is refused."""
import collections
import csv
import glob
import itertools
import json
import os
import shutil
import signal
import subprocess
import time

import numpy as np
from scipy import stats

import chain

ARMS = ["real", "real+copies", "real+synthetic", "synthetic", "synthetic-then-real",
        "gaussian-labels", "oracle"]
SETTINGS = {
    "data.split": "[0.5, 0.17, 0.33]",
    "train.steps": 4, "train.reproducible": "on", "train.batch": 4,
    "generate.volumes": 2, "generate.steps": 2, "generate.painters": "[diffusion, gaussian]",
    "evaluate.labelled": "[1, 2]", "evaluate.sets": 1, "evaluate.seeds": 2, "evaluate.steps": 8,
    "evaluate.batch": 4, "evaluate.fidelity": 0.03, "gate.steps": 4, "gate.slices": 8,
    "evaluate.arms": "[" + ", ".join(ARMS) + "]",
}
WORDS = list(itertools.chain(*(("--set", f"{key}={value}") for key, value in SETTINGS.items())))


def run(ranks, *words, **options):
    return chain.run(ranks, *words, timeout=900, **options)


def results(out):
    with open(f"{out}/metrics/metrics.csv", "rb") as f:
        return f.read()


def table(out):
    """(labelled, arm, test, structure, metric) -> {(set, seed, patient): value}."""
    values = collections.defaultdict(dict)
    with open(f"{out}/metrics/metrics.csv", newline="") as f:
        for row in csv.DictReader(f):
            key = (int(row["labelled"]), row["arm"], row["test"], row["structure"], row["metric"])
            value = float(row["value"])
            if row["metric"] == "volume_error":
                value = abs(value)
            values[key][row["set"], row["seed"], int(row["patient"])] = value
    return values


def by_patient(values):
    """Mean over sets and seeds for each patient."""
    patients = collections.defaultdict(list)
    for (_, _, patient), value in values.items():
        patients[patient].append(value)
    return {patient: np.mean(list_) for patient, list_ in patients.items()}


def mean_over_structures(values, structures, key):
    """The values of row "mean": for each training and patient over the structures it has."""
    labelled, arm, test, metric = key
    sums = collections.defaultdict(list)
    for structure in structures:
        for where, value in values[labelled, arm, test, structure, metric].items():
            sums[where].append(value)
    return {where: np.mean(list_) for where, list_ in sums.items()}


def row_values(values, structures, row, arm):
    key = (row["labelled"], arm, row["test"], row["metric"])
    if row["structure"] == "mean":
        return mean_over_structures(values, structures, key)
    return values[key[0], key[1], key[2], row["structure"], key[3]]


def same(one, other):
    """Values have 9 digits."""
    return abs(one - other) <= 1e-8 * abs(other) + 1e-12


def statistics_hold(out):
    with open(f"{out}/metrics/metrics.json") as f:
        metrics = json.load(f)
    values, structures = table(out), metrics["protocol"]["structures"]
    assert metrics["schema"] == 2 and metrics["protocol"]["labelled"] == [1, 2]
    assert metrics["protocol"]["arms"] == ARMS
    assert {row["arm"] for row in metrics["summary"]} == set(ARMS)
    for row in metrics["summary"]:
        patients = by_patient(row_values(values, structures, row, row["arm"]))
        assert row["n_patients"] == len(patients), row
        assert same(row["value"], np.mean(list(patients.values()))), row
        assert row["low"] <= row["value"] + 1e-9 and row["value"] <= row["high"] + 1e-9, row
    families = collections.defaultdict(list)
    for row in metrics["comparisons"]:
        one = row_values(values, structures, row, row["arm"])
        other = row_values(values, structures, row, row["against"])
        both = {where: one[where] - other[where] for where in one if where in other}
        difference = np.array(list(by_patient(both).values()))
        # Differences have the errors of the values, not fewer.
        size = max(map(abs, [*one.values(), *other.values()]))
        assert abs(row["difference"] - difference.mean()) <= 1e-8 * size + 1e-12, row
        assert row["n_patients"] == len(difference), row
        if np.all(np.abs(difference) > 1e-7):  # values have 9 digits: no rounded zeros
            p = stats.wilcoxon(difference).pvalue
            assert abs(row["p"] - p) < 1e-6, (row, p)
        families[row["arm"], row["against"], row["test"], row["metric"]].append(row)
    assert ("oracle", "real", "plain", "dice") in families
    assert ("real+synthetic", "gaussian-labels", "shifted", "nsd") in families
    for rows in families.values():
        rows = sorted((row for row in rows if row["p"] is not None), key=lambda row: row["p"])
        adjusted = 0
        for i, row in enumerate(rows):
            adjusted = max(adjusted, min(1, (len(rows) - i) * row["p"]))
            assert abs(row["p_holm"] - adjusted) < 1e-6, row
    assert [row["labelled"] for row in metrics["saving"]] == [2, 2]
    assert all(len(row["dice"]) == 8 for row in metrics["learning"])
    with open(f"{out}/sets/n1-s0/fidelity/fidelity.json") as f:
        dice = [value for volume in json.load(f)["volumes"] for value in volume["dice"]]
    assert metrics["fidelity"]["slices"] == len(dice) == 16
    assert 0 < metrics["fidelity"]["dropped"] == sum(value < 0.03 for value in dice) < 14, dice
    hours = {cost["what"]: cost["core_hours"] for cost in metrics["costs"]}
    kept = {}
    for path in glob.glob(f"{out}/sets/*/costs.json"):
        with open(path) as f:
            for name, seconds in json.load(f).items():
                kept.setdefault(name, []).append(seconds)
    for name, what in (("referee", "referee"), ("train", "training of the diffusion model"),
                       ("generate", "sampling")):
        assert len(kept[name]) == len(glob.glob(f"{out}/sets/*")), kept
        assert abs(hours.pop(what) - sum(kept[name]) / 3600) < 1e-9, (what, kept)
    assert set(hours) == {"segmenters", "distributions"} and min(hours.values()) > 0, hours


def distributions(out):
    """The entries of metrics.json: each labelled set has a referee of its own."""
    with open(f"{out}/metrics/metrics.json") as f:
        metrics = json.load(f)
    entries = metrics["distribution"]
    assert [(e["labelled"], e["set"], e["generator"]) for e in entries] == [
        (1, 0, "diffusion"), (1, 0, "gaussian"), (2, 0, "diffusion"), (2, 0, "gaussian")]
    for e in entries:
        assert e["network"] == "domain" and e["conditions"] == "training maps", e
        assert e["n_real"] == 16 and e["n_synthetic"] == e["n_floor"] <= 16, e
        assert e["fid"] > 0 and e["fid_floor"] > 0, e
    assert entries[0]["network_hash"] == entries[1]["network_hash"] != entries[2]["network_hash"]
    assert entries[0]["fid"] == metrics["fid"]["value"]
    return entries


def killed(study, out):
    """Evaluates on 2 ranks, asks for a stop after a few trainings, and resumes on one."""
    process = subprocess.Popen(chain.command(2, chain.CTAUG, "evaluate", study, *WORDS),
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=chain.ENV)
    deadline = time.time() + 240
    while len(glob.glob(f"{out}/sets/*/metrics.parts/*.result")) < 4:
        assert process.poll() is None and time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR1)  # after SIGTERM mpirun gives the ranks two seconds
    code = process.wait(timeout=120)
    done = len(glob.glob(f"{out}/sets/*/metrics.parts/*.result"))
    assert code == 75 and 4 <= done < 28, (code, done)
    said = run(1, "evaluate", study, *WORDS)
    assert " of 28 trainings have their results" in said, said
    assert not glob.glob(f"{out}/queue.*")


def fidelity(study, out):
    """The referee's record: of every slice, in the metrics, and obeyed by the evaluation."""
    words = [*WORDS, "--set", "evaluate.labelled=[2]", "--set", "evaluate.arms=[real, real+synthetic]"]
    shutil.rmtree(f"{out}/sets/n2-s0/referee")
    said = run(1, "evaluate", study, *words, "--set", "evaluate.fidelity=1e-9", expect=3)
    assert "ctaug referee" in said, said
    run(2, "referee", study, *words, "--set", "evaluate.fidelity=1e-9")
    run(2, "evaluate", study, *words, "--set", "evaluate.fidelity=1e-9")
    with open(f"{out}/sets/n2-s0/fidelity/fidelity.json") as f:
        record = json.load(f)
    with open(f"{out}/metrics/metrics.json") as f:
        summary = json.load(f)["fidelity"]
    dice = [value for volume in record["volumes"] for value in volume["dice"]]
    dropped = sum(len(volume["dropped"]) for volume in record["volumes"])
    assert len(dice) == record["slices"] == summary["slices"]
    assert dropped == record["dropped"] == summary["dropped"] == sum(d < 1e-9 for d in dice)
    assert "volumes" not in summary and len(summary["structures"]) > 3
    for row in summary["structures"]:
        if row["ratio"] is not None:
            assert abs(row["ratio"] - row["synthetic"] / row["real"]) < 1e-6, row
    # A bound between two of them drops those below it, one of 1 everything.
    below, above = next(pair for pair in itertools.pairwise(sorted(dice)) if pair[0] < pair[1])
    bound = (below + above) / 2
    run(1, "evaluate", study, *words, "--set", f"evaluate.fidelity={bound}")
    with open(f"{out}/metrics/metrics.json") as f:
        assert json.load(f)["fidelity"]["dropped"] == sum(d < bound for d in dice)
    said = run(1, "evaluate", study, *words, "--set", "evaluate.fidelity=1", expect=3)
    assert "every synthetic slice" in said, said


def main():
    with chain.Place(patients=6) as place:
        study, out = place.study("serial")
        said = run(1, "run", study, *WORDS)
        assert "mean Dice, 2 labelled, oracle" in said, said
        expected, distances = results(out), distributions(out)
        statistics_hold(out)
        assert os.path.exists(f"{out}/report/report.html")
        assert "all good" in run(0, "verify", out)
        record = f"{out}/sets/n2-s0/fidelity/manifest.json"
        os.rename(record, f"{out}.kept")
        assert "its manifest.json is missing" in run(0, "verify", out, expect=5)
        os.rename(f"{out}.kept", record)
        assert not glob.glob(f"{out}/queue.*")
        assert "n1-s0/gate" in run(1, "gate", study, *WORDS)
        said = run(2, "run", study, *WORDS)
        assert "metrics is current" in said, said

        for ranks in (2, 4):
            study_n, out_n = place.study(f"on-{ranks}")
            run(ranks, "run", study_n, *WORDS)
            assert results(out_n) == expected, ranks
            # On 4 ranks two train a referee together: it differs in rounding.
            for one, other in zip(distributions(out_n), distances):
                assert one == other or ranks == 4, (one, other)
                for key in ("fid", "fid_floor"):
                    assert abs(one[key] - other[key]) <= 1e-3 * other[key], (key, one, other)

        # The results of the other arms are kept when one arm is left out or a seed is added.
        run(2, "evaluate", study, *WORDS, "--set", "evaluate.arms=[real, oracle]")
        said = run(2, "evaluate", study, *WORDS)
        assert results(out) == expected and "28 of 28 trainings" in said, said

        # A damaged result is made again, and only that.
        path = f"{out}/sets/n2-s0/metrics.parts/oracle-1.result"
        with open(path, "r+b") as f:
            f.seek(-3, os.SEEK_END)
            f.write(b"x")
        os.remove(f"{out}/metrics/manifest.json")
        said = run(2, "evaluate", study, *WORDS)
        assert results(out) == expected and "27 of 28 trainings" in said, said

        study_k, out_k = place.study("killed")
        for verb in ("ingest", "referee", "train", "generate"):
            run(2, verb, study_k, *WORDS)
        killed(study_k, out_k)
        assert results(out_k) == expected

        # Two tasks at the same time, as of a job array, then the statistics. Each has a folder for
        # temporary files: two mpirun that begin at once can fail to make the one of Open MPI.
        study_t, out_t = place.study("tasks")
        run(1, "ingest", study_t, *WORDS)
        tasks = []
        for k in range(2):
            own = f"{place.root}/task-{k}"
            os.mkdir(own)
            tasks.append(subprocess.Popen(
                chain.command(1, chain.CTAUG, "run", study_t, *WORDS, "--task", f"{k}/2"),
                stdout=subprocess.DEVNULL, env=dict(chain.ENV, TMPDIR=own)))
        assert [task.wait(timeout=900) for task in tasks] == [0, 0]
        assert not os.path.exists(f"{out_t}/metrics")
        said = run(1, "run", study_t, *WORDS)
        assert "28 of 28 trainings" in said and results(out_t) == expected, said
        for task, words in (("2/2", WORDS), ("x", WORDS), ("0/3", WORDS), ("0/1", ())):
            assert "--task" in run(1, "run", study_t, *words, "--task", task, expect=2) or task == "0/3"

        fidelity(study_t, out_t)

        # No patient is left for the oracle.
        said = run(1, "run", study_k, *WORDS, "--set", "evaluate.labelled=[3]", expect=3)
        assert "oracle" in said and "3 labelled patients" in said, said
        said = run(1, "train", study_k, *WORDS, "--set", "evaluate.labelled=[4]", expect=3)
        assert "data.labelled is 4" in said, said


main()
