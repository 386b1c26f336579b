"""A run that is asked to stop, by a signal to a rank or to mpirun, keeps its work and resumes.

A signal that is handled on the stack of oneDNN's generated code damages memory (dnnl_sgemm of 2.6.3
with AVX-512), which ends in an abort. Therefore one thread alone, which computes nothing, receives
signals. The test sends a training on two threads thousands of signals a second until it stops, and
resumes it.

mpirun answers Ctrl-C and SIGTERM by killing the ranks: after jobs/mpirun.sh, or with a timeout of
Open MPI that is long enough, they keep a checkpoint of the present step, however long a step takes.
"""
import glob
import json
import os
import pty
import signal
import subprocess
import time

import chain


def steps(out):
    """The number of training events in the journal."""
    try:
        with open(os.path.join(out, "events.jsonl")) as f:
            return f.read().count('"event":"train"')
    except FileNotFoundError:
        return 0


def start(out, study):
    """Starts a training and waits for its first steps. Without mpirun, so that signals reach the
    rank directly."""
    before = steps(out)
    rank = subprocess.Popen([chain.CTAUG, "train", study, "--set", "train.steps=100000"],
                            env=dict(chain.ENV, OMP_NUM_THREADS="2"), stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    limit = time.monotonic() + 90
    while steps(out) == before and rank.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    assert rank.poll() is None, rank.communicate()[0]
    return rank


def takers(rank, number):
    """Ids of the threads that do not block the signal."""
    found = []
    for thread in os.listdir(f"/proc/{rank.pid}/task"):
        with open(f"/proc/{rank.pid}/task/{thread}/status") as f:
            blocked = next(line for line in f if line.startswith("SigBlk:"))
        if not int(blocked.split()[1], 16) >> (number - 1) & 1:
            found.append(int(thread))
    return found


def many_signals(place):
    study, out = place.study("signals")
    chain.run(1, "ingest", study, "--set", "train.steps=100000")
    for attempt in range(3):
        rank = start(out, study)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT):
            assert len(takers(rank, number)) == 1 and rank.pid not in takers(rank, number)
        sent, limit = 0, time.monotonic() + 60
        while rank.poll() is None and time.monotonic() < limit:
            rank.send_signal(signal.SIGUSR1)
            sent += 1
            time.sleep(0.0002)
        rank.kill()
        said = rank.communicate()[0]
        assert rank.returncode == 75, f"exit {rank.returncode} after {sent} signals:\n{said}"
        assert "ctaug train" in said and "after the checkpoint" in said, said
        print(f"stopped after {sent} signals")
    # A second Ctrl-C ends the process at once. Two that are pending together are one, and between
    # them the process may have ended with 75: on a busy machine it takes several attempts.
    codes = []
    for pause in (0.005, 0.02, 0.05, 0.1, 0.2, 0.01, 0.03, 0.07):
        rank = start(out, study)
        rank.send_signal(signal.SIGINT)
        time.sleep(pause)
        rank.send_signal(signal.SIGINT)
        codes.append(rank.wait(timeout=60))
        rank.communicate()
        if codes[-1] == -signal.SIGINT:
            break
    assert codes[-1] == -signal.SIGINT and set(codes[:-1]) <= {75}, codes


WRAPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "jobs", "mpirun.sh")
# Steps that take a second or more, and no checkpoint but the last.
SLOW = ("--set", "train.steps=3", "--set", "train.batch=384", "--set", "train.checkpoint_every=99",
        "--set", "train.validate_every=99", "--set", "train.preview_every=99")


def events(out):
    try:
        with open(os.path.join(out, "events.jsonl")) as f:
            return [json.loads(line) for line in f.read().split("\n")[:-1]]
    except FileNotFoundError:
        return []


def ranks_of(study):
    """Processes of ctaug with this study in their command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0] == chain.CTAUG.encode() and study.encode() in words:
            found.append(int(pid))
    return found


def wait_until(condition, what, seconds=120):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, what
        time.sleep(0.02)


def works_on(out, what):
    return lambda: any(e["event"] == "progress" and e["what"] == what for e in events(out))


def stop(study, out, verb, words, ask, launcher=(WRAPPER,), env=None, ready=None, nap=0.0):
    """Starts a verb on two ranks, asks the launcher to stop once `ready`, waits until all ranks are
    gone; (exit code, seconds that took, what it said)."""
    with open(f"{out}.said", "w+") as said:
        job = subprocess.Popen([*launcher, "-n", "2", chain.CTAUG, verb, study, *words],
                               env=dict(chain.ENV, **(env or {})), stdout=said, stderr=said,
                               start_new_session=True)
        wait_until(ready or works_on(out, verb), f"{verb} does not begin")
        time.sleep(nap)
        assert job.poll() is None, "ended before it was asked to stop"
        began = time.monotonic()
        ask(job)
        code = job.wait(timeout=120)
        took = time.monotonic() - began
        wait_until(lambda: not ranks_of(study), "ranks are left", 20)
        said.seek(0)
        text = said.read()
    print(f"{verb}: exit {code} after {took:.1f} s")
    return code, took, text


def steps_kept(out):
    return sorted(glob.glob(f"{out}/checkpoints/step-????????"))


def state(out):
    step = steps_kept(out)[-1]
    return os.path.basename(step), chain.hashes(step)["state.h5"]


def slow_training(place):
    """A stop in the middle of a step keeps that step, and resumed the training ends in the same
    bits."""
    whole, out = place.study("slow")
    chain.run(2, "ingest", whole)
    chain.run(2, "train", whole, *SLOW)
    expected = state(out)
    seconds = [e["step_s"] for e in events(out) if e["event"] == "train"]
    print(f"{seconds[-1]:.1f} s a step")
    asks = {"TERM to the wrapper": (lambda job: job.send_signal(signal.SIGTERM), WRAPPER, 75),
            "INT to the group of the wrapper":
                (lambda job: os.killpg(job.pid, signal.SIGINT), WRAPPER, 75),
            # Without it nothing is promised but that the run can be started again.
            "TERM to mpirun": (lambda job: job.send_signal(signal.SIGTERM), "mpirun", 1)}
    for number, (name, (ask, launcher, expect)) in enumerate(asks.items()):
        study, out = place.study(f"slow-{number}")
        chain.run(2, "ingest", study)
        code, _, text = stop(study, out, "train", SLOW, ask, (launcher,), nap=0.3)
        assert code == expect, (name, code, text)
        kept = steps_kept(out)
        if launcher == WRAPPER:
            assert len(kept) == 1 and kept[0] < f"{out}/checkpoints/step-00000003", (name, kept)
        chain.run(2, "train", study, *SLOW)
        assert state(out) == expected, name
    # Open MPI alone sends TERM after the timeout, in which the steps go on, and KILL after another,
    # which is long beside these steps on a busy machine, too.
    small = [w for key in ("steps", "checkpoint_every", "validate_every", "preview_every")
             for w in ("--set", f"train.{key}=100000")] + ["--set", "train.batch=96"]
    for number in (signal.SIGTERM, signal.SIGINT):
        study, out = place.study(f"slow-{number.name}")
        chain.run(2, "ingest", study)
        code, _, text = stop(study, out, "train", small,
                             lambda job: job.send_signal(number), ("mpirun",),
                             {"OMPI_MCA_odls_base_sigkill_timeout": "10"})
        assert code == 1 and len(steps_kept(out)) == 1, (code, steps_kept(out), text)
        chain.run(0, "verify", out)


def ctrl_c_in_a_terminal(place):
    """A terminal sends Ctrl-C to the group of the wrapper; a second one ends the ranks."""
    study, out = place.study("terminal")
    chain.run(2, "ingest", study)
    for presses in (1, 2):
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(WRAPPER, [WRAPPER, "-n", "2", chain.CTAUG, "train", study, *SLOW, "--set",
                                "train.steps=1000"], chain.ENV)
        before = len(events(out))
        wait_until(lambda: any(e["event"] == "progress" for e in events(out)[before:]), "no start")
        began = time.monotonic()
        os.write(terminal, b"\x03")
        text = b""
        while True:
            try:
                text += os.read(terminal, 4096)
            except OSError:  # the end of a terminal
                break
            if presses == 2 and b"once more" in text:
                os.write(terminal, b"\x03")
                presses = 3
        _, code = os.waitpid(pid, 0)
        os.close(terminal)
        code = os.waitstatus_to_exitcode(code)
        print(f"{'once' if presses == 1 else 'twice'} Ctrl-C: exit {code} after {time.monotonic() - began:.1f} s")
        assert code == (75 if presses == 1 else 1), (code, text.decode())
        assert presses == 3 or b"To continue:" in text, text.decode()
        wait_until(lambda: not ranks_of(study), "ranks are left", 20)


def other_stages(place):
    """Generation and evaluation keep their parts."""
    words = ("--set", "generate.volumes=4", "--set", "generate.steps=40", "--set",
             "evaluate.steps=150")
    results = []
    for interrupted in (False, True):
        study, out = place.study(f"stages-{interrupted}")
        for verb in ("ingest", "train"):
            chain.run(2, verb, study, *words)
        for verb, kept in (("generate", f"{out}/synthetic.parts-*/unit-*.hu"),
                           ("evaluate", f"{out}/metrics.parts/real-0/step-*")):
            if interrupted:
                ready = (lambda: glob.glob(kept)) if verb == "generate" else None
                code, _, text = stop(study, out, verb, words,
                                     lambda job: job.send_signal(signal.SIGTERM), ready=ready)
                assert code == 75 and glob.glob(kept), (verb, code, text)
                assert not os.path.exists(f"{out}/{'synthetic' if verb == 'generate' else 'metrics'}"
                                          "/manifest.json")
            chain.run(2, verb, study, *words)
        with open(f"{out}/metrics/metrics.json") as f:
            metrics = json.load(f)
        results.append((chain.hashes(f"{out}/synthetic"), metrics["fid"], metrics["dice"]))
    assert results[0] == results[1]


with chain.Place() as place:
    many_signals(place)
    slow_training(place)
    ctrl_c_in_a_terminal(place)
    other_stages(place)
