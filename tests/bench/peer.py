"""Times the same network and training step in PyTorch, to compare `ctaug bench` with.

Usage: peer.py --net R64|R32|R16 --type f32|bf16 --batch N [--ddp RANKS] [--channels N]
(Debian's python3-torch)

Prints the fields of `ctaug bench --json`; limit_gflops is null. --batch is the global batch.
Without --ddp one process uses OMP_NUM_THREADS threads (default: all cores); with it, RANKS ranks of
one thread each train together over gloo. The network is that of tests/golden/unet.py.
"""
import argparse
import json
import pathlib
import resource
import socket
import statistics
import sys
import time
import warnings

import torch
import torch.distributed
import torch.nn.functional as F

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "golden"))
import unet  # noqa: E402

STEPS, SIZE = 5, 64
CHANNELS = 1  # of a slice
NETS = {"R64": (64, (1, 2, 2, 4), 2, (16, 8)),
        "R32": (32, (1, 2, 2, 4), 2, (16, 8)),
        "R16": (16, (1, 2, 2), 1, (16,))}


def norm(name, x):
    """Group norm in f32. Autocast would compute it in bf16, including the statistics."""
    c = x.shape[1]
    y = F.group_norm(x.float(), unet.GROUPS, unet.param(f"{name}.weight", c, one=1.0),
                     unet.param(f"{name}.bias", c))
    return y.to(x.dtype)


class Network(torch.nn.Module):
    """The functions of tests/golden/unet.py as a module, for DDP and the optimizer."""

    def __init__(self, net):
        super().__init__()
        unet.BASE, unet.MULT, unet.BLOCKS, unet.ATTENTION = NETS[net]
        unet.SIZE, unet.norm = SIZE, norm
        self.flops = count_flops()
        self.all = torch.nn.ParameterList([torch.nn.Parameter(p.detach())
                                           for p in unet.params.values()])
        unet.params.update(zip(unet.params, self.all))

    def forward(self, x, t):
        return unet.unet(x, t)


def count_flops():
    """FLOP of one image forward: convolutions, linear layers and the matrix products of attention.
    As a side effect creates the parameters."""
    total = 0
    plain = unet.conv, unet.linear, unet.attention

    def conv(name, x, *more):
        nonlocal total
        y = plain[0](name, x, *more)
        total += 2 * y.numel() * unet.params[f"{name}.weight"][0].numel()
        return y

    def linear(name, x, out):
        nonlocal total
        total += 2 * x.numel() * out
        return plain[1](name, x, out)

    def attention(name, x):
        nonlocal total
        total += 4 * x.shape[1] * (x.shape[2] * x.shape[3]) ** 2
        return plain[2](name, x)

    unet.conv, unet.linear, unet.attention = conv, linear, attention
    with torch.no_grad():
        unet.unet(torch.zeros(1, CHANNELS, SIZE, SIZE), torch.zeros(1))
    unet.conv, unet.linear, unet.attention = plain
    return total


def timed(barrier, work):
    """Seconds: the median of STEPS runs after a warm-up."""
    took = []
    for _ in range(STEPS + 1):
        barrier()
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return statistics.median(took[1:])


def measure(net, kind, share, ranks):
    """(seconds of a training step, seconds of a forward run, FLOP of an image)"""
    torch.manual_seed(1)
    bare = Network(net)
    model = torch.nn.parallel.DistributedDataParallel(bare) if ranks > 1 else bare
    barrier = torch.distributed.barrier if ranks > 1 else lambda: None
    x, t = torch.randn(share, CHANNELS, SIZE, SIZE), torch.randint(0, 1000, (share,))
    target = torch.randn_like(x)
    parameters = list(model.parameters())
    optimiser = torch.optim.AdamW(parameters, lr=1e-4, weight_decay=0.01)
    ema = [p.detach().clone() for p in parameters]

    def mixed():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bf16")

    def train():
        with mixed():
            loss = F.mse_loss(model(x, t).float(), target)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_mul_(ema, 0.999)
            torch._foreach_add_(ema, parameters, alpha=0.001)

    def forward():
        with torch.no_grad(), mixed():
            bare(x, t)

    return timed(barrier, train), timed(barrier, forward), bare.flops


def run(rank, args, port):
    global CHANNELS
    CHANNELS = args.channels
    ranks = args.ddp or 1
    if args.ddp:
        # The warning concerns 1x1 convolutions, whose two memory layouts are identical.
        warnings.filterwarnings("ignore", message="Grad strides do not match")
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank,
                                             world_size=ranks)
    step, forward, flops = measure(args.net, args.type, args.batch // ranks, ranks)
    batch = args.batch // ranks * ranks
    if rank == 0:
        rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({
            "net": args.net, "type": args.type, "ranks": ranks,
            "threads": torch.get_num_threads(), "batch": batch,
            "train_images_per_s": batch / step, "forward_images_per_s": batch / forward,
            "train_gflops": 3 * flops * batch / step / 1e9,
            "forward_gflops": flops * batch / forward / 1e9, "limit_gflops": None,
            "peak_rss_bytes": rss}, indent=2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", choices=NETS, default="R32")
    parser.add_argument("--type", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--ddp", type=int, default=0, metavar="RANKS")
    parser.add_argument("--channels", type=int, default=1)
    args = parser.parse_args()
    if not args.ddp:
        run(0, args, 0)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(run, (args, port), args.ddp)


if __name__ == "__main__":
    main()
