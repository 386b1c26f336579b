/* Walks a folder and links what it finds, under a temporary name. */
#include "io/link_tree.h"

#include "io/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static status link_entry(const char *from, const char *to, int depth);

/* Links the entries of a folder into another one, which is made. */
static status link_folder(const char *from, const char *to, int depth) {
    status st = ST_OK;
    char source[PATH_SIZE], target[PATH_SIZE];
    struct dirent *entry;
    DIR *d = opendir(from);
    if (!d) return status_fail(ST_STORAGE, "%s: cannot list: %s", from, strerror(errno));
    TRY(file_make_dirs(to));
    while (errno = 0, (entry = readdir(d))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        TRY(path_join(source, from, entry->d_name));
        TRY(path_join(target, to, entry->d_name));
        TRY(link_entry(source, target, depth));
    }
    if (errno != 0) st = status_fail(ST_STORAGE, "%s: cannot list: %s", from, strerror(errno));
done:
    closedir(d);
    return st;
}

static status link_entry(const char *from, const char *to, int depth) {
    enum { DEPTH_MAX = 16 };
    struct stat info;
    if (lstat(from, &info) != 0) return status_fail(ST_STORAGE, "%s: %s", from, strerror(errno));
    if (S_ISDIR(info.st_mode) && depth < DEPTH_MAX) return link_folder(from, to, depth + 1);
    if (!S_ISREG(info.st_mode))
        return status_fail(ST_INTEGRITY, "%s is neither a file nor a folder", from);
    if (link(from, to) == 0) return ST_OK;
    return status_fail(ST_STORAGE, "%s: no hard link to %s: %s", to, from, strerror(errno));
}

status link_tree(const char *from, const char *to) {
    status st = ST_OK;
    char part[PATH_SIZE + 8];
    snprintf(part, sizeof part, "%s.part", to);
    TRY(file_remove_tree(part));
    TRY(link_folder(from, part, 0));
    TRY(file_remove_tree(to));
    TRY(file_publish(part, to));
done:
    return st;
}
