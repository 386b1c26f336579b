"""With a learned variance and importance sampling a training ends in the same bits on 1 and 2
ranks, and after it was killed, though the losses decide which time steps are drawn."""
import json
import shutil
import signal

import chain
from checkpoints import arrays, newest, same
from interruption import interrupt

# Ten noise levels: after the first checkpoints each has its ten losses, so that importance sampling
# decides which are drawn.
LEARNED = ("--set", "train.steps=60", "--set", "train.reproducible=on", "--set",
           "diffusion.steps=10", "--set", "diffusion.variance=learned", "--set",
           "train.t_sampling=importance", "--set", "generate.steps=4")


def place_study(place, store, name):
    study, out = place.study(name)
    shutil.copytree(store, f"{out}/store")
    return study, out


def trained(place, store, ranks):
    """The last checkpoint of a training on these ranks, and its losses."""
    study, out = place_study(place, store, f"ranks-{ranks}")
    chain.run(ranks, "train", study, *LEARNED)
    with open(f"{out}/checkpoints/history.json") as f:
        return newest(out), json.load(f)["train"]["loss"]


def killed(place, store):
    """The last checkpoint of a training that was killed on two ranks, and resumed by one."""
    study, out = place_study(place, store, "killed")
    interrupt(signal.SIGKILL, f"{out}/checkpoints/step-00000040", 2, "train", study, *LEARNED)
    chain.run(1, "train", study, *LEARNED)
    return newest(out)


def main():
    with chain.Place() as place:
        study, out = place.study("whole")
        chain.run(2, "ingest", study)
        one, losses = trained(place, f"{out}/store", 1)
        two, _ = trained(place, f"{out}/store", 2)
        same(one, two)
        same(one, killed(place, f"{out}/store"))
        assert losses[-1] < losses[0], losses
        state = arrays(one)
        assert state["parameters/oc.weight"].shape == (2, 16, 3, 3)
        assert state["timesteps/loss"].shape == (10, 10)
        assert (state["timesteps/count"] == 10).all() and (state["timesteps/loss"] > 0).all()
        last = state["timesteps/loss"].mean(1)
        assert last.max() > 1.5 * last.min(), last


main()
