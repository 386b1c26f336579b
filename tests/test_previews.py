"""Previews of a training: as many columns as 5 % of its work pays for, at least one and at most
six; the same picture on 1 and 2 ranks; that of the GAN, too."""
import glob
import struct

import chain

CELL = 2 * 32 + 2  # slices of 32 pixels, drawn twice as large
WORDS = ["--set", "train.reproducible=on", "--set", "train.steps=12", "--set",
         "train.preview_every=12"]


def size(path):
    """Columns and rows of a sheet."""
    with open(path, "rb") as f:
        width, height = struct.unpack(">II", f.read(24)[16:])
    assert width % CELL == 0 and height == 3 * CELL, (path, width, height)
    return width // CELL


def picture(out, name):
    with open(f"{out}/previews/{name}", "rb") as f:
        return f.read()


def train(place, ranks, *words):
    study, out = place.study(f"study-{ranks}-{len(words)}-{words[-1].split('=')[-1]}")
    chain.run(1, "ingest", study)
    chain.run(ranks, "train", study, *WORDS, *words)
    return study, out


def main():
    with chain.Place() as place:
        # 12 steps of 8 slices, three passes each, pay for 0.05 * 288 = 14.4 passes.
        for steps, passes, columns in (("1", 2, 6), ("2", 4, 3), ("3", 6, 2), ("50", 100, 1)):
            _, out = train(place, 1, "--set", f"generate.steps={steps}")
            found = size(f"{out}/previews/step-00000012.png")
            assert found == columns == max(1, min(6, int(14.4 / passes))), (steps, found)
        study, several = train(place, 2, "--set", "generate.steps=2")
        one = f"{place.root}/study-1-2-2"
        assert picture(one, "step-00000012.png") == picture(several, "step-00000012.png")
        chain.run(2, "gan", study, *WORDS, "--set", "generate.steps=2", "--set",
                  "generate.painters=[diffusion, gan]")
        assert {size(path) for path in glob.glob(f"{several}/previews/gan-*.png")} == {6}


main()
