"""Loss curves of f32 and bf16: trains the phantom study of jobs/ in both, 2,000 steps each.

Usage: curves.py [--steps N] [--ranks N] [--out DIR]     (tens of minutes of processor time)

Same seed, same samples, same noise; only train.precision differs. Prints the mean training loss of
every eighth of the training and the validation losses side by side, and ends with 1 if the last
eighth or the last validation differ by more than 1 %.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
CTAUG = os.environ.get("CTAUG", str(BUILD / "ctaug"))
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
           OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none",
           OMPI_MCA_btl_vader_single_copy_mechanism="none")
STUDY = ROOT / "jobs" / "demo-phantom.yaml"
PARTS, ALLOWED = 8, 0.01


def ctaug(ranks, *words):
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([*start, CTAUG, *map(str, words)], env=ENV, check=False)
    if done.returncode != 0:
        sys.exit(f"curves: ctaug {words[0]} ended with {done.returncode}")


def train(args, kind):
    """The history of one training: {"train": {"step":, "loss":}, "validation": ...}"""
    out = args.out / kind
    keys = {"out": out, "ingest.dicom": args.out / "dicom", "train.precision": kind,
            "train.steps": args.steps, "train.preview_every": args.steps}
    sets = [word for key, value in keys.items() for word in ("--set", f"{key}={value}")]
    ctaug(args.ranks, "ingest", STUDY, *sets)
    ctaug(args.ranks, "train", STUDY, *sets)
    return json.loads((out / "checkpoints" / "history.json").read_text())


def eighths(curve):
    """[(first step, mean loss)]"""
    n = len(curve["loss"])
    cuts = [n * k // PARTS for k in range(PARTS + 1)]
    return [(curve["step"][a], sum(curve["loss"][a:b]) / (b - a))
            for a, b in zip(cuts, cuts[1:]) if b > a]


def compare(title, ours, theirs):
    """Prints two curves; returns their last relative difference."""
    print(f"\n{title}\n  from step        f32       bf16   difference")
    for (step, f32), (_, bf16) in zip(ours, theirs):
        print(f"  {step:9.0f} {f32:10.6f} {bf16:10.6f}   {100 * (bf16 / f32 - 1):+8.2f} %")
    return theirs[-1][1] / ours[-1][1] - 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/curves"))
    args = parser.parse_args()
    if not (args.out / "dicom").exists():
        ctaug(1, "phantom", "--patients", 12, "--seed", 1, "--out", args.out / "dicom")
    f32, bf16 = train(args, "f32"), train(args, "bf16")
    last = [compare("training loss, means", eighths(f32["train"]), eighths(bf16["train"]))]
    points = [list(zip(h["validation"]["step"], h["validation"]["loss"])) for h in (f32, bf16)]
    last.append(compare("validation loss", *points))
    sys.exit(any(abs(difference) > ALLOWED for difference in last))


if __name__ == "__main__":
    main()
