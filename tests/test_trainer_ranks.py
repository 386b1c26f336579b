"""One training on 1, 2, 3, 4 and 8 ranks, in every way of summing: the same within rounding, and the
same bits where that is promised; taken up by other numbers of ranks; ended by a rank that fails."""
import os
import tempfile

import chain

TOOL = os.path.join(chain.TOOLS, "tool_trainer")


def ways(ranks):
    """Way -> (hash, loss, gradient norm) after 4 steps."""
    found = {}
    for line in chain.run(ranks, TOOL, "ways").splitlines():
        name, digest, loss, norm = line.split()
        found[name] = (digest, float(loss), float(norm))
    return found


def near(a, b, limit):
    return all(abs(x - y) <= limit * abs(y) for x, y in zip(a[1:], b[1:]))


def sums_agree():
    one = ways(1)
    assert len({digest for digest, _, _ in one.values()}) <= 2, one  # plain, and the tree
    assert one["fixed"][0] != one["plain"][0], "the tree shows in no bit: the test is blind"
    for ranks in (2, 3, 4, 8):
        all_ways = ways(ranks)
        for name, way in all_ways.items():
            limit = 1e-2 if name.startswith("wire") else 1e-5  # bf16 has 8 bits
            assert near(way, one["plain"], limit), (ranks, name, way, one["plain"])
            if name.startswith("fixed"):
                assert way == one["fixed"], (ranks, name, way, one["fixed"])
        assert all_ways["plain"] == all_ways["plain-sharded"], (ranks, all_ways)
        assert all_ways["apart"] == all_ways["apart-sharded"], (ranks, all_ways)
        assert all_ways["pairs"] == all_ways["pairs-sharded"], (ranks, all_ways)
        assert all_ways["wire"][0] != all_ways["apart"][0], "nothing was rounded on its way"
        assert ("fixed" in all_ways) == (ranks != 3)


def checkpoints_fit_all():
    """A training that changes ranks and sharding at every checkpoint ends as one that does not."""
    with tempfile.TemporaryDirectory() as root:
        whole = chain.run(8, TOOL, "resume", f"{root}/whole", 8, "off").split()
        place = f"{root}/parts"
        for ranks, until, sharding in ((2, 2, "off"), (4, 4, "on"), (1, 6, "off"), (2, 8, "on")):
            word, digest, start = chain.run(ranks, TOOL, "resume", place, until, sharding).split()
            assert (word, int(start)) == ("resumed", until - 2), start
        assert digest == whole[1], (digest, whole)
        # Read once more and not trained: what was saved is what was there.
        assert chain.run(4, TOOL, "resume", place, 8, "on").split()[1:] == [digest, "8"]


def a_failure_ends_all():
    for together in (0, 1):
        said = chain.run(3, TOOL, "fail", together, expect=3, timeout=60)
        line = "after 1 steps: rank 2: sample 31 cannot be read"
        assert said.count(line) == 3, said


def what_cannot_be_is_refused():
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
what_cannot_be_is_refused()
