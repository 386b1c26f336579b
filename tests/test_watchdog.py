"""The watchdog on real ranks: who is stopped or hangs is named and the job ends; who is only slow
is left alone."""
import glob
import os
import signal
import stat
import subprocess
import sys
import time

import chain

# A rank that hangs as on a dead network file system: fsync() does not return while a file exists.
SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int fsync(int fd) {
    const char *hang = getenv("HANG"), *rank = getenv("OMPI_COMM_WORLD_RANK");
    const char *wanted = getenv("HANG_RANK");
    while (hang && rank && wanted && strcmp(rank, wanted) == 0 && access(hang, F_OK) == 0)
        usleep(100000);
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}
"""
LIMIT = 3
LONG = ("--set", "train.steps=100000", "--set", "train.validate_every=100000", "--set",
        "train.preview_every=100000", "--set", "train.checkpoint_every=5")


class Job:
    """A verb on ranks in the background; its process ids by rank."""

    def __init__(self, ranks, verb, study, *words, env=None):
        self.said = open(f"{study}.said", "w+", encoding="utf-8")
        program = 'echo $$ > "$0.$OMPI_COMM_WORLD_RANK"; exec "$@"'
        for old in glob.glob(f"{study}.pid.*"):
            os.remove(old)
        self.study, self.ranks = study, ranks
        self.job = subprocess.Popen(
            chain.command(ranks, "bash", "-c", program, f"{study}.pid", chain.CTAUG, verb, study,
                          *words), env=dict(chain.ENV, **(env or {})), stdout=self.said,
            stderr=subprocess.STDOUT, start_new_session=True)

    def pid(self, rank):
        with open(f"{self.study}.pid.{rank}") as f:
            return int(f.read())

    def text(self):
        self.said.flush()
        with open(self.said.name, encoding="utf-8") as f:
            return f.read()

    def wait_until(self, condition, what, seconds=120):
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit and self.job.poll() is None, f"{what}\n{self.text()}"
            time.sleep(0.02)

    def end(self, seconds):
        """The exit code; all ranks are gone."""
        began = time.monotonic()
        try:
            code = self.job.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"goes on after {seconds} s:\n{self.text()}") from None
        print(f"exit {code} after {time.monotonic() - began:.1f} s")
        for rank in range(self.ranks):
            limit = time.monotonic() + 10
            while os.path.exists(f"/proc/{self.pid(rank)}/exe") and time.monotonic() < limit:
                time.sleep(0.1)
            assert not os.path.exists(f"/proc/{self.pid(rank)}/exe"), f"rank {rank} is left"
        return code

    def kill(self):
        for rank in range(self.ranks):
            try:
                os.kill(self.pid(rank), signal.SIGKILL)
            except OSError:
                pass
        self.job.kill()
        self.job.wait()


def steps(out):
    return [int(name[-8:]) for name in glob.glob(f"{out}/checkpoints/step-????????")]


def verdicts(text):
    return [line for line in text.splitlines() if line.startswith("ctaug: rank ")]


def a_stopped_rank_ends_the_job(place, study, out):
    for rank in (1, 0):
        before = max(steps(out), default=0)
        job = Job(3, "train", study, *LONG, "--watchdog", LIMIT)
        # The second one: all ranks know of the first.
        job.wait_until(lambda: max(steps(out), default=0) > before + 5, "no checkpoint")
        last = max(steps(out))
        os.kill(job.pid(rank), signal.SIGSTOP)
        code = job.end(30)
        lines = verdicts(job.text())
        assert code == 75 and len(lines) == 1, (code, job.text())
        print(lines[0])
        assert f"rank {rank} on host {os.uname().nodename} gives no sign of life" in lines[0]
        # That of the last heartbeat, a tenth of the limit ago.
        step = int(lines[0].split("last known step was ")[1].split(";")[0])
        assert last - 50 <= step < last + 1000 and "run the command again" in lines[0], lines[0]
        # A left-over heartbeat does no harm: the next run replaces it.
        assert os.path.isdir(f"{out}/heartbeat")


def without_a_checkpoint_nothing_can_be_resumed(place, study, out):
    job = Job(3, "train", study, *LONG[:-2], "--set", "train.checkpoint_every=100000", "--watchdog",
              LIMIT)
    job.wait_until(lambda: '"event":"train"' in open(f"{out}/events.jsonl").read(), "no step")
    os.kill(job.pid(2), signal.SIGSTOP)
    code = job.end(30)
    assert code == 1 and "rank 2 on host" in job.text() and "nothing was saved" in job.text(), (
        code, job.text())


def a_rank_that_hangs_in_a_file_is_named(place, study, out, shim):
    """Rank 0 in the fsync of a checkpoint: it neither works nor waits for others, who all wait."""
    hang = f"{place.root}/hang"
    before = max(steps(out), default=0)
    job = Job(3, "train", study, *LONG, "--watchdog", LIMIT,
              env={"LD_PRELOAD": shim, "HANG": hang, "HANG_RANK": "0"})
    job.wait_until(lambda: max(steps(out), default=0) > before + 5, "no checkpoint")
    open(hang, "w").close()
    code = job.end(30)
    os.remove(hang)
    lines = verdicts(job.text())
    assert code == 75 and len(lines) == 1, (code, job.text())
    print(lines[0])
    assert "rank 0 on host" in lines[0] and "hangs" in lines[0], lines


def slow_work_is_left_alone(place, study, out):
    """Steps, previews and validations that each take longer than the limit's tenth."""
    before = max(steps(out), default=0)
    job = Job(3, "train", study, "--set", "train.steps=8", "--set", "train.batch=256", "--set",
              "train.validate_every=2", "--set", "train.preview_every=4", "--set",
              "train.checkpoint_every=2", "--set", "generate.steps=60", "--watchdog", LIMIT)
    job.wait_until(lambda: max(steps(out), default=0) > before, "no checkpoint")
    place_of_beats = f"{out}/heartbeat"
    names = sorted(os.listdir(place_of_beats))
    assert names == ["rank-00000", "rank-00001", "rank-00002"], names
    for name in names:
        assert stat.S_IMODE(os.stat(f"{place_of_beats}/{name}").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(place_of_beats).st_mode) == 0o700
    assert job.end(300) == 0, job.text()
    assert not verdicts(job.text()) and not os.path.exists(place_of_beats)


def a_suspended_job_goes_on(place, study, out):
    before = max(steps(out), default=0)
    job = Job(3, "train", study, *LONG, "--watchdog", LIMIT)
    job.wait_until(lambda: max(steps(out), default=0) > before, "no checkpoint")
    everybody = [job.job.pid, *(job.pid(rank) for rank in range(3))]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3 * LIMIT)
    at = max(steps(out))
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    job.wait_until(lambda: max(steps(out)) > at + 5, "does not go on")
    time.sleep(2 * LIMIT)
    os.kill(job.job.pid, signal.SIGUSR1)
    assert job.end(60) == 75 and not verdicts(job.text()), job.text()
    assert not os.path.exists(f"{out}/heartbeat")


def threads_of(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def zero_is_off(place, study, out):
    """No thread, no folder."""
    count = []
    for seconds in (0, 300):
        before = max(steps(out), default=0)
        job = Job(2, "train", study, *LONG, "--watchdog", seconds)
        job.wait_until(lambda: max(steps(out), default=0) > before, "no checkpoint")
        count.append(threads_of(job.pid(1)))
        assert os.path.exists(f"{out}/heartbeat") == (seconds > 0)
        os.kill(job.job.pid, signal.SIGUSR1)
        assert job.end(60) == 75, job.text()
        assert not os.path.exists(f"{out}/heartbeat")
    assert count[1] == count[0] + 1, count


def main():
    with chain.Place() as place:
        shim = f"{place.root}/shim.so"
        with open(f"{place.root}/shim.c", "w") as f:
            f.write(SHIM)
        if subprocess.run(["gcc", "-shared", "-fPIC", "-o", shim, f"{place.root}/shim.c", "-ldl"],
                          check=False).returncode:
            sys.exit("no shim")
        study, out = place.study("watched")
        chain.run(2, "ingest", study)
        without_a_checkpoint_nothing_can_be_resumed(place, study, out)
        a_stopped_rank_ends_the_job(place, study, out)
        a_rank_that_hangs_in_a_file_is_named(place, study, out, shim)
        a_suspended_job_goes_on(place, study, out)
        zero_is_off(place, study, out)
        study, out = place.study("slow")
        chain.run(2, "ingest", study)
        slow_work_is_left_alone(place, study, out)


main()
