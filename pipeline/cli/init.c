/* `ctaug init`: prints or writes a default study with a comment for every key. */
#include "io/file.h"
#include "pipeline/study/study.h"
#include "pipeline/cli/verb.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char init_help[] =
    "usage: ctaug init [FILE]\n"
    "\n"
    "Prints a study file with every key, its default, range and meaning; or writes it to FILE,\n"
    "which must not exist yet.\n"
    "\n"
    "  ctaug init head.yaml          a study to edit\n"
    "  ctaug init | less             all keys explained\n";

static status write_new(const char *path, const char *text, int64_t bytes) {
    if (file_exists(path))
        return status_fail(ST_USAGE, "init: %s exists already and is not changed", path);
    status st = file_write_atomic(path, text, bytes);
    if (st == ST_OK)
        verb_print("wrote %s\n\nSet ingest.dicom in it, then: ctaug run %s\n", path, path);
    return st;
}

static status init_local(int argc, char **argv) {
    static const verb_option none[] = {{0}};
    status st = ST_OK;
    const char *path = NULL;
    int n = 0;
    study defaults;
    char *text = NULL;
    int64_t bytes = 0;
    TRY(verb_parse(argc, argv, none, &path, 1, &n));
    study_defaults(&defaults);
    TRY(study_text(&defaults, true, &text, &bytes));
    if (n == 1)
        TRY(write_new(path, text, bytes));
    else if (fwrite(text, 1, (size_t)bytes, stdout) != (size_t)bytes || fflush(stdout) != 0)
        st = status_fail(ST_STORAGE, "init: standard output cannot be written");
done:
    free(text);
    return st;
}

status init_verb(const comm *c, int argc, char **argv) {
    return comm_agree(c, comm_rank(c) == 0 ? init_local(argc, argv) : ST_OK);
}
