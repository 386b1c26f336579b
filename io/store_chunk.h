/* One slice out of a dataset of slices, decoded here instead of by HDF5.
 *
 * Private to io/store_*.c. HDF5's own pipeline of filters is four times as slow: it decodes into
 * buffers that it allocates for each slice, doubles and copies, with zlib.
 */
#ifndef CTAUG_IO_STORE_CHUNK_H
#define CTAUG_IO_STORE_CHUNK_H

#include "io/store_hdf5.h"

/* Memory that is used again; begins zeroed. */
typedef struct chunk_decoder {
    uint8_t *raw, *plain;
    int64_t raw_room, plain_room;
    struct libdeflate_decompressor *inflate;
} chunk_decoder;

void chunk_decoder_free(chunk_decoder *d);

/* Chunk z of a dataset that hdf5_check_dataset() has passed: n values of `width` bytes (1: u8, 2:
 * little-endian i16) into out (uint8_t or int16_t). ST_INTEGRITY, with `where`. Local. */
status chunk_read(chunk_decoder *d, hid_t dataset, int64_t z, int64_t n, int width, void *out,
                  const char *where);

#endif
