"""tests/bench/bench.py: medians, the better setting of each program, what it reports as missing.

A fake ctaug gives the speeds, which no test can check. Real runs of `ctaug bench` are checked for
the fields that bench.py reads.
"""
import json
import os
import subprocess
import sys
import tempfile

import chain

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "bench"))
import bench  # noqa: E402

FIELDS = {"net", "type", "ranks", "threads", "batch", "train_images_per_s", "forward_images_per_s",
          "train_gflops", "forward_gflops", "limit_gflops", "peak_rss_bytes"}

# Rates that follow from the arguments.
FAKE = f"""#!{sys.executable}
import json, os, sys
word = dict(zip(sys.argv[2::2], sys.argv[3::2]))
found = dict(scaling=dict(efficiency=0.9, efficiency_best=0.97, machine=0.98))
print("noise", file=sys.stderr)
rank = int(os.environ.get("OMPI_COMM_WORLD_RANK", "0"))
ranks = int(os.environ.get("OMPI_COMM_WORLD_SIZE", "1"))
if rank == 0:
    print(json.dumps(dict(train_gflops=100 * ranks, forward_gflops=300 / ranks, limit_gflops=400,
                          train_images_per_s=8, forward_images_per_s=9, peak_rss_bytes=7e8 * ranks,
                          threads=int(os.environ["OMP_NUM_THREADS"]), batch=int(word["--batch"]),
                          **(found if "--scaling" in sys.argv else dict()))))
"""


def one(who, ranks, train, forward, **more):
    return {"job": {"who": who, "net": "R64", "type": "f32", "ranks": ranks},
            "result": {"train_gflops": train, "forward_gflops": forward, "limit_gflops": 200,
                       "train_images_per_s": train, "peak_rss_bytes": 1e9 * ranks, **more}}


def the_better_setting_of_medians_counts():
    runs = [one("ctaug", 1, v, v) for v in (100, 150, 900)] + \
           [one("ctaug", 2, v, v) for v in (140, 145, 1)] + \
           [one("peer", 1, 50, 60), one("peer", 2, 75, 40),
           *(one("scaling", 2, 19, 0, scaling={"efficiency": e, "efficiency_best": e + 0.01,
                                              "machine": e + 0.02})
             for e in (0.95, 0.5, 0.97))]
    summary = bench.summarise(runs, ["R64"], ["f32"])
    cell = summary["cells"][0]
    assert (cell["ctaug_train_gflops"], cell["ctaug_train_ranks"]) == (150, 1), cell
    assert (cell["peer_train_gflops"], cell["peer_forward_gflops"]) == (75, 60), cell
    assert cell["train_ratio"] == 2 and cell["forward_ratio"] == 2.5, cell
    assert cell["limit_share"] == 0.75 and cell["ctaug_peak_rss_bytes"] == 1e9, cell
    assert summary["scaling"][0]["efficiency"] == 0.95, summary
    text = bench.table(summary)
    for part in ("2.00 (≥ 1.45)", "2.50 (≥ 1.35)", "75% (≥ 80%)", "1.00 (≤ 1.60)",
                 "96.0% (≥ 95%)", "95.0%", "97.0%"):
        assert part in text, text


def without_peer(place):
    fake, hide = f"{place}/ctaug", f"{place}/hide"
    with open(fake, "w", encoding="utf-8") as f:
        f.write(FAKE)
    os.chmod(fake, 0o755)
    os.mkdir(hide)
    with open(f"{hide}/torch.py", "w", encoding="utf-8") as f:
        f.write("raise ImportError\n")
    env = dict(os.environ, CTAUG=fake, BUILD=place, PYTHONPATH=hide)
    done = subprocess.run([sys.executable, bench.HERE / "bench.py", "--repeat", "2", "--batch", "4",
                           "--type", "f32"],
                          env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    for part in ("no PyTorch here", "ETA"):
        assert part in done.stdout, done.stdout
    kept = json.load(open(f"{place}/bench.json", encoding="utf-8"))
    cells = {(c["net"], c["type"]): c for c in kept["cells"]}
    assert set(cells) == {("R64", "f32"), ("R32", "f32")}
    cell = cells["R64", "f32"]
    best = min(bench.CORES, 4)
    assert (cell["ctaug_train_ranks"], cell["ctaug_train_gflops"]) == (best, 100 * best), cell
    assert cell["ctaug_forward_gflops"] == 300 and cell["train_ratio"] is None, cell
    assert cell["ctaug_peak_rss_bytes"] == 7e8, cell
    if bench.CORES > 1:
        assert [s["efficiency"] for s in kept["scaling"]] == [0.9], kept["scaling"]
    for r in kept["runs"]:
        assert r["result"]["threads"] == r["job"]["threads"], r
        assert r["result"]["batch"] == r["job"]["batch"], r


def a_program_that_fails_is_named(place):
    done = subprocess.run([sys.executable, bench.HERE / "bench.py", "--net", "R32"],
                          env=dict(os.environ, CTAUG="/bin/false", BUILD=place), timeout=120,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "/bin/false bench" in done.stderr, done.stderr


def ctaug_gives_the_fields(ranks):
    said = json.loads(chain.run(ranks, "bench", "--net", "R16", "--batch", "2", "--json"))
    assert FIELDS <= set(said) and "scaling" not in said, said
    assert (said["ranks"], said["batch"], said["net"]) == (max(ranks, 1), 2, "R16"), said
    return said["forward_gflops"] / said["forward_images_per_s"]


def scaling_compares_in_one_run():
    said = json.loads(chain.run(2, "bench", "--net", "R16", "--batch", "4", "--scaling", "--json"))
    s = said["scaling"]
    assert min(s.values()) > 0 and s["efficiency"] < 2, s
    assert s["together_best_images_per_s"] >= s["together_images_per_s"], s
    done = chain.run(2, "bench", "--net", "R16", "--batch", "3", "--scaling", expect=2)
    assert "a multiple of the 2 ranks" in done, done


def latents_against_pixels():
    """FLOP of the latent network on latents of 64 x 64 x 4, and the ratios."""
    said = json.loads(chain.run(2, "bench", "--net", "R16", "--batch", "2", "--latent", "--json"))
    cases = said["cases"]
    assert [(c["size"], c["factor"], c["channels"]) for c in cases] == [
        (256, 4, 4), (512, 8, 4), (256, 1, 1), (512, 1, 1)], cases
    for latent, pixel, ratio in ((0, 2, "ratio_256"), (1, 3, "ratio_512")):
        rates = [cases[k]["train_images_per_s"] for k in (latent, pixel)]
        assert abs(said[ratio] / (rates[0] / rates[1]) - 1) < 1e-4, said
    assert cases[0]["forward_flop"] == cases[1]["forward_flop"]
    assert 2 * cases[1]["peak_rss_bytes"] < cases[3]["peak_rss_bytes"], cases
    decoding = said["decoding"]
    assert decoding["size"] == 512 and min(decoding.values()) > 0, decoding
    assert 1.5 * (decoding["tile_bytes"] + decoding["kept_bytes"]) < decoding["whole_bytes"], decoding
    said = chain.run(0, "bench", "--net", "R16", "--latent", "--profile", expect=2)
    assert "--latent goes without" in said, said
    return cases[0]["forward_flop"]


def peer_counts_alike(flops, of_latents):
    """If PyTorch is installed: the same fields, and the same FLOP per image."""
    if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True,
                      check=False).returncode != 0:
        print("no PyTorch: the peer is not tested")
        return
    for more in ([], ["--ddp", "2", "--type", "bf16"], ["--channels", "4"]):
        done = subprocess.run([sys.executable, bench.HERE / "peer.py", "--net", "R16", "--batch",
                               "2", *more], env=chain.ENV, capture_output=True, text=True,
                              timeout=300, check=True)
        said = json.loads(done.stdout)
        assert FIELDS == set(said), said
        assert said["ranks"] == (2 if "--ddp" in more else 1) and said["batch"] == 2, said
        expected = of_latents / 1e9 if "--channels" in more else flops
        assert abs(said["forward_gflops"] / said["forward_images_per_s"] / expected - 1) < 1e-5


def main():
    the_better_setting_of_medians_counts()
    with tempfile.TemporaryDirectory() as place:
        without_peer(place)
        a_program_that_fails_is_named(place)
    flops = ctaug_gives_the_fields(1)
    ctaug_gives_the_fields(2)
    scaling_compares_in_one_run()
    peer_counts_alike(flops, latents_against_pixels())


main()
