/* Resolving part by part: realpath() alone fails on what does not exist yet. */
#include "io/real_path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Removes the last part of an absolute path; false if it is "/". */
static bool strip_last(char *path) {
    char *slash = strrchr(path, '/');
    if (!slash || path[1] == '\0') return false;
    slash[slash == path] = '\0'; /* the parent of "/x" is "/" */
    return true;
}

/* Goes from the folder `at`, which has no links, to its entry `name`. */
static status go_to(char at[PATH_SIZE], const char *name) {
    char next[PATH_SIZE], *real = NULL;
    status st = ST_OK;
    if (strcmp(name, ".") == 0) return ST_OK;
    if (strcmp(name, "..") == 0) {
        strip_last(at);
        return ST_OK;
    }
    TRY(path_join(next, at, name));
    real = realpath(next, NULL); /* NULL: not there */
    TRY(path_join(at, "", real ? real : next));
done:
    free(real);
    return st;
}

status real_path(const char *path, char out[PATH_SIZE]) {
    status st;
    char rest[PATH_SIZE], *more = NULL, *here = NULL;
    if (path[0] != '/') here = realpath(".", NULL);
    TRY(path_join(rest, "", path));
    TRY(path_join(out, "", here ? here : "/"));
    for (char *name = strtok_r(rest, "/", &more); name; name = strtok_r(NULL, "/", &more))
        TRY(go_to(out, name));
done:
    free(here);
    return st;
}

bool real_path_is_in(const char *path, const char *folder) {
    char at[PATH_SIZE];
    struct stat wanted, found;
    if (stat(folder, &wanted) != 0) return false;
    snprintf(at, sizeof at, "%s", path);
    do {
        if (stat(at, &found) == 0 && found.st_dev == wanted.st_dev && found.st_ino == wanted.st_ino)
            return true;
    } while (strip_last(at));
    return false;
}
