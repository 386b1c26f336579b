/* HDF5 files as stores and checkpoints use them: creating, opening, checking, closing.
 *
 * HDF5 is used in io/store*.c and io/checkpoint.c only (checked by make lint). Files are written in
 * the latest format (H5F_LIBVER_LATEST, whose metadata have checksums) and without times, so that
 * equal content gives equal bytes. They are read without plugins and without file locks. In all
 * functions `path` is the name that messages give to the file.
 *
 * Debian's HDF5 is not thread-safe, and one thread reads samples while another writes a checkpoint.
 * The public functions of io/store.h and io/checkpoint.h hold one lock (hdf5_lock()) while they
 * call HDF5 or use open files of a store. All other functions here must be called with that lock
 * held.
 */
#ifndef CTAUG_IO_STORE_HDF5_H
#define CTAUG_IO_STORE_HDF5_H

#include "io/status.h"

#include <hdf5.h>

/* The lock of this process for HDF5. It is not recursive. While it is held, call no Collective
 * function and no public function of io/store.h or io/checkpoint.h. Local. */
void hdf5_lock(void);
void hdf5_unlock(void);

/* ST_OK if result >= 0, else `code` with "<path>: cannot <what>: <HDF5's innermost reason>". Must
 * be called directly after the HDF5 call, because the next one clears the reason. Local. */
status hdf5_check(int64_t result, status code, const char *path, const char *what);

/* A new file, built in memory: nothing is written before hdf5_finish(), so that a full disk is an
 * ordinary error there (HDF5 itself crashes when it closes a file that it could not write). The
 * caller ends it with hdf5_finish() or hdf5_drop(). Local. */
status hdf5_create(const char *path, hid_t *file);

/* Closes a created file that is not to be written; *file = -1 afterwards. Local. */
void hdf5_drop(hid_t *file);

/* Opens a file for reading. ST_INTEGRITY if it does not open or contains a soft or external link
 * (the manifest does not cover its target). The caller calls H5Fclose(). Local. */
status hdf5_open(const char *path, hid_t *file);

/* Writes the file to `path`, over an old one, with an fsync, and closes it; *file = -1 afterwards.
 * After a failure the file is to be removed. Local. */
status hdf5_finish(hid_t *file, const char *path);

/* A new group without times. The caller calls H5Gclose(). Local. */
status hdf5_make_group(hid_t at, const char *name, const char *path, hid_t *group);

/* A new dataset without times: contiguous, or (chunk not NULL) in chunks with shuffle, deflate and
 * Fletcher32. `type` is the type in the file, `memory` that of `data`. Local. */
status hdf5_write_dataset(hid_t at, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, const hsize_t *chunk, const void *data,
                          const char *path);

/* The same from slices that are already packed (io/store_pack.h): chunk k, of sizes[k] bytes, holds
 * index k of the first axis. Local. */
status hdf5_write_packed(hid_t at, const char *name, hid_t type, int rank, const hsize_t *shape,
                         const hsize_t *chunk, const int64_t *sizes, const uint8_t *bytes,
                         const char *path);

/* Attributes (rank 0: a scalar). Reading fails with ST_INTEGRITY if the shape differs. Local. */
status hdf5_put_attribute(hid_t object, const char *name, hid_t type, hid_t memory, int rank,
                          const hsize_t *shape, const void *data, const char *path);
status hdf5_get_attribute(hid_t object, const char *name, hid_t memory, int rank,
                          const hsize_t *shape, void *data, const char *path);

/* Checks an open dataset before anything is allocated or read: type in the file, shape, and the
 * layout that hdf5_write_dataset() produces (no external or virtual storage, no other filter).
 * ST_INTEGRITY otherwise. Local. */
status hdf5_check_dataset(hid_t dataset, const char *name, hid_t type, int rank,
                          const hsize_t *shape, const hsize_t *chunk, const char *path);

#endif
