/* Reading one chunk (a slice) of a dataset with this program's own decoder.
 *
 * Private to io/store_*.c. The filter pipeline of HDF5 is 4 times slower (see
 * tests/bench/README.md): it uses zlib and allocates, grows and copies buffers for each chunk.
 */
#ifndef CTAUG_IO_STORE_CHUNK_H
#define CTAUG_IO_STORE_CHUNK_H

#include "io/store_hdf5.h"

enum { CHUNK_CHECKSUM = 4 }; /* bytes at the end of a chunk */

/* Fletcher's sums as HDF5 has them. Local. */
uint32_t chunk_checksum(const uint8_t *data, int64_t bytes);

/* Buffers reused between chunks. Initialise with zeros; chunk_decoder_free() frees them. */
typedef struct chunk_decoder {
    uint8_t *raw, *plain; /* a chunk as stored; decompressed, before the shuffle is undone */
    int64_t raw_capacity, plain_capacity; /* bytes */
    struct libdeflate_decompressor *inflate;
} chunk_decoder;

void chunk_decoder_free(chunk_decoder *d);

/* Decodes chunk z of a dataset that hdf5_check_dataset() has accepted: n values of `width` bytes
 * (1: u8, 2: little-endian int16) into out (uint8_t or int16_t). ST_INTEGRITY, with `where` in the
 * message. Local. */
status chunk_read(chunk_decoder *d, hid_t dataset, int64_t z, int64_t n, int width, void *out,
                  const char *where);

#endif
