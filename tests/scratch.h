/* The scratch directory of a test program, and what tests do in it: name paths, damage files, run
 * on a disk that is full or read-only.
 *
 * Included by one C file of a program. The directory, `home`, lies under $TMPDIR or /tmp.
 */
#ifndef CTAUG_TESTS_SCRATCH_H
#define CTAUG_TESTS_SCRATCH_H

#include "io/file.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static char home[256];

static inline bool begin_scratch(void) {
    const char *base = getenv("TMPDIR");
    snprintf(home, sizeof home, "%s/ctaug-test-XXXXXX", base ? base : "/tmp");
    return mkdtemp(home) != NULL;
}

static inline bool end_scratch(void) { return file_remove_tree(home) == ST_OK; }

/* home/name. The last four results stay valid. */
static inline const char *in_home(const char *name) {
    static char paths[4][PATH_SIZE];
    static int turn;
    char *path = paths[turn = (turn + 1) % 4];
    snprintf(path, PATH_SIZE, "%s/%s", home, name);
    return path;
}

static inline void assert_ok(status st) {
    if (st != ST_OK) fail_msg("status %d: %s", (int)st, status_message());
}

static inline void assert_says(const char *part) {
    if (!strstr(status_message(), part)) fail_msg("\"%s\" lacks \"%s\"", status_message(), part);
}

/* ---- damaged files ---- */

/* Neither atomic nor durable, and therefore fast enough for thousands of files. */
static inline void put_file(const char *path, const void *data, int64_t bytes) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, (size_t)bytes, f), bytes);
    assert_int_equal(fclose(f), 0);
}

/* Flips the lowest bit of the byte at offset `at`; a second call restores it. */
static inline void flip_bit(const char *path, int64_t at) {
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    int byte = fgetc(f);
    assert_int_equal(fseek(f, at, SEEK_SET), 0);
    assert_int_not_equal(fputc(byte ^ 1, f), EOF);
    assert_int_equal(fclose(f), 0);
}

/* ---- small disks ---- */

/* Gives this process a mount namespace of its own, which ends with it. */
static inline bool own_mounts(void) {
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* Mounts a file system of `bytes` bytes on the directory `where`. */
static inline bool mount_small(const char *where, int bytes) {
    char options[32];
    snprintf(options, sizeof options, "size=%d", bytes);
    return mount("none", where, "tmpfs", 0, options) == 0;
}

static inline bool make_read_only(const char *where) {
    return mount("none", where, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0;
}

/* A test: starts this program again with "disk DIRECTORY", which must exit with 0, or with 77 if it
 * may not mount. (A new process, because neither MPI nor HDF5 supports a fork.) */
static inline void full_and_read_only(void **state) {
    (void)state;
    char self[PATH_SIZE], command[3 * PATH_SIZE];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(length > 0);
    self[length] = '\0';
    assert_int_equal(file_make_dirs(in_home("disk")), ST_OK);
    snprintf(command, sizeof command, "timeout 60 '%s' disk '%s'", self, in_home("disk"));
    int code = WEXITSTATUS(system(command));
    if (code == 77) {
        print_message("skipped: mounting a small file system needs root\n");
        skip();
    }
    assert_int_equal(code, 0);
}

#endif
