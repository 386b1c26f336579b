"""A rank that is asked to stop while it computes stops after a checkpoint, whatever it was doing.

Signals fall into the machine code of oneDNN; a handler on the stack of that code damages memory
(dnnl_sgemm of 2.6.3 on AVX-512), which shows as an abort. So training is asked not once but
thousands of times a second until it stops, and is then continued.
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


with chain.Place() as place:
    study, out = place.study("signals")
    chain.run(1, "ingest", study, "--set", "train.steps=100000")
    for attempt in range(3):
        before = steps(out)
        # Without mpirun, which would stand between us and the rank.
        rank = subprocess.Popen([chain.CTAUG, "train", study, "--set", "train.steps=100000"],
                                env=chain.ENV, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)
        limit = time.monotonic() + 90
        while steps(out) == before and rank.poll() is None and time.monotonic() < limit:
            time.sleep(0.05)
        sent = 0
        while rank.poll() is None and time.monotonic() < limit:
            rank.send_signal(signal.SIGUSR1)
            sent += 1
            time.sleep(0.0002)
        rank.kill()
        said = rank.communicate()[0]
        assert rank.returncode == 75, f"exit {rank.returncode} after {sent} signals:\n{said}"
        assert "ctaug train" in said and "after the checkpoint" in said, said
        print(f"stopped after {sent} signals")
