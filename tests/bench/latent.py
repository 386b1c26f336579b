"""What a training in latents saves against one in pixels, beside the same network in PyTorch.

Usage: latent.py [--net R64] [--type f32|bf16] [--repeat 3] [--batch 16]      (make bench-latent)

`ctaug bench --latent` (two ranks of one thread, or one process on a machine of one core) and the
peer (peer.py: one process with all cores, and one rank a core; the better one counts) in turn on
latents of 64 x 64 x 4. The table has medians and ranges. All runs are in $BUILD/bench-latent.json.
"""
import argparse
import json
import statistics
import sys

from bench import BUILD, CORES, CTAUG, HERE, run_line

# Requirements: images a second in latents against pixels, against the peer, and bytes at 512.
ASKED = {"256": 8, "512": 25, "peer": 1.5, "bytes": 3e9}


def once(args, peer):
    words = ["--net", args.net, "--type", args.type, "--batch", str(args.batch)]
    start = ["mpirun", "-n", str(CORES)] if CORES > 1 else []
    micro = max(1, min(8, args.batch // CORES))
    ours = run_line([*start, CTAUG, "bench", *words, "--micro-batch", str(micro), "--latent",
                     "--json"], 1)
    theirs = []
    for ranks in ([], ["--ddp", str(CORES)])[:2 if CORES > 1 else 1] if peer else ():
        line = [sys.executable, str(HERE / "peer.py"), *words, "--channels", "4", *ranks]
        theirs.append(run_line(line, 1 if ranks else CORES)["train_images_per_s"])
    found = {"ours": ours, "256": ours["ratio_256"], "512": ours["ratio_512"],
             "bytes": ours["cases"][1]["peak_rss_bytes"]}
    if theirs:
        found.update(peers=theirs, peer=ours["cases"][0]["train_images_per_s"] / max(theirs))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--net", default="R64")
    parser.add_argument("--type", default="f32")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    peer = run_line([sys.executable, "-c", "import torch; print(1)"], CORES, fails=True) is not None
    if not peer:
        print("bench: no PyTorch here (python3-torch)")
    runs = []
    for number in range(args.repeat):
        runs.append(once(args, peer))
        print("round %d of %d: %s" % (number + 1, args.repeat, ", ".join(
            "%s %.2f" % (key, runs[-1][key]) for key in ASKED if key in runs[-1])), flush=True)
    for case in range(4):
        of = [r["ours"]["cases"][case] for r in runs]
        print("%d pixels, factor %d: %.2f images/s" % (
            of[0]["size"], of[0]["factor"], statistics.median(c["train_images_per_s"] for c in of)))
    for key, asked in ASKED.items():
        values = [r[key] for r in runs if key in r]
        if values:
            print("%s: %.3g [%.3g, %.3g] (asked: %s %g)" % (
                key, statistics.median(values), min(values), max(values),
                "at most" if key == "bytes" else "at least", asked))
    out = BUILD / "bench-latent.json"
    out.write_text(json.dumps(runs, indent=2) + "\n", encoding="utf-8")
    print("all numbers: %s" % out)


if __name__ == "__main__":
    main()
