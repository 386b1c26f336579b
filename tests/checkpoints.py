"""What the tests of trainings share: checkpoints as arrays."""
import os

import h5py
import numpy


def newest(out, folder="checkpoints"):
    """The newest checkpoint in a folder; None if there is none, or no folder."""
    place = f"{out}/{folder}"
    steps = sorted(d for d in (os.listdir(place) if os.path.isdir(place) else [])
                   if d.startswith("step-") and ".tmp." not in d)
    return f"{place}/{steps[-1]}" if steps else None


def only_folder(place):
    """The only folder in `place`; None if there is none."""
    names = os.listdir(place) if os.path.isdir(place) else []
    assert len(names) <= 1, names
    return f"{place}/{names[0]}" if names else None


def arrays(path):
    found = {}
    with h5py.File(f"{path}/state.h5", "r") as f:
        f.visititems(lambda name, item: found.update({name: item[()]})
                     if isinstance(item, h5py.Dataset) else None)
    return found


def same(a, b):
    a, b = arrays(a), arrays(b)
    assert a.keys() == b.keys() and len(a) > 100, (len(a), len(b))
    for name in a:
        assert numpy.array_equal(a[name], b[name]), name
