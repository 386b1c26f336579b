"""How often the release gate is wrong: over several seeds, how many models that know 16 slices by
heart are caught, and how many sets of strangers are taken for copied ones. Two minutes a model and
one a set of strangers on one core.

    CTAUG=build/ctaug /usr/bin/python3 tests/long/gate_rates.py --models 2 --strangers 4 --seed 100

Each model is trained on two patients of its own, and each set of strangers has eight patients of
its own (see tests/test_gate.py). Exit code 1 if a model is missed or more than one set in ten is
taken for copied.
"""
import argparse
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import chain  # noqa: E402
import test_gate  # noqa: E402

SHOWN = ("passed", "copy_rate", "copy_low", "control_bound", "real_bound", "auc", "slice_auc")


def show(what, found):
    print(what, *(f"{key} {found[key]:.3f}" for key in SHOWN), flush=True)


def strangers(root, seed, donor):
    """The finding on patients whom the donor's model never saw."""
    test_gate.make_patients(f"{root}/dicom{seed}", seed)
    study, out = test_gate.write_study(root, f"strangers{seed}", f"{root}/dicom{seed}")
    test_gate.with_model_of(donor, study, out)
    chain.run(1, "gate", study)
    return test_gate.finding(out)


def main():
    asked = argparse.ArgumentParser()
    for name, value in (("--models", 2), ("--strangers", 4), ("--seed", 100)):
        asked.add_argument(name, type=int, default=value)
    asked = asked.parse_args()
    missed = alarms = 0
    with chain.Place(patients=1) as place:
        for m in range(asked.models):
            seed = asked.seed + m * (asked.strangers + 1)
            test_gate.make_patients(f"{place.root}/dicom{seed}", seed)
            study, out = test_gate.write_study(place.root, f"model{seed}", f"{place.root}/dicom{seed}")
            for verb in ("ingest", "train", "generate", "gate"):
                chain.run(1, verb, study, timeout=1200)
            show(f"model {seed}:", test_gate.finding(out))
            missed += test_gate.finding(out)["passed"]
            for s in range(seed + 1, seed + 1 + asked.strangers):
                found = strangers(place.root, s, out)
                show(f"strangers {s} of model {seed}:", found)
                alarms += not found["passed"]
    sets = asked.models * asked.strangers
    print(f"models missed: {missed} of {asked.models}; strangers taken for copied: {alarms} of {sets}")
    return 1 if missed or alarms > sets / 10 else 0


if __name__ == "__main__":
    sys.exit(main())
