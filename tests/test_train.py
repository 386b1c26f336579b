"""Training on several ranks: the gradient does not depend on their number; a killed training ends
in the same bits, also on another number of ranks if it is reproducible."""
import json
import os
import shutil
import signal

import numpy

import chain
from checkpoints import arrays, newest, same
from interruption import interrupt


# Enough steps for an interruption, and a trainer that other numbers of ranks can resume.
SET = ("--set", "train.steps=120", "--set", "train.reproducible=on")


def gradient_is_the_same_on_1_2_and_4_ranks(place, study):
    tool = os.path.join(chain.TOOLS, "tool_gradient")
    grads = []
    for ranks in (1, 2, 3, 4):
        path = f"{place.root}/grad-{ranks}"
        chain.run(ranks, tool, study, path)
        grads.append(numpy.fromfile(path, numpy.float32).astype(float))
        off = numpy.linalg.norm(grads[-1] - grads[0]) / numpy.linalg.norm(grads[0])
        print(f"gradient on {ranks} ranks: relative difference {off:.2e}")
        assert numpy.linalg.norm(grads[0]) > 0 and off < 1e-5, off


def interrupted(place, store, sign):
    """A training all of whose ranks get a signal after the first checkpoint."""
    study, out = place.study(f"interrupted-{sign.name}")
    shutil.copytree(store, f"{out}/store")
    return study, out, interrupt(sign, f"{out}/checkpoints/step-????????", 2, "train", study, *SET)


def main():
    with chain.Place() as place:
        study, out = place.study("whole")
        chain.run(2, "ingest", study)
        gradient_is_the_same_on_1_2_and_4_ranks(place, study)

        chain.run(2, "train", study, *SET)
        whole = newest(out)
        assert whole.endswith("step-00000120"), whole
        history = json.load(open(f"{out}/checkpoints/history.json"))
        losses = history["train"]["loss"]
        assert losses[-1] < 0.8 * losses[0], losses
        assert history["validation"]["step"][-1] == 120
        assert os.path.exists(f"{out}/previews/step-00000120.png")
        assert len([d for d in os.listdir(f"{out}/checkpoints") if d.startswith("step-")]) == 3
        said = chain.run(2, "train", study, *SET)
        assert "current" in said, said

        # Killed: resumed by more ranks, without sharding of the optimizer state, it ends in the
        # same bits.
        study, killed, code = interrupted(place, f"{out}/store", signal.SIGKILL)
        at = newest(killed)
        chain.run(4, "train", study, *SET, "--set", "train.optimizer_sharding=off")
        same(whole, newest(killed))
        again = json.load(open(f"{killed}/checkpoints/history.json"))
        assert again["train"]["step"][-1] == 120 and os.path.basename(at) < "step-00000120"
        # Checkpoints lie between the points of the curve, which are means of ten steps each.
        assert again["train"]["step"] == history["train"]["step"]
        assert numpy.allclose(again["train"]["loss"], losses, rtol=1e-6, atol=0), (again, history)

        # Asked to stop: it writes a checkpoint, exits with 75, and once resumed ends in the same
        # bits.
        study, asked, code = interrupted(place, f"{out}/store", signal.SIGUSR1)
        assert code == 75, code
        chain.run(2, "train", study, *SET)
        same(whole, newest(asked))
        again = json.load(open(f"{asked}/checkpoints/history.json"))
        assert again["train"] == history["train"], (again, history)

        # After a change of the study the earlier checkpoints are kept.
        chain.run(1, "train", study, "--set", "train.steps=4", "--set", "train.lr=1e-3")
        kept = f"{asked}/checkpoints.earlier-1/step-00000120"
        same(whole, kept)

        # They are used again when the change is undone.
        said = chain.run(2, "train", study, *SET)
        assert "moved back" in said and "current" in said, said
        same(whole, newest(asked))

        # An EMA with decay 0 equals the parameters, but for the rounding of e + 1 (p - e).
        chain.run(1, "train", study, "--set", "train.steps=4", "--set", "train.ema=0")
        last = arrays(newest(asked))
        numpy.testing.assert_allclose(last["ema/inp.weight"], last["parameters/inp.weight"],
                                      rtol=2.0 ** -22, atol=0)

        # The trainer takes the same decisions on all ranks.
        chain.run(2, os.path.join(chain.TOOLS, "test_trainer"))


main()
