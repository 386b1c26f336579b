/* Reading and making one chunk (a slice) of a dataset with this program's own code.
 *
 * Private to io/store_*.c. The filter pipeline of HDF5 is 4 times slower (see
 * tests/bench/README.md): it uses zlib and allocates, grows and copies buffers for each chunk.
 */
#ifndef CTAUG_IO_STORE_CHUNK_H
#define CTAUG_IO_STORE_CHUNK_H

#include "io/store_hdf5.h"

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

/* The same for making chunks; chunk_encoder_free() frees them. */
typedef struct chunk_encoder {
    uint8_t *shuffled;
    int64_t capacity; /* bytes */
    struct libdeflate_compressor *deflate;
} chunk_encoder;

void chunk_encoder_free(chunk_encoder *e);

/* The most bytes of a chunk of n values of `width` bytes. Local. */
int64_t chunk_bound(int64_t n, int width);

/* Encodes n values (uint8_t or int16_t) as HDF5's filters shuffle, deflate and Fletcher32 do:
 * *bytes bytes, at most chunk_bound(). Local. */
status chunk_encode(chunk_encoder *e, const void *values, int64_t n, int width, uint8_t *out,
                    int64_t *bytes);

#endif
