/* `ctaug verify`: checks every published directory below a directory.
 *
 * In a directory with manifest.json the sizes and hashes of all files are compared with it, and in
 * a store every dataset is read. A directory with files but without a manifest was not published
 * and is listed as such. The walk continues after damage, so that one run shows all of it.
 */
#include "io/manifest.h"
#include "io/store.h"
#include "pipeline/cli/verb.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char verify_help[] =
    "usage: ctaug verify DIR\n"
    "\n"
    "Checks every published directory at or below DIR (a store, a checkpoint, a run directory):\n"
    "sizes and SHA-256 of all files against their manifest, and that every volume of a store can\n"
    "be read. Ends with exit code 5 and the name of the file if something is damaged.\n"
    "\n"
    "  ctaug verify runs/my-study\n";

/* Counts of the walk, and the first damage. */
typedef struct tally {
    int64_t directories, files, bytes;
    status fault; /* of the first damage */
    char message[1024];
} tally;

static void keep_fault(tally *t, const char *directory, status st) {
    printf("%-40s DAMAGED: %s\n", directory, status_message());
    if (t->fault != ST_OK) return;
    t->fault = st;
    snprintf(t->message, sizeof t->message, "%s", status_message());
}

static status check_files(const manifest *m, const char *directory, tally *t) {
    status st = ST_OK;
    for (int64_t i = 0; i < m->count; i++) {
        TRY(manifest_check_file(m, directory, i));
        t->files++;
        t->bytes += m->files[i].bytes;
    }
    if (strcmp(m->kind, "store") == 0) TRY(store_verify(directory));
done:
    return st;
}

/* Checks a directory that has a manifest.json. */
static void check_directory(const char *directory, tally *t) {
    manifest m = {0};
    status st = manifest_read(directory, NULL, &m);
    if (st == ST_OK) st = check_files(&m, directory, t);
    /* A missing or unreadable file is damage too, because the manifest lists it. */
    if (st != ST_OK)
        keep_fault(t, directory, st == ST_INTERNAL ? st : ST_INTEGRITY);
    else
        printf("%-40s %s, %" PRId64 " file%s, good\n", directory, m.kind, m.count,
               m.count == 1 ? "" : "s");
    t->directories++;
    manifest_free(&m);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* Checks `directory` and everything below it. Symbolic links are not followed: a run directory has
 * none. */
static status walk(const char *directory, bool top, tally *t) {
    status st = ST_OK;
    char path[PATH_SIZE];
    struct dirent **entries = NULL;
    struct stat what;
    bool files = false;
    int n = scandir(directory, &entries, visible, alphasort);
    if (n < 0)
        return status_fail(ST_INPUT, "verify: %s cannot be read: %s", directory, strerror(errno));
    TRY(path_join(path, directory, "manifest.json"));
    bool published = file_exists(path);
    if (published) check_directory(directory, t);
    for (int i = 0; i < n; i++) {
        TRY(path_join(path, directory, entries[i]->d_name));
        if (lstat(path, &what) != 0)
            TRY(status_fail(ST_INPUT, "verify: %s: %s", path, strerror(errno)));
        if (S_ISDIR(what.st_mode))
            TRY(walk(path, false, t));
        else
            files = true;
    }
    if (files && !published && !top)
        printf("%-40s not hashed (nothing published in it)\n", directory);
done:
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return st;
}

static status verify_local(int argc, char **argv) {
    static const verb_option none[] = {{0}};
    status st = ST_OK;
    const char *directory = NULL;
    int n = 0;
    tally t = {0};
    TRY(verb_parse(argc, argv, none, &directory, 1, &n));
    if (n == 0) TRY(status_fail(ST_USAGE, "verify: which directory? See `ctaug verify --help`"));
    TRY(walk(directory, true, &t));
    if (t.fault != ST_OK) TRY(status_fail(t.fault, "%s", t.message));
    if (t.directories == 0)
        TRY(status_fail(ST_INPUT, "verify: nothing is published at or below %s", directory));
    printf("all good: %" PRId64 " published, %" PRId64 " files, %.1f MiB\n", t.directories, t.files,
           (double)t.bytes / (1 << 20));
done:
    return st;
}

status verify_verb(const comm *c, int argc, char **argv) {
    status st = comm_rank(c) == 0 ? verify_local(argc, argv) : ST_OK;
    fflush(stdout);
    return comm_agree(c, st);
}
