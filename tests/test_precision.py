"""train.precision, train.recompute and train.reproducible together: training in bf16 follows the
losses of f32, gives the same bits on 1, 2 and 4 ranks and with activations recomputed, and its
checkpoint generates the same bytes on any number of ranks."""
import json
import os
import shutil

import h5py

import chain

STEPS = 80
SET = ("--set", f"train.steps={STEPS}", "--set", "train.reproducible=on", "--set",
       "train.checkpoint_every=40", "--set", "train.validate_every=40")


def native():
    with open("/proc/cpuinfo") as f:
        return "avx512_bf16" in f.read()


def train(place, store, name, ranks, *words):
    """(output folder, output of ctaug)"""
    study, out = place.study(name)
    shutil.copytree(store, f"{out}/store")
    return out, chain.run(ranks, "train", study, *SET, *words)


def state(out):
    """The bytes of every array of the last checkpoint, and the history."""
    found = {}
    with h5py.File(f"{out}/checkpoints/step-{STEPS:08d}/state.h5", "r") as f:
        f.visititems(lambda name, item: found.update({name: item[()].tobytes()})
                     if isinstance(item, h5py.Dataset) else None)
    with open(f"{out}/checkpoints/history.json") as f:
        return found, json.load(f)


def main():
    with chain.Place() as place:
        study, first = place.study("ingested")
        chain.run(2, "ingest", study)
        store = f"{first}/store"
        bf16 = ("--set", "train.precision=bf16")

        f32, _ = train(place, store, "f32", 2)
        one, _ = train(place, store, "bf16-1", 1, *bf16)
        two, _ = train(place, store, "bf16-2", 2, *bf16, "--set", "train.recompute=blocks")
        four, _ = train(place, store, "bf16-4", 4, *bf16, "--set", "train.optimizer_sharding=off")
        wide, low = state(f32), state(one)
        assert state(two)[0] == low[0] and state(four)[0] == low[0]
        assert wide[0].keys() == low[0].keys() and wide[0] != low[0]

        # Losses are compared during their steep descent, where they differ by more than at the end.
        for part in ("train", "validation"):
            a, b = wide[1][part]["loss"][-1], low[1][part]["loss"][-1]
            print(f"{part} loss after {STEPS} steps: {a:.5f} in f32, {b:.5f} in bf16")
            assert a != b and abs(b / a - 1) < 0.03, (part, a, b)
        assert low[1]["train"]["loss"][-1] < 0.8 * low[1]["train"]["loss"][0]

        _, said = train(place, store, "auto", 2, "--set", "train.precision=auto")
        assert f"precision {'bf16' if native() else 'f32'}" in said, said

        # Generated on 1 and 3 ranks from the same checkpoint.
        made = []
        for ranks in (1, 3):
            study, out = place.study(f"generated-{ranks}")
            for folder in ("store", "checkpoints"):
                shutil.copytree(f"{one}/{folder}", f"{out}/{folder}")
            chain.run(ranks, "generate", study, *SET, *bf16)
            made.append({name: value for name, value in chain.hashes(f"{out}/synthetic").items()
                         if name.endswith(".h5") and os.path.basename(name) != "index.h5"})
        assert made[0] and made[0] == made[1], made

        # Settings that cannot be reproducible are refused with the names of their keys.
        study, out = place.study("uneven")
        shutil.copytree(store, f"{out}/store")
        said = chain.run(3, "train", study, *SET, expect=2)
        assert "train.reproducible" in said and "power of two" in said, said


main()
