#!/usr/bin/python3
"""While a volume is written the next one is decoded, and no further one.

A library that is loaded before all others notes which files the decoders open once the scan is
over, and holds the first volume at the end of its writing until the second one is decoded."""
import os

import chain

SLICES = 8
LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int count(const char *pattern) {
    glob_t found = {0};
    const int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static void note(const char *path) {
    char mark[4096], name[4096];
    const char *end = strrchr(path, '.');
    if (!end || strcmp(end, ".dcm") != 0 || count(getenv("PARTS")) == 0) return;
    snprintf(name, sizeof name, "%s", path);
    for (char *c = name; *c; c++)
        if (*c == '/') *c = '_';
    snprintf(mark, sizeof mark, "%s/%s", getenv("MARKS"), name);
    mkdir(mark, 0700);
}

int open(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    note(path);
    return NEXT(open)(path, flags, mode);
}

/* The part of the first volume is published. */
int rename(const char *from, const char *to) {
    char all[4096];
    const int wanted = atoi(getenv("FILES"));
    snprintf(all, sizeof all, "%s/*.dcm", getenv("MARKS"));
    if (strstr(to, "/volume-00000000")) {
        for (int k = 0; k < 3000 && count(all) < 2 * wanted; k++) usleep(10000);
        usleep(500000);
        snprintf(all, sizeof all, "%s/seen-%d", getenv("MARKS"), count(all));
        mkdir(all, 0700);
    }
    return NEXT(rename)(from, to);
}
"""

with chain.Place(4) as place:
    study, plain = place.study("plain")
    chain.run(1, "ingest", study)
    library, marks = chain.library(place.root, "ahead", LIBRARY), f"{place.root}/marks"
    os.mkdir(marks)
    study, out = place.study("ahead")
    files = SLICES + 1  # and the segmentation
    chain.run(1, "ingest", study,
              env={"LD_PRELOAD": library, "MARKS": marks, "FILES": str(files),
                   "PARTS": f"{out}/store.parts-*"})
    found = os.listdir(marks)
    assert f"seen-{2 * files}" in found, sorted(found)
    assert len(found) == 4 * files + 1, sorted(found)
    assert chain.hashes(f"{out}/store") == chain.hashes(f"{plain}/store")
