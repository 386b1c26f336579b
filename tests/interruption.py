"""Jobs that get a signal at a known moment: when a file or folder has just got its name.

A job that is watched from outside may be over before the watcher looks. A library that is loaded
before all others (LD_PRELOAD) therefore holds the first rank that renames something to a name like
$HOLD, or makes a folder of such a name: it makes the file $HELD and goes on when $RELEASED is
there, or the test is over."""
import os
import signal
import subprocess
import tempfile
import time

import chain

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void hold(const char *path) {
    int fd;
    if (fnmatch(getenv("HOLD"), path, 0) != 0) return;
    if ((fd = open(getenv("HELD"), O_CREAT | O_EXCL, 0600)) < 0) return;
    close(fd);
    while (access(getenv("HELD"), F_OK) == 0 && access(getenv("RELEASED"), F_OK) != 0)
        usleep(10000);
}

int rename(const char *from, const char *to) {
    int (*next)(const char *, const char *) =
        (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    int code = next(from, to);
    if (code == 0) hold(to);
    return code;
}

int mkdir(const char *path, mode_t mode) {
    int (*next)(const char *, mode_t) = (int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir");
    int code = next(path, mode), error = errno;
    if (code == 0 || error == EEXIST) hold(path);
    errno = error;
    return code;
}
"""


def ranks_of(held):
    """The processes of a job, by what their environment says."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f:
                if f"HELD={held}".encode() in f.read().split(b"\0"):
                    found.append(int(pid))
        except OSError:  # it has ended
            pass
    return found


def end(job, held):
    """Kills what is left of a job; mpirun has its ranks in process groups of their own."""
    limit = time.monotonic() + 60
    while (left := ranks_of(held)) and time.monotonic() < limit:
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        job.poll()
        time.sleep(0.02)
    assert not left, left


def interrupt(sign, pattern, ranks, verb, *words):
    """Runs a verb of ctaug on ranks and sends a signal when the first name like `pattern` is there
    (fnmatch; * takes slashes, too): SIGKILL to all processes of the job, others to mpirun, which
    forwards them. The exit code."""
    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/said", "w+") as said:
        held, released = f"{folder}/held", f"{folder}/released"
        env = dict(chain.ENV, LD_PRELOAD=chain.library(folder, "hold", LIBRARY), HOLD=pattern,
                   HELD=held, RELEASED=released)
        job = subprocess.Popen(chain.command(ranks, chain.CTAUG, verb, *words), env=env,
                               stdout=said, stderr=said)
        try:
            limit = time.monotonic() + 300
            while not os.path.exists(held) and job.poll() is None and time.monotonic() < limit:
                time.sleep(0.02)
            said.seek(0)
            assert os.path.exists(held), f"{verb} never made {pattern}:\n{said.read()}"
            if sign == signal.SIGKILL:
                end(job, held)
            else:
                job.send_signal(sign)
                time.sleep(1)  # mpirun forwards it, and a thread of each rank takes it
                with open(released, "w"):
                    pass
            return job.wait(timeout=120)
        finally:
            end(job, held)
