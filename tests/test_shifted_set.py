"""evaluate.shifted: the test patients on another scanner. With the run's own store the shifted set
is the plain one; with that of the phantom's second scanner only test patients count; 1 and 2 ranks
agree; a store without the patients, or with other labels, is refused by name."""
import csv
import json

import chain

WORDS = ["--set", "evaluate.labelled=[1]", "--set", "evaluate.steps=30", "--set",
         "data.split=[0.4, 0.2, 0.4]", "--set", "train.steps=2", "--set", "generate.volumes=1",
         "--set", "generate.steps=2", "--set", "train.reproducible=on"]


def values(out):
    """test set -> {(patient, structure, metric): value} of the arm real."""
    found = {}
    with open(f"{out}/metrics/metrics.csv", newline="") as f:
        for row in csv.DictReader(f):
            if row["arm"] == "real":
                key = (row["patient"], row["structure"], row["metric"])
                found.setdefault(row["test"], {})[key] = row["value"]
    return found


def shift_of(out):
    with open(f"{out}/metrics/metrics.json") as f:
        return json.load(f)["protocol"]["shift"]


def ingest_other(place, name, *phantom, seed=1, settings=()):
    """The run folder of an archive of its own."""
    dicom = f"{place.root}/{name}-dicom"
    chain.run(1, "phantom", "--patients", "5", "--seed", seed, "--size", "32", "--slices", "8",
              "--out", dicom, *phantom)
    study, out = place.study(name)
    chain.run(0, "ingest", study, "--set", f"ingest.dicom={dicom}", *settings)
    return out


def main():
    with chain.Place(5) as place:
        study, out = place.study("first")
        for stage in ("ingest", "train", "generate", "evaluate"):
            chain.run(0, stage, study, *WORDS)
        simulated, text = values(out), shift_of(out)
        assert simulated["plain"] != simulated["shifted"] and "Gaussian kernel" in text

        # The same patients on the same scanner.
        chain.run(0, "evaluate", study, *WORDS, "--set", f"evaluate.shifted={out}")
        own = values(out)
        assert own["plain"] == simulated["plain"] == own["shifted"] and own["plain"]
        assert "another scanner" in shift_of(out) and shift_of(out) != text

        second = ingest_other(place, "second", "--scanner", "2")
        chosen = ["--set", f"evaluate.shifted={second}"]
        said = chain.run(0, "evaluate", study, *WORDS, *chosen)
        assert "evaluate.shifted has 2 of the 2 test patients" in said, said
        other = values(out)
        assert other["plain"] == own["plain"] and other["shifted"] != own["shifted"]
        # The labels are those of the same patients; every value is there for each of them.
        patients = {key[0] for key in own["plain"]}
        assert patients == {key[0] for key in other["shifted"]} and len(patients) == 2
        assert "is current" in chain.run(0, "evaluate", study, *WORDS, *chosen)
        said = chain.run(0, "report", study, *WORDS, *chosen, expect=(0, 2, 4))
        with open(f"{out}/metrics/metrics.csv", "rb") as f:
            one = f.read()
        chain.run(2, "evaluate", study, *WORDS, *chosen, "--set", "evaluate.steps=31")
        chain.run(2, "evaluate", study, *WORDS, *chosen)
        with open(f"{out}/metrics/metrics.csv", "rb") as f:
            assert f.read() == one, said

        stranger = ingest_other(place, "stranger", settings=["--set", f"ingest.key={place.root}/k"])
        said = chain.run(2, "evaluate", study, *WORDS, "--set", f"evaluate.shifted={stranger}",
                         expect=3)
        assert "evaluate.shifted" in said and "ingest.key" in said and stranger in said, said
        renamed = ingest_other(place, "renamed", settings=["--set", "ingest.structures=[\"hepar: liver\"]"])
        said = chain.run(0, "evaluate", study, *WORDS, "--set", f"evaluate.shifted={renamed}",
                         expect=3)
        assert "different labels" in said, said
        said = chain.run(0, "evaluate", study, *WORDS, "--set",
                         f"evaluate.shifted={place.root}/nothing", expect=3)
        assert f"{place.root}/nothing" in said, said


main()
