#!/usr/bin/python3
"""Ingest is stopped, killed, or refused by the file system (disk full, input/output error) at a
step of writing: what is left vouches for nothing that is not whole, and the same command then ends
with the bytes of an undisturbed run, without decoding again what had been finished. The same for
repair.

The steps are the system calls that change something at the store, counted by a library that is
loaded before all others. Every few steps are tried, each in one way; with the argument `all` every
step in every way (make check-long)."""
import glob
import json
import os
import shutil
import subprocess
import sys

import chain

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* Whether the step at `path` is to fail; it may end the process. */
static int step(const char *path) {
    static long steps;
    const char *at = getenv("FAULT_AT"), *how = getenv("FAULT"), *place = getenv("FAULT_PLACE");
    if (!at || strncmp(path, place, strlen(place)) != 0) return 0;
    if (++steps != atol(at)) return 0;
    if (!strcmp(how, "kill")) kill(getpid(), SIGKILL);
    if (!strcmp(how, "stop")) return kill(getpid(), SIGTERM), 0;
    errno = !strcmp(how, "full") ? ENOSPC : EIO;
    return 1;
}

static int step_at(int fd) {
    char link[64], path[4096];
    const int before = errno;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    errno = before;
    if (n < 0) return 0;
    path[n] = 0;
    return step(path);
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    if ((flags & O_CREAT) && step(path)) return -1;
    return NEXT(open)(path, flags, mode);
}

/* Half of the bytes are there when it fails. */
ssize_t write(int fd, const void *data, size_t bytes) {
    if (bytes > 0 && step_at(fd)) {
        const int why = errno;
        NEXT(write)(fd, data, bytes / 2);
        errno = why;
        return -1;
    }
    return NEXT(write)(fd, data, bytes);
}

int fsync(int fd) { return step_at(fd) ? -1 : NEXT(fsync)(fd); }
int rename(const char *a, const char *b) { return step(b) ? -1 : NEXT(rename)(a, b); }
int unlink(const char *path) { return step(path) ? -1 : NEXT(unlink)(path); }
int rmdir(const char *path) { return step(path) ? -1 : NEXT(rmdir)(path); }
int remove(const char *path) { return step(path) ? -1 : NEXT(remove)(path); }
int mkdir(const char *path, mode_t mode) { return step(path) ? -1 : NEXT(mkdir)(path, mode); }
"""

WAYS = {"kill": (-9, 137), "stop": (75, 0), "full": (4, 0), "broken": (4, 0)}
STRIDE = 7
VOLUMES = 5


class Site:
    """An archive and the bytes of its store, made without a fault."""

    def __init__(self, place):
        self.place = place
        self.library = chain.library(place.root, "steps", LIBRARY)
        self.study, self.out = place.study("run")
        chain.run(0, "ingest", self.study)
        self.wanted = chain.hashes(f"{self.out}/store")
        assert sum(name.startswith("shard") for name in self.wanted) == 3, self.wanted
        # What is there before each attack: a store of another study.
        shutil.rmtree(self.out)
        chain.run(0, "ingest", self.study, "--set", "ingest.labels=thresholds", "--set",
                  'ingest.thresholds=["bone: 300..3071"]')
        self.old = f"{place.root}/old"
        os.rename(self.out, self.old)

    def attack(self, number, way, verb="ingest"):
        """Ingests over the older store, with a fault at a step: (exit code, output). Another verb
        finds what is there."""
        if verb == "ingest":
            shutil.rmtree(self.out, ignore_errors=True)
            shutil.copytree(self.old, self.out)
        done = subprocess.run([chain.CTAUG, verb, self.study], capture_output=True, text=True,
                              timeout=240, check=False,
                              env=dict(chain.ENV, LD_PRELOAD=self.library, FAULT=way,
                                       FAULT_AT=str(number), FAULT_PLACE=f"{self.out}/store"))
        return done.returncode, done.stdout + done.stderr

    def finished(self):
        """Numbers of the volumes that need not be decoded again."""
        parts = glob.glob(f"{self.out}/store.parts-*/outcome-????????")
        return {int(path[-8:]) for path in parts}

    def decoded(self):
        """How many volumes the last run decoded."""
        with open(f"{self.out}/events.jsonl") as f:
            events = [json.loads(line) for line in f]
        return [e for e in events if e["event"] == "ingest"][-1]["decoded"]

    def published(self):
        return os.path.exists(f"{self.out}/store/manifest.json")

    def check_what_is_left(self, said):
        """Either nothing, or the older store as it was, or the new one as it should be."""
        if not self.published():
            return
        now = chain.hashes(f"{self.out}/store")
        stays = {name: text for name, text in now.items() if ".tmp." not in name}
        assert stays in (self.wanted, chain.hashes(f"{self.old}/store")), said
        chain.run(0, "verify", self.out)

    def go_on(self, ranks):
        done, published = self.finished(), self.published()
        before = chain.hashes(f"{self.out}/store") == self.wanted
        chain.run(ranks, "ingest", self.study)
        assert chain.hashes(f"{self.out}/store") == self.wanted
        assert not glob.glob(f"{self.out}/store.parts-*"), "parts are left"
        if not (published and before):
            assert self.decoded() == VOLUMES - len(done), (self.decoded(), done)
        return len(done)


def every_step(site, stride):
    """Until a run comes through before its step."""
    number, kept = 1, set()
    while True:
        ways = list(WAYS) if stride == 1 else [list(WAYS)[number // stride % len(WAYS)]]
        hit = False
        for way in ways:
            code, said = site.attack(number, way)
            assert code in (*WAYS[way], 0), (number, way, code, said)
            hit |= code != 0
            if code == 0 and way == "kill":
                assert chain.hashes(f"{site.out}/store") == site.wanted, said
            site.check_what_is_left(said)
            kept.add(site.go_on(0))
        if not hit and "kill" in ways:
            break
        number += stride
    assert {0, 1, VOLUMES - 1, VOLUMES} <= kept if stride == 1 else len(kept) > 2, kept
    print(f"{number} steps, every {stride}: same bytes; volumes kept: {sorted(kept)}")


def kill_after(site, volumes, number=1, way="kill"):
    """Attacks later and later until so many volumes are finished; the number of the step."""
    while True:
        site.attack(number, way)
        if len(site.finished()) >= volumes:
            return number
        number += 8


def other_ranks_go_on(site):
    """What one rank has finished, two take."""
    kill_after(site, 2, 20)
    assert 2 <= site.go_on(2) < VOLUMES


def damaged_parts_are_made_again(site):
    kill_after(site, 3, 30)
    parts = sorted(glob.glob(f"{site.out}/store.parts-*/*-????????"))
    for path, change in ((parts[0], 200), (parts[-1], 300)):
        with open(path, "r+b") as f:
            f.seek(change)
            byte = f.read(1)[0]
            f.seek(change)
            f.write(bytes([byte ^ 4]))
    kept = len(site.finished())
    chain.run(2, "ingest", site.study)
    assert chain.hashes(f"{site.out}/store") == site.wanted
    assert site.decoded() == VOLUMES - kept + 2, (site.decoded(), parts)


def repairs_go_on(site, stride):
    """A repair is attacked: a shard is as it was before it or as it should be, and all others are
    untouched; another repair mends the rest."""
    chain.run(0, "ingest", site.study)
    number, code = 1, -1
    while code != 0:
        for name in ("shard-00001.h5", "index.h5"):
            os.truncate(f"{site.out}/store/{name}", 100)
        damaged = chain.hashes(f"{site.out}/store")
        code, said = site.attack(number, ("kill", "full", "broken")[number % 3], "repair")
        assert code in (-9, 4, 0), (number, code, said)
        for name, text in chain.hashes(f"{site.out}/store").items():
            assert ".tmp." in name or text in (damaged[name], site.wanted[name]), (number, name)
        chain.run(0, "repair", site.study)
        assert chain.hashes(f"{site.out}/store") == site.wanted, number
        number += stride
    print(f"{number} steps of a repair, every {stride}: same bytes")


with chain.Place(1) as place:
    place.dicom = f"{place.root}/larger"  # two volumes to a shard
    chain.run(0, "phantom", "--patients", str(VOLUMES), "--seed", "1", "--size", "128", "--slices",
              "8", "--out", place.dicom)
    site = Site(place)
    other_ranks_go_on(site)
    damaged_parts_are_made_again(site)
    every_step(site, 1 if "all" in sys.argv else STRIDE)
    repairs_go_on(site, 1 if "all" in sys.argv else STRIDE)
