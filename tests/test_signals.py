"""A rank that is asked to stop while it computes stops after a checkpoint.

A signal that is handled on the stack of oneDNN's generated code damages memory (dnnl_sgemm of 2.6.3
with AVX-512), which ends in an abort. Therefore one thread alone, which computes nothing, receives
signals. The test sends a training on two threads thousands of signals a second until it stops, and
resumes it.
"""
import os
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


with chain.Place() as place:
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
    # A second Ctrl-C ends the process at once.
    rank = start(out, study)
    rank.send_signal(signal.SIGINT)
    time.sleep(0.005)
    rank.send_signal(signal.SIGINT)
    assert rank.wait(timeout=60) == -signal.SIGINT, rank.returncode
    rank.communicate()
