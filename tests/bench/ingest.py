"""The speed of `ctaug ingest` beside dcm2niix and a script of pydicom and h5py (peer_ingest.py).

Usage: BENCH_SLICES=2000 ingest.py      (make bench-ingest)

Phantom patients of 512 x 512 pixels and 100 slices (fewer if that makes less than two), with a SEG,
once uncompressed and once in JPEG lossless (dcmcjpeg). All files are in the page cache. Every
program runs once a round, three rounds; the table has medians and the range. Slices per processor
second are what a core does: user and system time of the program and all its ranks, with start and
end. A rank of ctaug reads ahead in a thread and a child process of its own, so two ranks with a
core each are compared with one rank that has one core (taskset). dcm2niix writes no labels. Results
also go to $BUILD/bench-ingest.json.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("BUILD", HERE.parent.parent / "build")).resolve()
CTAUG = os.environ.get("CTAUG", str(BUILD / "ctaug"))
PLACE = BUILD / "bench-ingest"
ROUNDS = 3
PEER = "pydicom + h5py"
ONE_CORE = "ctaug 1 rank, one core"
# Requirements: slices per processor second against the peer, and of two ranks against one rank.
ASKED_CORE, ASKED_RANKS = 2.5, 1.9
ENV = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1",
           OMPI_MCA_rmaps_base_oversubscribe="1", OMPI_MCA_hwloc_base_binding_policy="none",
           OMPI_MCA_btl_vader_single_copy_mechanism="none")


def make_archives(patients, depth):
    """{name: folder} of the same patients in two encodings."""
    plain, packed = PLACE / "uncompressed", PLACE / "jpeg-lossless"
    subprocess.run([CTAUG, "phantom", "--patients", str(patients), "--seed", "1", "--size", "512",
                    "--slices", str(depth), "--out", plain], check=True, stdout=subprocess.DEVNULL)
    for path in sorted(plain.rglob("*.dcm")):
        to = packed / path.relative_to(plain)
        to.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "seg.dcm":
            shutil.copy(path, to)
        else:
            subprocess.run(["dcmcjpeg", path, to], check=True)
    return {folder.name: folder for folder in (plain, packed)}


def read_all(folder):
    """Puts the files into the page cache."""
    for path in folder.rglob("*.dcm"):
        path.read_bytes()


def command(program, folder, out):
    if program.startswith("dcm2niix"):
        return ["dcm2niix", "-z", program[-1], "-b", "n", "-f", "%i", "-o", out, folder]
    if program == PEER:
        return [sys.executable, HERE / "peer_ingest.py", folder, out / "volumes.h5"]
    study = PLACE / "study.yaml"
    study.write_text("name: bench\nout: %s\ningest:\n  dicom: %s\n  labels: seg\n  key: %s\n"
                     % (out, folder, PLACE / "key"))
    ranks = program.split()[1]
    start = ["mpirun", "-n", ranks] if ranks != "1" else []
    if program == ONE_CORE:
        start = ["taskset", "--cpu-list", str(min(os.sched_getaffinity(0)))]
    return [*start, CTAUG, "ingest", study]


def measure(program, folder):
    """Wall and processor time in seconds, the peak of memory of a process, bytes written."""
    out = PLACE / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    read_all(folder)
    line = [str(word) for word in command(program, folder, out)]
    began = time.monotonic()
    with open(PLACE / "log", "w", encoding="utf-8") as log:
        child = subprocess.Popen(line, env=ENV, stdout=log, stderr=subprocess.STDOUT)
        _, code, usage = os.wait4(child.pid, 0)  # with all descendants that it waited for
    wall = time.monotonic() - began
    child.returncode = os.waitstatus_to_exitcode(code)
    if child.returncode != 0:
        sys.exit("bench-ingest: %s ended with %d:\n%s" % (" ".join(line), child.returncode,
                                                          (PLACE / "log").read_text()[-2000:]))
    written = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime,
            "peak": usage.ru_maxrss * 1024, "written": written}


def spread(values, form):
    return (form + " [" + form + ", " + form + "]") % (statistics.median(values), min(values),
                                                       max(values))


def row(name, runs, peer, slices):
    """Ratios are taken round by round."""
    core = [b["cpu"] / a["cpu"] for a, b in zip(runs, peer)]
    return [name, spread([r["wall"] for r in runs], "%.1f"),
            spread([r["cpu"] for r in runs], "%.1f"), "%.0f" % statistics.median(slices / r["wall"] for r in runs),
            "%.0f" % statistics.median(slices / r["cpu"] for r in runs), spread(core, "%.2f"),
            "%.0f" % (max(r["peak"] for r in runs) / 2**20),
            "%.0f" % (runs[0]["written"] / 2**20)]


def table(rows):
    widths = [max(len(r[k]) for r in rows) for k in range(len(rows[0]))]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(r, widths)).rstrip()
                     for r in rows)


def report(archive, found, slices):
    head = ["program", "wall, s", "processor, s", "slices/s", "slices/processor s",
            "against " + PEER, "peak MiB", "written MiB"]
    print("\n%s, %d slices of 512 x 512, median [range] of %d rounds" % (archive, slices, ROUNDS))
    print(table([head] + [row(name, runs, found[PEER], slices) for name, runs in found.items()]))
    pairs = list(zip(found[ONE_CORE], found["ctaug 2 ranks"], found[PEER]))
    print("a core of ctaug against %s: %s (asked %.1f)"
          % (PEER, spread([p["cpu"] / one["cpu"] for one, _, p in pairs], "%.2f"), ASKED_CORE))
    print("two ranks against one with one core, wall time: %s (asked %.1f)"
          % (spread([one["wall"] / two["wall"] for one, two, _ in pairs], "%.2f"), ASKED_RANKS))


def main():
    slices = max(4, int(os.environ.get("BENCH_SLICES", "2000")))
    depth = min(100, slices // 2)
    patients = slices // depth
    programs = [ONE_CORE, "ctaug 1 rank", "ctaug 2 ranks", PEER]
    if shutil.which("dcm2niix"):
        programs += ["dcm2niix -z n", "dcm2niix -z y"]
    else:
        print("bench-ingest: no dcm2niix here")
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    results = {}
    try:
        for archive, folder in make_archives(patients, depth).items():
            found = results[archive] = {program: [] for program in programs}
            for number in range(ROUNDS):
                for program in programs:
                    found[program].append(measure(program, folder))
                    print("%s, round %d of %d, %s: %.1f s, processor %.1f s"
                          % (archive, number + 1, ROUNDS, program, found[program][-1]["wall"],
                             found[program][-1]["cpu"]), flush=True)
        for archive, found in results.items():
            report(archive, found, patients * depth)
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)
    out = BUILD / "bench-ingest.json"
    out.write_text(json.dumps({"slices": patients * depth, "runs": results}, indent=2) + "\n")
    print("all numbers: %s" % out)


if __name__ == "__main__":
    main()
