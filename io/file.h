/* Files that are either there whole or not there: atomic publishing, reading, hashing, paths.
 *
 * Publish: x.tmp.<tag> is written, closed, fsynced, renamed, and its directory fsynced. The
 * manifest (io/manifest.h) of a directory comes last; a reader refuses what no manifest vouches
 * for.
 */
#ifndef CTAUG_IO_FILE_H
#define CTAUG_IO_FILE_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { PATH_SIZE = 1024, SHA256_HEX = 65 };

/* "a/b" in out; ST_USAGE naming the path if it does not fit. Local. */
status path_join(char out[PATH_SIZE], const char *directory, const char *name);

/* mkdir -p. ST_STORAGE naming path and reason. Local. */
status file_make_dirs(const char *path);
bool file_exists(const char *path);

/* Writes all bytes to `path`, over an old file, with an fsync; for files under a temporary name. After
 * a failure the file is to be removed. Local. */
status file_write_synced(const char *path, const void *data, int64_t bytes);

/* Writes all bytes to `path` by way of a temporary name beside it. Local. */
status file_write_atomic(const char *path, const void *data, int64_t bytes);

/* fsync of a closed file or of a directory: what a full disk hid so far comes out here. Local. */
status file_sync(const char *path);

/* Moves a finished, closed temporary file to its published name: fsync, rename, fsync directory.
 * Local. */
status file_publish(const char *temporary, const char *path);

/* Removes leftovers "*.tmp.*" of dead runs directly inside a directory. Local. */
status file_remove_temporaries(const char *directory);

/* Removes a file, or a directory and all in it; a missing one is fine; symbolic links are removed,
 * not followed. Local. */
status file_remove_tree(const char *path);

/* Locks the file `path` (made if missing) for this process and writes "process <id> on <host>" into
 * it. A lock that another process has is waited for, up to 10 s; then ST_USAGE naming that process.
 * *lock is for file_unlock(), -1 on a file system without locks, which is no fault. The lock of a
 * process that dies ends with it. Local. */
status file_lock(const char *path, int *lock);
void file_unlock(int lock);

/* The whole file, with a 0 byte added behind the end; the caller frees *data. ST_INPUT when
 * missing, unreadable or longer than `most` bytes. Local. */
status file_read(const char *path, int64_t most, char **data, int64_t *bytes);
status file_size(const char *path, int64_t *bytes);

/* Lower-case hexadecimal SHA-256 (OpenSSL) of a file, of bytes. Local. */
status file_sha256(const char *path, char hex[SHA256_HEX]);
status bytes_sha256(const void *data, int64_t bytes, char hex[SHA256_HEX]);

#endif
