"""The speed of ctaug on this machine beside oneDNN's convolution rate and PyTorch.

Usage: bench.py [--repeat N] [--net R64,R32] [--type f32,bf16] [--batch N]   (make bench)

Takes some minutes on a machine that runs nothing else. ctaug and PyTorch (the peer, peer.py) each
run in two settings: one process with all cores, and one rank of one thread per core; the better one
counts. All runs are repeated in turn --repeat times and medians are compared, because the speed of
a machine drifts. The cost of a second rank is measured step by step in one run (ctaug bench
--scaling). FLOP are counted alike for both programs, so ratios of GFLOP/s equal ratios of images/s.
The results, with every single run, are also written to $BUILD/bench.json.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BUILD", HERE.parent.parent / "build"))
CTAUG = os.environ.get("CTAUG", str(BUILD / "ctaug"))
CORES = len(os.sched_getaffinity(0))
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
           OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none",
           OMPI_MCA_btl_vader_single_copy_mechanism="none")
SECONDS = 1200  # time limit of one run

# Requirements: at least these ratios to the peer, at least this share of the convolution rate, at
# most so many bytes of memory.
ASKED = {("R64", "f32"): {"train": 1.45, "forward": 1.35, "share": 0.80, "bytes": 1.6e9},
         ("R64", "bf16"): {"train": 1.9, "forward": 1.8, "share": 0.75, "bytes": 1.0e9},
         ("R32", "f32"): {"train": 1.5},
         ("R32", "bf16"): {"train": 2.4}}
ASKED_SCALING = 0.95
WEIGHT = {"R64": 4, "R32": 1, "R16": 0.2}  # relative duration of a run, for the ETA


def types_here():
    """bf16 is measured by default only where the processor has bf16 arithmetic."""
    flags = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return ["f32", "bf16"] if "avx512_bf16" in flags else ["f32"]


def command(job):
    """(command line, threads of a process)"""
    words = ["--net", job["net"], "--type", job["type"], "--batch", str(job["batch"])]
    ranks = job["ranks"]
    if job["who"] == "peer":
        line = [sys.executable, str(HERE / "peer.py"), *words]
        return (line + ["--ddp", str(ranks)] if ranks > 1 else line), job["threads"]
    start = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    more = ["--scaling"] if job["who"] == "scaling" else []
    return [*start, CTAUG, "bench", *words, *more, "--json"], job["threads"]


def run_line(line, threads, fails=False):
    """The JSON that a program prints; None if it fails and may."""
    done = subprocess.run(line, env=dict(ENV, OMP_NUM_THREADS=str(threads)), capture_output=True,
                          text=True, timeout=SECONDS, check=False)
    if done.returncode != 0 and not fails:
        sys.exit(f"bench: {' '.join(line)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout) if done.returncode == 0 else None


def make_jobs(args, peer):
    """One round of all runs. ctaug and the peer follow each other in each setting, so that drift of
    the machine affects both alike."""
    settings = [(1, CORES)] + ([(min(CORES, args.batch), 1)] if CORES > 1 else [])
    for net in args.net:
        for kind in args.type:
            for ranks, threads in settings:
                for who in ("ctaug", "peer") if peer else ("ctaug",):
                    yield {"who": who, "net": net, "type": kind, "batch": args.batch,
                           "ranks": ranks, "threads": threads}
    for kind in args.type if CORES > 1 and "R64" in args.net else ():
        yield {"who": "scaling", "net": "R64", "type": kind, "ranks": 2, "threads": 1,
               "batch": 2 * max(args.batch // 2, 1)}


def measure(args, peer):
    """Runs all rounds: [{"job":, "result":}]."""
    jobs = [job for _ in range(args.repeat) for job in make_jobs(args, peer)]
    total, spent = sum(WEIGHT[job["net"]] for job in jobs), 0
    runs, began = [], time.monotonic()
    for number, job in enumerate(jobs, 1):
        name = (f"{job['who']:7} {job['net']} {job['type']:4} {job['ranks']} ranks x "
                f"{job['threads']} threads, batch {job['batch']}")
        spent += WEIGHT[job["net"]]
        result = run_line(*command(job))
        runs.append({"job": job, "result": result})
        left = (time.monotonic() - began) / spent * (total - spent)
        print(f"{number}/{len(jobs)} {name}: training {result['train_gflops']:.1f} GFLOP/s, forward "
              f"{result['forward_gflops']:.1f}; ETA {left // 60:.0f}:{left % 60:02.0f}", flush=True)
    return runs


def of_settings(runs, field, **which):
    """{ranks: median of a field over the runs of the kind that `which` selects}."""
    found = {}
    for r in runs:
        if all(r["job"][key] == value for key, value in which.items()):
            found.setdefault(r["job"]["ranks"], []).append(r["result"][field])
    return {ranks: statistics.median(values) for ranks, values in found.items()}


def ratio(a, b):
    return a / b if a and b else None


def summarise(runs, nets, kinds):
    cells, scaling = [], []
    for net in nets:
        for kind in kinds:
            cell = {"net": net, "type": kind}
            for who in ("ctaug", "peer"):
                for what in ("train", "forward"):
                    rates = of_settings(runs, f"{what}_gflops", who=who, net=net, type=kind)
                    best = max(rates, key=rates.get) if rates else None
                    cell[f"{who}_{what}_gflops"] = rates.get(best)
                    cell[f"{who}_{what}_ranks"] = best
                memory = of_settings(runs, "peak_rss_bytes", who=who, net=net, type=kind)
                cell[f"{who}_peak_rss_bytes"] = memory.get(1)
            limits = of_settings(runs, "limit_gflops", who="ctaug", net=net, type=kind)
            cell["limit_gflops"] = max(limits.values()) if limits else None
            for what in ("train", "forward"):
                cell[f"{what}_ratio"] = ratio(cell[f"ctaug_{what}_gflops"],
                                              cell[f"peer_{what}_gflops"])
            cell["limit_share"] = ratio(cell["ctaug_train_gflops"], cell["limit_gflops"])
            cell["asked"] = ASKED.get((net, kind), {})
            cells.append(cell)
    for kind in kinds:
        found = [r["result"]["scaling"] for r in runs
                 if (r["job"]["who"], r["job"]["type"]) == ("scaling", kind)]
        if found:
            scaling.append({"net": "R64", "type": kind, "asked": ASKED_SCALING,
                            **{name: statistics.median(s[name] for s in found)
                               for name in ("efficiency", "efficiency_best", "machine")}})
    return {"cores": CORES, "cells": cells, "scaling": scaling}


def number(value, form, asked=None, sign="≥"):
    text = form.format(value) if value is not None else "-"
    return f"{text} ({sign} {form.format(asked)})" if asked is not None else text


def table(summary):
    rows = [("net", "type", "ctaug", "peer", "ratio (asked)", "ctaug", "peer", "ratio (asked)",
             "conv. rate", "share of it", "peak GB")]
    for c in summary["cells"]:
        asked, peak = c["asked"], c["ctaug_peak_rss_bytes"]
        limit = asked.get("bytes")
        rows.append((c["net"], c["type"], number(c["ctaug_train_gflops"], "{:.1f}"),
                     number(c["peer_train_gflops"], "{:.1f}"),
                     number(c["train_ratio"], "{:.2f}", asked.get("train")),
                     number(c["ctaug_forward_gflops"], "{:.1f}"),
                     number(c["peer_forward_gflops"], "{:.1f}"),
                     number(c["forward_ratio"], "{:.2f}", asked.get("forward")),
                     number(c["limit_gflops"], "{:.1f}"),
                     number(c["limit_share"], "{:.0%}", asked.get("share")),
                     number(peak and peak / 1e9, "{:.2f}", limit and limit / 1e9, "≤")))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths)).rstrip()
             for row in rows]
    start = [sum(widths[:k]) + 2 * k for k in range(len(widths))]
    groups = "training, GFLOP/s".rjust(start[2] + 17).ljust(start[5]) + "forward, GFLOP/s"
    lines.insert(0, groups.ljust(start[8]) + "training")
    for s in summary["scaling"]:
        lines.append(f"two ranks of one thread, {s['net']} {s['type']}, of both alone: best steps "
                     f"{s['efficiency_best']:.1%} (≥ {s['asked']:.0%}), median round "
                     f"{s['efficiency']:.1%}; without summing {s['machine']:.1%}")
    return "\n".join(lines)


def names(known):
    def parse(text):
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(known)}")
        return found
    return parse


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--net", type=names(WEIGHT), default=["R64", "R32"])
    parser.add_argument("--type", type=names(("f32", "bf16")), default=types_here())
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    peer = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True,
                          check=False).returncode == 0
    if not peer:
        print("bench: no PyTorch here (python3-torch): no ratios")
    if "bf16" not in args.type + types_here():
        print("bench: no bf16, because this processor has no arithmetic for it (--type f32,bf16)")
    runs = measure(args, peer)
    summary = summarise(runs, args.net, args.type)
    summary.update(repeat=args.repeat, runs=runs)
    print("\n" + table(summary))
    BUILD.mkdir(exist_ok=True)
    out = BUILD / "bench.json"
    out.write_text(json.dumps(summary, indent=2) + "\n")
    print(f"all numbers: {out}")


if __name__ == "__main__":
    main()
