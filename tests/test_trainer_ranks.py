"""One training on 1, 2, 3, 4 and 8 ranks, in every mode of the all-reduce: equal within rounding,
and bit for bit where that is specified; resumed by other numbers of ranks; ended by a rank that
fails."""
import os
import tempfile

import chain

TOOL = os.path.join(chain.TOOLS, "tool_trainer")


def modes(ranks):
    """Mode -> (hash, loss, gradient norm) after 4 steps."""
    found = {}
    for line in chain.run(ranks, TOOL, "modes").splitlines():
        name, digest, loss, norm = line.split()
        found[name] = (digest, float(loss), float(norm))
    return found


def near(a, b, limit):
    return all(abs(x - y) <= limit * abs(y) for x, y in zip(a[1:], b[1:]))


def sums_agree():
    one = modes(1)
    assert len({digest for digest, _, _ in one.values()}) <= 2, one  # in sequence, and by the tree
    assert one["fixed"][0] != one["plain"][0], "both orders of summation give the same bits: the test shows nothing"
    for ranks in (2, 3, 4, 8):
        found = modes(ranks)
        for name, mode in found.items():
            limit = 1e-2 if name.startswith("wire") else 1e-5  # bf16 has 8 bits
            assert near(mode, one["plain"], limit), (ranks, name, mode, one["plain"])
            if name.startswith("fixed"):
                assert mode == one["fixed"], (ranks, name, mode, one["fixed"])
        assert found["plain"] == found["plain-sharded"], (ranks, found)
        assert found["apart"] == found["apart-sharded"], (ranks, found)
        assert found["pairs"] == found["pairs-sharded"], (ranks, found)
        assert found["wire"][0] != found["apart"][0], "nothing was rounded for the transfer"
        assert ("fixed" in found) == (ranks != 3)


def checkpoints_fit_all():
    """A training that changes ranks and sharding at every checkpoint ends as one that does not."""
    with tempfile.TemporaryDirectory() as root:
        whole = chain.run(8, TOOL, "resume", f"{root}/whole", 8, "off").split()
        place = f"{root}/parts"
        for ranks, until, sharding in ((2, 2, "off"), (4, 4, "on"), (1, 6, "off"), (2, 8, "on")):
            word, digest, start = chain.run(ranks, TOOL, "resume", place, until, sharding).split()
            assert (word, int(start)) == ("resumed", until - 2), start
        assert digest == whole[1], (digest, whole)
        # Restored without training: what was saved is what was restored.
        assert chain.run(4, TOOL, "resume", place, 8, "on").split()[1:] == [digest, "8"]


def a_failure_ends_all():
    for together in (0, 1):
        said = chain.run(3, TOOL, "fail", together, expect=3, timeout=60)
        line = "after 1 steps: rank 2: sample 31 cannot be read"
        assert said.count(line) == 3, said


def settings_that_cannot_be_reproducible_are_refused():
    for ranks, batch, micro, wire, word in (
            (1, 16, 3, "f32", "multiple of train.micro_batch"),
            (1, 12, 2, "f32", "train.batch / train.micro_batch to be a power of two"),
            (3, 16, 2, "f32", "number of ranks"),
            (2, 8, 8, "f32", "at least one micro-batch a rank"),
            (1, 16, 2, "bf16", "train.gradient_wire")):
        said = chain.run(ranks, TOOL, "refuse", batch, micro, wire, expect=2)
        assert "train.reproducible" in said and word in said, said


sums_agree()
checkpoints_fit_all()
a_failure_ends_all()
settings_that_cannot_be_reproducible_are_refused()
