/* Where a path leads: without symbolic links, "." and "..", also for what does not exist yet. */
#ifndef CTAUG_IO_REAL_PATH_H
#define CTAUG_IO_REAL_PATH_H

#include "io/file.h"

/* The absolute path of `path` without links. What does not exist yet gets the path that
 * file_make_dirs() would give it. ST_USAGE if that is too long. Local. */
status real_path(const char *path, char out[PATH_SIZE]);

/* Whether `path` is the existing `folder` or lies in it; both from real_path(). Folders are
 * compared by device and inode, so that a bind mount is found too. Local. */
bool real_path_is_in(const char *path, const char *folder);

#endif
