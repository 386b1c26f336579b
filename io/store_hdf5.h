/* HDF5 as stores and checkpoints use it: one way to create, open, check and close.
 *
 * HDF5 is spelled in io/store*.c and io/checkpoint.c alone (make lint). Files are written in the
 * latest format (H5F_LIBVER_LATEST: its metadata carry checksums), without times, so that equal
 * content gives equal bytes; they are read without plugins and on file systems without locks.
 * Names of functions here begin with hdf5_; `path` is the name that messages give.
 *
 * Debian's HDF5 is not safe for threads, and samples are read by a thread of their own while
 * another writes a checkpoint: the public functions of these files are the doors, and hold one lock
 * while they call HDF5 or use what a store keeps open. The functions here count on it.
 */
#ifndef CTAUG_IO_STORE_HDF5_H
#define CTAUG_IO_STORE_HDF5_H

#include "io/status.h"

#include <hdf5.h>

/* The one lock of the process. No waiting for other ranks, and no second door, while it is held:
 * it is not recursive. Local. */
void hdf5_lock(void);
void hdf5_unlock(void);

/* ST_OK if result >= 0; else `code` with "<path>: cannot <what>: <HDF5's innermost reason>". Stands
 * around the failing call itself, as the next HDF5 call would forget the reason. Local. */
status hdf5_check(int64_t result, status code, const char *path, const char *what);

/* A new file, built in memory: nothing is written before hdf5_finish(), so that a full disk is an
 * ordinary error there (HDF5 itself crashes when it closes a file that it could not write). The
 * caller ends it with hdf5_finish() or hdf5_drop(). Local. */
status hdf5_create(const char *path, hid_t *file);

/* Closes a created file that is not to be written; *file = -1 afterwards. Local. */
void hdf5_drop(hid_t *file);

/* Read-only; ST_INTEGRITY if it does not open or one of its links is not a hard link (what is
 * elsewhere no manifest vouches for). The caller calls H5Fclose(). Local. */
status hdf5_open(const char *path, hid_t *file);

/* Writes the file to `path`, over an old one, with an fsync, and closes it; *file = -1 afterwards.
 * After a failure the file is to be removed. Local. */
status hdf5_finish(hid_t *file, const char *path);

/* A new group without times. The caller calls H5Gclose(). Local. */
status hdf5_make_group(hid_t at, const char *name, const char *path, hid_t *group);

/* A new dataset without times: contiguous, or if chunk is not NULL in chunks with shuffle, deflate
 * and Fletcher32. `memory` is the type of data, `type` that of the file. Local. */
status hdf5_write_dataset(hid_t at, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, const hsize_t *chunk, const void *data,
                          const char *path);

/* Attributes of simple shape (rank 0: a scalar). Reading demands the very shape. Local. */
status hdf5_put_attribute(hid_t object, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, const void *data, const char *path);
status hdf5_get_attribute(hid_t object, const char *name, hid_t memory, int rank,
                          const hsize_t *shape, void *data, const char *path);

/* Checks an open dataset before anything is allocated or read: file type, shape, and the layout
 * that hdf5_write_dataset() gives (no external or virtual storage, no other filter).
 * ST_INTEGRITY. Local. */
status hdf5_check_dataset(hid_t dataset, const char *name, hid_t type, int rank,
                          const hsize_t *shape, const hsize_t *chunk, const char *path);

#endif
