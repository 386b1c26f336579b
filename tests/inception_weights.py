"""What the scripts with an Inception v3 share: random weights, safetensors files, and the network in
PyTorch."""
import json
import math
import subprocess
import sys

import numpy as np


def require_torch():
    """Skips the test without PyTorch. It is asked for in another process: importing it takes seconds
    and memory."""
    if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True,
                      check=False).returncode != 0:
        print("no PyTorch (python3-torch)")
        sys.exit(77)


def write(path, tensors, kind="F32"):
    """A safetensors file. kind: F32, F16, or BF16, for which numbers are cut, not rounded."""
    header, data, at = {"__metadata__": {"format": "pt"}}, [], 0
    for name, values in tensors.items():
        raw = values.astype(np.float16 if kind == "F16" else np.float32)
        if kind == "BF16":
            raw = (raw.view(np.uint32) >> 16).astype(np.uint16)
        if values.dtype == np.int64:
            raw = values
        header[name] = {"dtype": "I64" if values.dtype == np.int64 else kind,
                        "shape": list(values.shape), "data_offsets": [at, at + raw.nbytes]}
        at += raw.nbytes
        data.append(raw.tobytes())
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(data))


class Recorder(dict):
    """Gives random parameters of any name and shape, always the same ones."""

    def __init__(self):
        super().__init__()
        self.rng = np.random.default_rng(7)

    def __call__(self, name, *shape):
        if name not in self:
            values = self.rng.standard_normal(shape)
            if name.endswith("conv.weight"):
                values *= math.sqrt(2 / math.prod(shape[1:]))
            elif name.endswith("running_var"):
                values = self.rng.uniform(0.2, 3, shape)
            else:
                values = 0.3 * values + name.endswith("bn.weight")
            self[name] = values.astype(np.float32)
        assert self[name].shape == shape, (name, self[name].shape, shape)
        return sys.modules["torch"].from_numpy(self[name])


def theirs_of(get, images):
    import torch
    from golden import inception
    with torch.no_grad():
        return inception.network(get, torch.from_numpy(images)).numpy()
