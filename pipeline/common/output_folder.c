/* Output folders are written under a temporary name and renamed at the end. */
#include "pipeline/common/output_folder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Sets the two names. Local. */
static status set_names(output_folder *f, const char *out) {
    size_t length = strlen(out);
    while (length > 1 && out[length - 1] == '/') length--;
    if (length == 0 || length >= PATH_SIZE) {
        return status_fail(ST_USAGE, "--out %s: no path, or a path too long", out);
    }
    snprintf(f->out, PATH_SIZE, "%.*s", (int)length, out);
    if (snprintf(f->temporary, PATH_SIZE, "%s.tmp.partial", f->out) >= PATH_SIZE) {
        return status_fail(ST_USAGE, "--out %s: the path is too long", out);
    }
    return ST_OK;
}

/* ST_USAGE if `out` exists and is not empty. Local. */
static status check_empty(const char *out) {
    status st = ST_OK;
    DIR *folder = opendir(out);
    if (!folder && errno == ENOENT) return ST_OK;
    if (!folder) return status_fail(ST_STORAGE, "%s: %s", out, strerror(errno));
    for (struct dirent *entry = readdir(folder); entry && st == ST_OK; entry = readdir(folder)) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            st = status_fail(ST_USAGE, "%s: is not empty; name a new folder for --out", out);
        }
    }
    closedir(folder);
    return st;
}

/* Removes the temporary folder of a killed run and creates it empty. Local. */
static status prepare(const output_folder *f) {
    status st = ST_OK;
    TRY(check_empty(f->out));
    TRY(file_remove_tree(f->temporary));
    TRY(file_make_dirs(f->temporary));
done:
    return st;
}

status output_folder_open(const comm *c, const char *out, output_folder *folder) {
    memset(folder, 0, sizeof *folder);
    status st = set_names(folder, out);
    if (st == ST_OK && comm_rank(c) == 0) st = prepare(folder);
    st = comm_agree(c, st);
    folder->open = st == ST_OK;
    return st;
}

status output_folder_close(const comm *c, output_folder *folder, status st) {
    st = comm_agree(c, st);
    if (!folder->open) return st;
    folder->open = false;
    if (st == ST_OK) {
        st =
            comm_agree(c, comm_rank(c) == 0 ? file_publish(folder->temporary, folder->out) : ST_OK);
    }
    if (st != ST_OK && comm_rank(c) == 0) {
        char message[1024];
        snprintf(message, sizeof message, "%s", status_message());
        (void)file_remove_tree(folder->temporary);
        status_fail(st, "%s", message);
    }
    return st;
}
