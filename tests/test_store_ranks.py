"""A store has the same bytes for any number of ranks that wrote it; h5py reads its content through
index.h5; a fault on one rank leaves the older store unchanged."""
import json
import os
import sys
import tempfile

import h5py
import numpy as np

import chain
from chain import hashes

TOOL = os.path.join(chain.TOOLS, "tool_store")
VOLUMES = 23


def write(directory, ranks, volumes=VOLUMES, *more, expect=0):
    return chain.run(ranks, TOOL, directory, volumes, *more, expect=expect, timeout=60)


def check_manifest(directory):
    with open(os.path.join(directory, "manifest.json")) as f:
        manifest = json.load(f)
    found = hashes(directory)
    del found["manifest.json"]
    assert {f["name"]: f["sha256"] for f in manifest["files"]} == found
    assert manifest["kind"] == "store" and manifest["version"] == 1
    assert manifest["detail"]["labels"] == ["background", "liver", "bone"]
    return manifest


def check_content(directory, manifest):
    """Values, attributes and layout, read by h5py through the external links."""
    with h5py.File(os.path.join(directory, "index.h5"), "r") as f:
        group = f["volumes"]
        names = [n.decode() for n in group.attrs["labels"]]
        assert names == ["background", "liver", "bone"]
        assert len(group) == VOLUMES == len(manifest["detail"]["volumes"])
        for i, entry in enumerate(manifest["detail"]["volumes"]):
            assert entry["id"] == f"p-{i * 37 % 101:04d}"
            volume = group[entry["id"]]
            shape = (3 + i % 4, 37 + i % 3, 40)
            k = np.arange(np.prod(shape), dtype=np.int64)
            ct, labels = volume["ct"], volume["labels"]
            assert ct.dtype == np.int16 and labels.dtype == np.uint8
            hu = (i * 7919 + k * 104729) % 65536 - 32768  # all of int16
            assert np.array_equal(ct, hu.reshape(shape))
            assert np.array_equal(labels, ((i + k // 4) % 3).reshape(shape))
            for data in (ct, labels):
                assert data.chunks == (1, *shape[1:])
                assert data.shuffle and data.fletcher32
                assert (data.compression, data.compression_opts) == ("gzip", 4)
            assert np.array_equal(volume.attrs["spacing"], [1.5 + 0.1 * i, 0.957, 0.957])
            assert np.array_equal(volume.attrs["origin"], [-100.5, 0.25 * i, 1e-3 / 3])
            assert np.array_equal(volume.attrs["direction"], np.eye(3)[::-1])
            assert volume.attrs["contrast"] == i % 2
            assert volume.attrs["labelled"] == 1 and entry["labelled"] is True
            assert list(entry["shape"]) == list(shape)


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-ranks-") as home:
        stores = {}
        for ranks in (0, 1, 2, 3):  # 0: without mpirun
            directory = os.path.join(home, f"store-{ranks}")
            write(directory, ranks)
            stores[ranks] = hashes(directory)
        assert len(stores[1]) >= 8, "too few shards for a difference between ranks"
        assert stores[0] == stores[1] == stores[2] == stores[3], stores

        directory = os.path.join(home, "store-3")
        check_content(directory, check_manifest(directory))

        said = write(directory, 3, 5, 2, expect=3)
        assert "rank 2: no volume for rank 2" in said, said
        assert hashes(directory) == stores[3], "an older store was touched"

        write(directory, 2, 5)
        check_manifest(directory)  # which also finds stale shards and temporary files


if __name__ == "__main__":
    sys.exit(main())
