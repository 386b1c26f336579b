"""Jobs that get a signal at a known moment: when a file or folder has just got its name.

A job that is watched from outside may be over before the watcher looks. A library that is loaded
before all others (LD_PRELOAD) therefore holds the first rank that renames something to a name like
$HOLD, or makes a folder of such a name: it makes the file $HELD and goes on when $RELEASED is
there."""
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
    while (access(getenv("RELEASED"), F_OK) != 0) usleep(10000);
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


def build(folder):
    source, library = f"{folder}/hold.c", f"{folder}/hold.so"
    with open(source, "w") as f:
        f.write(LIBRARY)
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-O1", "-o", library, source], check=True)
    return library


def interrupt(sign, pattern, ranks, verb, *words):
    """Runs a verb of ctaug on ranks and sends the signal to all processes of the job when the first
    name like `pattern` is there (fnmatch; * takes slashes, too). The exit code."""
    with tempfile.TemporaryDirectory() as folder:
        held, released = f"{folder}/held", f"{folder}/released"
        env = dict(chain.ENV, LD_PRELOAD=build(folder), HOLD=pattern, HELD=held, RELEASED=released)
        with open(f"{folder}/said", "w+") as said:
            job = subprocess.Popen(chain.command(ranks, chain.CTAUG, verb, *words), env=env,
                                   start_new_session=True, stdout=said, stderr=said)
            limit = time.monotonic() + 300
            while not os.path.exists(held) and job.poll() is None and time.monotonic() < limit:
                time.sleep(0.02)
            there = os.path.exists(held)
            if job.poll() is None:
                os.killpg(job.pid, sign if there else signal.SIGKILL)
            said.seek(0)
            assert there, f"{verb} never made {pattern}:\n{said.read()}"
            if sign != signal.SIGKILL:
                time.sleep(0.5)  # ranks have threads that take signals
                with open(released, "w"):
                    pass
            return job.wait(timeout=120)
