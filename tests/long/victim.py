"""What the attacks share: the processes of a run, what is compared, and the site: an archive, a
study of it, the reference run and copies of its run directory."""
import glob
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import chain  # noqa: E402

RANKS = 2
LIMIT = 240  # seconds for a run that takes a few
STAGES = ("ingest", "train", "generate", "evaluate", "report")
# Checkpoints lie also between the points of the loss curve, which has one every 10 steps.
STUDY = """
name: attacked
seed: 5
out: {out}
ingest: {{dicom: {dicom}, labels: seg, shard_mib: 1}}
data: {{size: 32}}
model: {{net: R16, dropout: 0.1}}
train: {{steps: 60, batch: 4, micro_batch: 2, warmup: 5, validate_every: 20, preview_every: 30,
        checkpoint_every: 6}}
generate: {{volumes: 4, steps: 5, batch: 4, guidance: 1.5}}
evaluate: {{seeds: 1, steps: 16, batch: 4, fidelity: 0}}
"""


# ---- processes ----

def parents():
    """Process -> its parent, of all processes."""
    found = {}
    for name in os.listdir("/proc"):
        try:
            with open(f"/proc/{name}/stat") as f:
                found[int(name)] = int(f.read().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError):
            continue  # no process, or ended meanwhile
    return found


def is_alive(pid):
    """Whether the process exists and is no zombie."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


class Job:
    """A run of ctaug on RANKS ranks in the background; its output goes to a file."""

    def __init__(self, site, verb, before=()):
        self.log = os.path.join(site.root, "output")
        with open(self.log, "w") as out:
            self.process = subprocess.Popen(
                [*before, *chain.command(RANKS, chain.CTAUG, verb, site.study)], stdout=out,
                stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=site.env,
                start_new_session=True)
        site.job = self

    def text(self):
        """What it printed so far."""
        with open(self.log, errors="replace") as f:
            return f.read()

    def family(self):
        """mpirun and everything that it started, mpirun first."""
        parent, found = parents(), [self.process.pid]
        for pid in found:
            found += [child for child, of in parent.items() if of == pid]
        return found

    def ranks(self):
        """Processes of ctaug."""
        found = []
        for pid in self.family():
            try:
                if os.path.samefile(f"/proc/{pid}/exe", chain.CTAUG):
                    found.append(pid)
            except OSError:
                continue
        return found

    def wait_for(self, condition, limit=LIMIT):
        """Waits until condition() or the end; whether the job still runs."""
        until = time.monotonic() + limit
        while self.process.poll() is None and time.monotonic() < until:
            if condition():
                return True
            time.sleep(0.002)
        return False

    def kill(self):
        """SIGKILL for all at once; waits until they are gone."""
        family = self.family()
        for pid in family:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()
        until = time.monotonic() + 20
        while any(map(is_alive, family)) and time.monotonic() < until:
            time.sleep(0.01)

    def end(self, limit=LIMIT):
        """Its exit code; None if it does not end within `limit`, and then it is killed."""
        try:
            return self.process.wait(limit)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


def crashed(code, text):
    """Whether a process ended by a signal."""
    return (code is not None and (code < 0 or code > 127)) or re.search(
        r"exited on signal|Segmentation fault|Caught signal|core dumped|signal code:", text,
        re.IGNORECASE) is not None


# ---- what is compared ----

def canonical(path):
    """Content of an output without the times in it, and without what the loss curve keeps for
    checkpoints between its points."""
    with open(path, "rb") as f:
        data = f.read()
    name = path.split("/")[-2:]
    if name == ["metrics", "metrics.json"]:
        content = json.loads(data)
        del content["created"]
        return json.dumps(content, sort_keys=True).encode()
    if name == ["report", "report.html"]:
        return re.sub(rb"\d{4}-\d\d-\d\dT[\d:]{8}Z", b"", data)
    if name == ["checkpoints", "history.json"]:
        content = json.loads(data)
        return json.dumps([content["train"], content["validation"]]).encode()
    return data


def outputs(run):
    """Path -> content of everything that must be the same as in the reference: the stores, the last
    checkpoint, the curve, the metrics, the report."""
    last = sorted(d for d in os.listdir(os.path.join(run, "checkpoints"))
                  if re.fullmatch(r"step-\d{8}", d))[-1]
    return {os.path.relpath(path, run): canonical(path)
            for pattern in ("store/*", "synthetic/*", f"checkpoints/{last}/*",
                            "checkpoints/history.json", "metrics/metrics.json", "report/report.html")
            for path in glob.glob(os.path.join(run, pattern))}


def differences(wanted, run):
    """Names of outputs that are not as `wanted`."""
    try:
        got = outputs(run)
    except (OSError, ValueError, KeyError, IndexError) as e:
        return [f"unreadable outputs ({e})"]
    return sorted(n for n in wanted.keys() | got.keys() if wanted.get(n) != got.get(n))


# ---- the site ----

class Site:
    """A scratch directory with an archive, a study, the reference run, and copies of its run
    directory at every stage."""

    def __init__(self, seed):
        # Short: Open MPI makes sockets below it.
        self.root = tempfile.mkdtemp(prefix="atk-", dir="/tmp")
        self.random = random.Random(seed)
        self.dicom = self.path("dicom")
        self.work = self.path("work")  # a disk of its own in the attack "disks"
        self.run = os.path.join(self.work, "run")
        self.study = self.path("study.yaml")
        self.kept = {}
        self.job = None  # the last one
        self.seconds, self.peak = {}, {}
        for name in ("tmp", "kept", "work"):
            os.mkdir(self.path(name))
        self.env = dict(chain.ENV, TMPDIR=self.path("tmp"),
                        OMPI_MCA_btl_vader_backing_directory=self.path("tmp"))
        chain.run(1, "phantom", "--patients", "6", "--seed", "1", "--size", "64", "--slices", "12",
                  "--out", self.dicom)
        with open(self.study, "w") as f:
            f.write(STUDY.format(out=self.run, dicom=self.dicom))

    def path(self, *names):
        """A path below the scratch directory."""
        return os.path.join(self.root, *names)

    def keep(self, name):
        """Keeps a copy of the run directory."""
        self.kept[name] = self.path("kept", name.replace(" ", "-"))
        shutil.rmtree(self.kept[name], ignore_errors=True)
        shutil.copytree(self.run, self.kept[name], symlinks=True)

    def restore(self, name):
        """Makes the run directory that copy, or empty (None)."""
        shutil.rmtree(self.run, ignore_errors=True)
        if name:
            shutil.copytree(self.kept[name], self.run, symlinks=True)

    def before(self, stage):
        """The copy from which `run` goes on with this stage; None: nothing is there yet."""
        at = STAGES.index(stage)
        return f"after {STAGES[at - 1]}" if at else None

    def make_reference(self):
        """Runs the study stage by stage, and keeps what each leaves."""
        for stage in STAGES:
            began = time.monotonic()
            job = Job(self, stage)
            if stage == "train":
                job.wait_for(lambda: self.has("checkpoints/step-*/manifest.json"))
                self.seconds["first checkpoint"] = time.monotonic() - began
            code = job.end()
            if code != 0:
                raise SystemExit(f"the reference fails: {stage} exit {code}\n{job.text()}")
            self.seconds[stage] = time.monotonic() - began
            self.keep(f"after {stage}")
        self.wanted = outputs(self.run)
        print("reference:", ", ".join(f"{n} {s:.1f} s" for n, s in self.seconds.items()), flush=True)

    def has(self, pattern):
        """Whether a file matches below the run directory."""
        return bool(glob.glob(os.path.join(self.run, pattern)))

    def started(self, job, stage):
        """Whether `run` has come to a stage."""
        return f"-- {stage} (" in job.text()

    def again(self):
        """The same command again: (exit code or None, output)."""
        job = Job(self, "run")
        return job.end(), job.text()

    def verify(self):
        """`ctaug verify` of the run directory: (exit code or None, output)."""
        try:
            done = subprocess.run([chain.CTAUG, "verify", self.run], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True, errors="replace",
                                  timeout=LIMIT, env=self.env)
            return done.returncode, done.stdout
        except subprocess.TimeoutExpired:
            return None, ""

    def judge_resumed(self, code, text):
        """The result of an undamaged run that was interrupted and run again."""
        if code is None:
            return "hang", text
        if crashed(code, text):
            return "crash", text
        if code != 0:
            return "stuck", text
        other = differences(self.wanted, self.run)
        if other:
            return "silent", f"{text}\nother bytes: {', '.join(other)}"
        code, text = self.verify()
        if code == 0:
            return "same bytes", text
        return ("hang" if code is None else "crash" if crashed(code, text) else "stuck"), text

    def close(self):
        """Ends what still runs and removes all."""
        if self.job and self.job.process.poll() is None:
            self.job.kill()
        shutil.rmtree(self.root, ignore_errors=True)
