"""A rank that is asked to stop while it computes stops after a checkpoint, whatever it was doing.

A signal must not be handled on the stack of the machine code of oneDNN, where it damages memory
(dnnl_sgemm of 2.6.3 on AVX-512), which shows as an abort. So training, on two threads, is asked not
once but thousands of times a second until it stops, and is then continued; and of all its threads
one alone takes signals.
"""
import os
import signal
import subprocess
import time

import chain


def steps(out):
    """How often training has told of its steps."""
    try:
        with open(os.path.join(out, "events.jsonl")) as f:
            return f.read().count('"event":"train"')
    except FileNotFoundError:
        return 0


def start(out, study):
    """A training that has made steps. Without mpirun, which would stand between us and the rank."""
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
    # A second Ctrl-C does not wait.
    rank = start(out, study)
    rank.send_signal(signal.SIGINT)
    time.sleep(0.005)
    rank.send_signal(signal.SIGINT)
    assert rank.wait(timeout=60) == -signal.SIGINT, rank.returncode
    rank.communicate()
