#!/usr/bin/python3
"""Attacks on a run of ctaug: flipped bits, kills, kills of one rank, full disks.

`make check-long` runs them all. A small study is run once, stage by stage, and kept as reference.
Each attack starts from a copy of a run directory, at one and the same path: before a stage, stopped
in the middle of one (SIGUSR1, exit 75), killed, or finished. Then the same command is run again and
its outputs are compared byte by byte with the reference. The last line counts what must not happen:

  silent  damage that nothing named, or a run that ended with 0 and other bytes
  crash   a process of ctaug that ended by a signal nobody sent
  hang    a run that did not end within its time

"stuck", counted on the line before, is a run that could have gone on and ended with another error.
The exit code is 0 if all four are 0. README.md in this folder has the table of attacks.
"""
import argparse
import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from victim import LIMIT, RANKS, Job, Site, chain, crashed, differences, is_alive

RANK_LIMIT = 60  # seconds in which mpirun must notice that a rank is gone

# Kind of file: patterns below the run directory, and who has to notice a flipped bit. "verify": it
# must end with 5 and name the file. "run": a run that resumes must. "nobody": nothing is read from
# the file, and nothing may break.
KINDS = {
    "shard of the store": (["store/*.h5", "!store/index.h5"], "verify"),
    "index of the store": (["store/index.h5"], "verify"),
    "manifest of the store": (["store/manifest.json"], "verify"),
    "state of a checkpoint": (["checkpoints/step-*/state.h5"], "verify"),
    "manifest of a checkpoint": (["checkpoints/step-*/manifest.json"], "verify"),
    "loss curve": (["checkpoints/history.json"], "verify"),
    "part of a generation": (["synthetic.parts-*/*"], "run"),
    "shard of the synthetic store": (["synthetic/*.h5", "!synthetic/index.h5"], "verify"),
    "index of the synthetic store": (["synthetic/index.h5"], "verify"),
    "manifest of the synthetic store": (["synthetic/manifest.json"], "verify"),
    "state of a segmenter": (["metrics.parts/*/step-*/state.h5"], "verify"),
    "manifest of a segmenter": (["metrics.parts/*/step-*/manifest.json"], "verify"),
    "metrics": (["metrics/metrics.json"], "verify"),
    "manifest of the metrics": (["metrics/manifest.json"], "verify"),
    "report": (["report/report.html"], "verify"),
    "manifest of the report": (["report/manifest.json"], "verify"),
    "events": (["events.jsonl"], "verify"),
    "study": (["study.yaml"], "nobody"),
    "previews": (["previews/*.png"], "nobody"),
    "lock and heartbeats": (["lock", "heartbeat*", "*/heartbeat*"], "nobody"),
}


def files_of(run, kind):
    """Paths of this kind below a run directory, those with content."""
    patterns = KINDS[kind][0]
    found = {p for pattern in patterns if pattern[0] != "!"
             for p in glob.glob(os.path.join(run, pattern))}
    found -= {p for pattern in patterns if pattern[0] == "!"
              for p in glob.glob(os.path.join(run, pattern[1:]))}
    return sorted(p for p in found if os.path.isfile(p) and os.path.getsize(p))


class Tally:
    """Counts of what must not happen, with a line for each."""
    BAD = ("silent", "crash", "hang", "stuck")

    def __init__(self):
        self.count = dict.fromkeys(self.BAD, 0)
        self.rows = {}

    def add(self, attack, what, result, output=""):
        """A result other than those of BAD is good."""
        row = self.rows.setdefault(attack, {})
        row[result] = row.get(result, 0) + 1
        print(f"{attack:10} {what}: {result}", flush=True)
        if result in self.BAD:
            self.count[result] += 1
            print("".join(f"      | {line}\n" for line in output.splitlines()[-25:]), flush=True)

    def close(self):
        """Prints the table; the exit code."""
        for attack, row in self.rows.items():
            print(f"{attack}: {sum(row.values())} ({', '.join(f'{n} {r}' for r, n in row.items())})")
        print(f"stuck {self.count['stuck']}")
        print(f"silent {self.count['silent']}, crash {self.count['crash']}, "
              f"hang {self.count['hang']}")
        return 1 if any(self.count.values()) else 0


# ---- flipped bits ----

# When a stage is in the middle: something of it is there to resume from.
MIDDLE = {
    "ingest": "events.jsonl",
    "train": "checkpoints/step-00000024/manifest.json",
    "generate": "synthetic.parts-*/unit-00000003.hu",
    "evaluate": "metrics.parts/real-0/step-*/manifest.json",
}


def stop_in(site, stage):
    """Keeps a run directory that was stopped in the middle of a stage; whether that succeeded."""
    for attempt in range(20):
        site.restore(site.before(stage))
        lines = 0
        if site.has("events.jsonl"):
            with open(os.path.join(site.run, "events.jsonl")) as f:
                lines = f.read().count('"event":"start"')

        def begun():
            path = os.path.join(site.run, "events.jsonl")
            if not os.path.exists(path) or not site.has(MIDDLE[stage]):
                return False
            with open(path) as f:
                return f.read().count('"event":"start"') > lines

        job = Job(site, stage)
        if job.wait_for(begun):
            time.sleep(site.random.uniform(0, 0.2) if stage != "ingest" else 0)
            job.process.send_signal(signal.SIGUSR1)
        code = job.end()
        if code == 75:
            site.keep(f"stopped in {stage}")
            return True
        if code != 0:
            raise SystemExit(f"{stage} stopped with {code}:\n{job.text()}")
    return False


def flip(path, at, bit):
    """Flips one bit."""
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)[0]
        f.seek(at)
        f.write(bytes([byte ^ 1 << bit]))


def names(text, run, path):
    """Whether a text names the file, or the folder that was published with it."""
    inside = os.path.relpath(path, run)
    folder = os.path.dirname(inside)
    return inside in text or (folder != "" and re.search(
        re.escape(folder) + r"(\.damaged-\d+)?[: ]", text) is not None)


def judge_flip(site, kind, path):
    """The result of one flipped bit in the run directory, and the output that shows it."""
    duty, inside = KINDS[kind][1], os.path.relpath(path, site.run)
    code, text = site.verify()
    if code is None or crashed(code, text):
        return "hang" if code is None else "crash", text
    found = code == 5 and names(text, site.run, path)
    if duty == "verify" and not found:
        return "silent", f"verify exit {code}\n{text}"
    code, again = site.again()
    if code is None or crashed(code, again):
        return "hang" if code is None else "crash", again
    if code == 5 and names(again, site.run, path):
        return "refused", again
    if code != 0:
        return "stuck", again
    other = differences(site.wanted, site.run)
    if kind == "loss curve" and names(again, site.run, path):
        # It is not part of the training; the run says that the curve begins again.
        shown = ("checkpoints/history.json", "metrics/metrics.json", "report/report.html")
        other = [n for n in other if n not in shown]
    if other and not (found and other == [inside]):
        return "silent", f"{again}\nother bytes: {', '.join(other)}"
    code, text = site.verify()
    if code is None or crashed(code, text):
        return "hang" if code is None else "crash", text
    if code == 5 and duty == "verify" and names(text, site.run, path):
        return "found by verify", text
    if code != 0:
        return "stuck", f"{again}\nafter it: {text}"
    return {"verify": "found and made again", "run": "made again", "nobody": "no effect"}[duty], text


def flips(site, tally, count):
    """`count` flips, spread evenly over all kinds of files in all kept run directories."""
    kept = ["after report"]
    if interrupt(site, "train", True, kill_all)[0]:  # leaves heartbeats and temporary files
        site.keep("killed in train")
        kept.append("killed in train")
    for stage in MIDDLE:
        if stop_in(site, stage):
            kept.append(f"stopped in {stage}")
        else:
            print(f"flips: {stage} could not be stopped in the middle", flush=True)
    targets = [(name, kind) for name in kept for kind in KINDS if files_of(site.kept[name], kind)]
    missing = set(KINDS) - {kind for _, kind in targets}
    if missing:
        print(f"flips: no file of the kinds: {', '.join(sorted(missing))}", flush=True)
    site.random.shuffle(targets)
    for i in range(count):
        name, kind = targets[i % len(targets)]
        site.restore(name)
        path = site.random.choice(files_of(site.run, kind))
        at, bit = site.random.randrange(os.path.getsize(path)), site.random.randrange(8)
        flip(path, at, bit)
        result, output = judge_flip(site, kind, path)
        tally.add("flips", f"{name}, {kind}, {os.path.relpath(path, site.run)} byte {at} bit {bit}",
                  result, output)


# ---- kills ----

# Where a kill happens: a stage, and whether it waits for the first checkpoint.
KILL_AT = [("train", True), ("ingest", False), ("train", True), ("generate", False),
           ("train", True), ("evaluate", False), ("train", True), ("train", False),
           ("train", True), ("report", False)]


def interrupt(site, stage, after_checkpoint, attack):
    """Runs from before the stage, and calls attack(job) at a random time in it. The share of the
    stage's time, or None if the run had ended before."""
    share = site.random.uniform(0, 0.95)
    for attempt in range(8):
        site.restore(site.before(stage))
        job = Job(site, "run")
        seconds = site.seconds[stage] - (site.seconds["first checkpoint"] if after_checkpoint else 0)
        if job.wait_for(lambda: site.has("checkpoints/step-*/manifest.json") if after_checkpoint
                        else site.started(job, stage)):
            # The start of a process takes a part of what was measured.
            time.sleep(max(0, share * (seconds - (0 if after_checkpoint else 0.4))))
            if job.process.poll() is None:
                return job, attack(job), share
        job.end()
        share /= 2
    return None, None, share


def kill_all(job):
    """SIGKILL for mpirun and all ranks."""
    job.kill()
    return True


def kills(site, tally, count):
    """All processes at once."""
    for i in range(count):
        stage, after = KILL_AT[i % len(KILL_AT)]
        what = f"{stage}{' after its first checkpoint' if after else ''}"
        job, _, share = interrupt(site, stage, after, kill_all)
        if not job:
            raise SystemExit(f"kills: no kill hit {what}")
        tally.add("kills", f"{what}, at {share:.2f}", *site.judge_resumed(*site.again()))


def rank_kills(site, tally, count):
    """One rank; mpirun has to end the others."""
    for i in range(count):
        stage, after = KILL_AT[i % len(KILL_AT)]
        victim = i % RANKS

        def kill_one(job):
            ranks = job.ranks()
            if len(ranks) != RANKS:
                return False  # at its end
            os.kill(sorted(ranks)[victim], signal.SIGKILL)
            began, family = time.monotonic(), job.family()
            code = job.end(RANK_LIMIT)
            while any(map(is_alive, family)) and time.monotonic() < began + RANK_LIMIT:
                time.sleep(0.05)
            if code is None or any(map(is_alive, family)):
                return "hang"
            return "silent" if code == 0 else "ended"

        what = f"{stage}{' after its first checkpoint' if after else ''}, rank {victim}"
        for attempt in range(8):
            job, ended, share = interrupt(site, stage, after, kill_one)
            if job and ended:
                break
        if not job or not ended:
            raise SystemExit(f"rank-kills: no kill hit {what}")
        what = f"{what}, at {share:.2f}"
        if ended != "ended":
            tally.add("rank-kills", what, ended, job.text())
        else:
            tally.add("rank-kills", what, *site.judge_resumed(*site.again()))


# ---- full disks ----

# Stage and the share of the room that it needs; below 1 it cannot end.
DISKS = [("ingest", 0.02), ("ingest", 0.5), ("ingest", 0.95), ("train", 0.1), ("train", 0.4),
         ("train", 0.7), ("train", 0.95), ("generate", 0.3), ("generate", 0.8), ("evaluate", 0.2),
         ("evaluate", 0.7), ("report", 0.5)]
ON_DISK = ("mount -t tmpfs -o size=$0 none \"$1\" && mkdir -p \"$2\" && cp -a \"$3\"/. \"$2\" || "
           "exit 99; shift 3; shift; \"$@\"; code=$?; cp -a \"$RUN\" \"$COPY\"; exit $code")


def may_mount(site):
    """Whether a file system can be mounted in a mount namespace of our own."""
    return subprocess.run(["unshare", "-m", "--propagation", "private", "mount", "-t", "tmpfs",
                           "-o", "size=65536", "none", site.work], check=False,
                          capture_output=True).returncode == 0


def on_disk(site, stage, verb, size):
    """Runs a verb from before the stage with the run directory on a disk of `size` bytes: (exit
    code, output, most bytes in use, bytes in use at the start). What is left is the copy "disk"."""
    start = site.kept[site.before(stage)] if site.before(stage) else site.path("empty")
    os.makedirs(site.path("empty"), exist_ok=True)
    site.restore(None)
    copy = site.kept["disk"] = site.path("kept", "disk")
    shutil.rmtree(copy, ignore_errors=True)
    site.env.update(RUN=site.run, COPY=copy)
    job = Job(site, verb, ("unshare", "-m", "--propagation", "private", "bash", "-c",
                           ON_DISK, str(size), site.work, site.run, start, "-"))
    used, first = 0, None
    until = time.monotonic() + LIMIT
    inside = f"/proc/{job.process.pid}/root{site.work}"
    here = os.stat(site.work).st_dev
    while job.process.poll() is None and time.monotonic() < until:
        try:
            if os.stat(inside).st_dev != here:
                s = os.statvfs(inside)
                used = max(used, (s.f_blocks - s.f_bfree) * s.f_frsize)
                if first is None and job.ranks():
                    first = used
        except OSError:
            pass
        time.sleep(0.002)
    return job.end(1), job.text(), used, first


def judge_disk(site, code, text):
    """The result of a run on a full disk, and of going on with more room."""
    if code is None or crashed(code, text):
        return "hang" if code is None else "crash", text
    if code not in (0, 4) or (code == 4 and site.run not in text):
        return "stuck", f"exit {code}\n{text}"
    site.restore("disk")
    before, told = site.verify()
    if before is None or crashed(before, told):
        return "hang" if before is None else "crash", told
    result, output = site.judge_resumed(*site.again())
    return (f"exit {code}, then {result}" if result == "same bytes" else result), output


def disks(site, tally, plan):
    """Disks that are too small for a stage."""
    if not may_mount(site):
        print("disks: skipped: mounting a small file system needs root")
        return
    room = {}
    for stage in dict.fromkeys(stage for stage, _ in plan):
        code, text, used, first = on_disk(site, stage, stage, 1 << 30)
        if code != 0:
            raise SystemExit(f"disks: {stage} with enough room: exit {code}\n{text}")
        room[stage] = (first or 0, used)
        print(f"disks: {stage} begins with {(first or 0) / 1024:.0f} KiB in use and needs "
              f"{used / 1024:.0f} KiB", flush=True)
    for stage, share in plan:
        first, used = room[stage]
        size = (first + int(share * (used - first)) + 4095) // 4096 * 4096
        code, text, _, _ = on_disk(site, stage, "run", size)
        if code == 99:
            raise SystemExit(f"disks: {stage}: {text}")
        tally.add("disks", f"{stage}, {size / 1024:.0f} KiB ({share:.0%} of its need)",
                  *judge_disk(site, code, text))


def main():
    """Runs the attacks of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("attack", choices=("flips", "kills", "rank-kills", "disks", "all"))
    parser.add_argument("--seed", type=int, default=int(time.time()),
                        help="of everything random; printed first")
    parser.add_argument("--quick", action="store_true", help="about a sixth of the attacks")
    parser.add_argument("--count", type=int, help="of the one attack")
    a = parser.parse_args()
    if not os.path.exists(chain.CTAUG):
        sys.exit(f"{chain.CTAUG} is not built")
    print(f"attacks.py {a.attack} --seed {a.seed}{' --quick' if a.quick else ''}", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    site, tally = Site(a.seed), Tally()
    try:
        site.make_reference()
        if a.attack in ("flips", "all"):
            flips(site, tally, a.count or (35 if a.quick else 200))
        if a.attack in ("kills", "all"):
            kills(site, tally, a.count or (4 if a.quick else 20))
        if a.attack in ("rank-kills", "all"):
            rank_kills(site, tally, a.count or (4 if a.quick else 20))
        if a.attack in ("disks", "all"):
            disks(site, tally, DISKS[::3] if a.quick else DISKS)
    finally:
        site.close()
    sys.exit(tally.close())


if __name__ == "__main__":
    main()
