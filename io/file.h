/* Paths, reading, hashing, locking, and atomic publication of files.
 *
 * A published file is either complete or absent: x.tmp.<tag> is written, closed, fsynced and
 * renamed, then its directory is fsynced. The manifest of a directory (io/manifest.h) is published
 * last; readers refuse files that no manifest lists.
 */
#ifndef CTAUG_IO_FILE_H
#define CTAUG_IO_FILE_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { PATH_SIZE = 1024, SHA256_HEX = 65 };

/* "directory/name" in out; ST_USAGE naming the path if it does not fit. Local. */
status path_join(char out[PATH_SIZE], const char *directory, const char *name);

/* ST_INTEGRITY if `path` is a symbolic link: published files are none, and a link could lead
 * anywhere. Local. */
status file_refuse_link(const char *path);

/* The same for `path` and everything below it. ST_OK if it does not exist. Local. */
status file_refuse_links_below(const char *path);

/* mkdir -p. ST_STORAGE naming path and reason. Local. */
status file_make_dirs(const char *path);
bool file_exists(const char *path);

/* Writes all bytes to `path`, over an old file, with an fsync; for files under a temporary name.
 * After a failure the file is to be removed. Local. */
status file_write_synced(const char *path, const void *data, int64_t bytes);

/* Writes all bytes to `path` by way of a temporary name beside it. Local. */
status file_write_atomic(const char *path, const void *data, int64_t bytes);

/* fsync of a closed file or of a directory. A full disk may be reported only here. Local. */
status file_sync(const char *path);

/* Moves a finished, closed temporary file to its published name: fsync, rename, fsync directory.
 * Local. */
status file_publish(const char *temporary, const char *path);

/* Removes the temporaries "*.tmp.*" that interrupted runs left directly inside a directory. A
 * missing directory is no fault. Local. */
status file_remove_temporaries(const char *directory);

/* Removes a file, or a directory with its content. A missing one is no fault. Symbolic links are
 * removed, not followed. Local. */
status file_remove_tree(const char *path);

/* Locks the file `path` (created if missing) for this process and writes "process <id> on <host>"
 * into it. Waits up to 10 s while another process holds the lock; then ST_USAGE naming that
 * process. *lock is for file_unlock(). It is -1 on a file system without locks, which is no fault.
 * The system releases the lock when the process ends. Local. */
status file_lock(const char *path, int *lock);
void file_unlock(int lock);

/* The whole file in *data (the caller frees it), followed by a 0 byte that *bytes does not count.
 * ST_INPUT when missing, unreadable or longer than `max_bytes`. Local. */
status file_read(const char *path, int64_t max_bytes, char **data, int64_t *bytes);

/* Size of a regular file; ST_INPUT otherwise. Local. */
status file_size(const char *path, int64_t *bytes);

/* SHA-256 (OpenSSL) of a file or of bytes, in lower-case hexadecimal. Local. */
status file_sha256(const char *path, char hex[SHA256_HEX]);
status bytes_sha256(const void *data, int64_t bytes, char hex[SHA256_HEX]);

#endif
