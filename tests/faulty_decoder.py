"""A library that gives decoders of ctaug faults, which itself has no switch for them. It is loaded
before all others (LD_PRELOAD) and waits for files of certain names to be opened.

"crash", "flood" and "hang" in the name of a file say what its reading does: at once or, with
"late-", when a file is there that matches the pattern $LATE. It happens in the decoders alone,
which have one argument. Those that hang, at most $HANGS of them, leave their process ids as links
in $HUNG."""
import chain

LIBRARY = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void act(const char *path) {
    const char *base = strrchr(path, '/'), *late = getenv("LATE");
    char line[256] = "", id[16];
    glob_t found;
    int fd;
    base = base ? base + 1 : path;
    if (!strstr(base, "crash") && !strstr(base, "flood") && !strstr(base, "hang")) return;
    if (strstr(base, "late-") && glob(late, 0, NULL, &found) != 0) return;
    fd = syscall(2, "/proc/self/cmdline", O_RDONLY);
    if (read(fd, line, sizeof line - 1) < 0) return;
    close(fd);
    if (!strstr(line + strlen(line) + 1, "decode")) return;
    if (strstr(base, "crash")) raise(SIGSEGV);
    if (strstr(base, "hang")) {
        for (int k = 0; k < atoi(getenv("HANGS")); k++) {
            snprintf(line, sizeof line, "%s/%d", getenv("HUNG"), k);
            snprintf(id, sizeof id, "%d", (int)getpid());
            if (symlink(id, line) == 0)
                for (;;) pause();
        }
        return;
    }
    for (size_t size = 1 << 28; size > 16; size /= 2)
        while (malloc(size)) {}
}

int open(const char *path, int flags, ...) {
    static int (*next)(const char *, int, ...);
    va_list list;
    if (!next) next = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    act(path);
    va_start(list, flags);
    int mode = va_arg(list, int);
    va_end(list);
    return next(path, flags, mode);
}

/* The way of DCMTK, when most memory is taken. */
FILE *fopen(const char *path, const char *how) {
    static FILE *(*next)(const char *, const char *);
    if (!next) next = (FILE *(*)(const char *, const char *))dlsym(RTLD_NEXT, "fopen");
    act(path);
    return next(path, how);
}

FILE *fopen64(const char *path, const char *how) { return fopen(path, how); }
"""


def build(folder):
    """Makes the library in a folder; its path."""
    return chain.library(folder, "faults", LIBRARY)
