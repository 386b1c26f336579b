"""A training that overflows ends with 6 on all ranks alike and leaves its checkpoints as they are.

The network normalises, so that no learning rate that a study may have makes it overflow. The test
therefore enlarges the output weights in a checkpoint, as a faulty training would, and vouches for
it anew: finite numbers, whose loss is not.
"""
import json
import os

import h5py

import chain

SET = ("--set", "train.steps=40", "--set", "train.checkpoint_every=4", "--set",
       "train.preview_every=40", "--set", "train.validate_every=40")


def enlarge(step):
    with h5py.File(f"{step}/state.h5", "r+") as f:
        f["parameters/oc.weight"][...] = 1e30  # the last convolution


def rank_codes(ranks, out, *words):
    """Runs ctaug; (what mpirun gave and said, the exit code of every rank)."""
    program = '"${@:2}"; code=$?; echo $code > "$1.$OMPI_COMM_WORLD_RANK"; exit $code'
    said = chain.run(ranks, "/bin/bash", "-c", program, "-", f"{out}.code", chain.CTAUG, *words,
                     expect=6)
    codes = []
    for rank in range(ranks):
        with open(f"{out}.code.{rank}") as f:
            codes.append(int(f.read()))
    return said, codes


with chain.Place() as place:
    study, out = place.study("diverges")
    chain.run(2, "ingest", study)
    chain.run(2, "train", study, "--set", "train.steps=40", "--set", "train.checkpoint_every=4",
              *SET[4:])
    steps = sorted(d for d in os.listdir(f"{out}/checkpoints") if d.startswith("step-"))
    # Those before the last: the training goes on from there.
    for name in steps[1:]:
        for file in os.listdir(f"{out}/checkpoints/{name}"):
            os.remove(f"{out}/checkpoints/{name}/{file}")
        os.rmdir(f"{out}/checkpoints/{name}")
    last = f"{out}/checkpoints/{steps[0]}"
    at = int(steps[0][-8:])
    enlarge(last)
    chain.vouch(last)
    chain.run(0, "verify", out)
    before = chain.hashes(last)
    for _ in range(2):  # and again: it resumes where it did, and ends where it ended
        said, codes = rank_codes(2, out, "train", study, *SET[:2], "--set",
                                 "train.checkpoint_every=100", *SET[4:])
        assert codes == [6, 6], codes
        lines = [line for line in said.splitlines() if line.startswith("ctaug: ")]
        assert len(lines) == 1 and "training diverged" in lines[0], said
        assert f"at step {at + 5}" in lines[0] and "learning rate" in lines[0], lines
        assert said.count(" skipped: loss ") == 4 and f"resuming from step {at}" in said, said
        assert chain.hashes(last) == before
        assert sorted(d for d in os.listdir(f"{out}/checkpoints")
                      if d.startswith("step-")) == steps[:1]
        chain.run(0, "verify", out)
        print(lines[0])
    events = [json.loads(line) for line in open(f"{out}/events.jsonl")]
    assert events[-1]["event"] == "end" and events[-1]["code"] == 6, events[-1]
