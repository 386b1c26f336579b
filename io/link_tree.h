/* A folder that has the same files as another one, by hard links. */
#ifndef CTAUG_IO_LINK_TREE_H
#define CTAUG_IO_LINK_TREE_H

#include "io/status.h"

/* Makes the folder `to` with the folders of `from` and hard links to its regular files, in place of
 * an older `to`. Other kinds of files are refused with ST_INTEGRITY. ST_STORAGE, also if both are
 * on different file systems. Local. */
status link_tree(const char *from, const char *to);

#endif
