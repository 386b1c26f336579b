/* Writing a volume slice by slice with this program's own encoder, for io/store_write.c alone.
 *
 * The bytes are those that HDF5's filters shuffle, deflate and Fletcher32 undo. They cost less than
 * half of what HDF5 takes for them with zlib (tests/bench/README.md), and are the same whoever
 * writes them.
 */
#ifndef CTAUG_IO_STORE_CHUNK_WRITE_H
#define CTAUG_IO_STORE_CHUNK_WRITE_H

#include "io/store_hdf5.h"

/* A new dataset in `at` of `shape` (z y x), a chunk for each slice: values of `width` bytes,
 * uint8_t (1) or int16_t (2, stored little-endian). ST_STORAGE; `path` is the file's name in
 * messages. Local, with hdf5_lock() held. */
status slices_write(hid_t at, const char *name, const int64_t shape[3], int width,
                    const void *values, const char *path);

#endif
