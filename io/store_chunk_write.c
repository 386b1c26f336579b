/* A chunk is shuffled, compressed by libdeflate and ends with its Fletcher32 checksum, in this
 * order: what HDF5 does to a chunk that it filters itself. */
#include "io/store_chunk_write.h"
#include "io/alloc.h"
#include "io/store_chunk.h"

#include <libdeflate.h>

/* Beyond 4 time grows faster than chunks shrink (tests/bench/README.md). */
enum { LEVEL = 4 };

/* Buffers for one chunk after the other. */
typedef struct encoder {
    int64_t n; /* values of a chunk, of `width` bytes */
    int width;
    uint8_t *shuffled, *packed;
    int64_t room; /* in packed, less the checksum */
    struct libdeflate_compressor *deflate;
} encoder;

static void encoder_free(encoder *e) {
    free(e->shuffled);
    free(e->packed);
    if (e->deflate) libdeflate_free_compressor(e->deflate);
}

/* encoder_free() in any case. */
static status encoder_init(encoder *e, int64_t n, int width) {
    status st;
    *e = (encoder){.n = n, .width = width};
    TRY(array_alloc(&e->shuffled, n, width, "a slice"));
    if (!(e->deflate = libdeflate_alloc_compressor(LEVEL))) TRY(status_memory("compression", 0));
    e->room = (int64_t)libdeflate_zlib_compress_bound(e->deflate, (size_t)(n * width));
    TRY(array_alloc(&e->packed, e->room + CHUNK_CHECKSUM, 1, "a compressed slice"));
done:
    return st;
}

/* All low bytes before all high bytes. */
static void shuffle(const int16_t *values, int64_t n, uint8_t *out) {
    uint8_t *low = out, *high = out + n;
    for (int64_t i = 0; i < n; i++) {
        low[i] = (uint8_t)values[i];
        high[i] = (uint8_t)((uint16_t)values[i] >> 8);
    }
}

/* Leaves the chunk of these values in e->packed, *bytes of it. */
static status encode(encoder *e, const void *values, int64_t *bytes) {
    const void *plain = values;
    if (e->width > 1) {
        shuffle(values, e->n, e->shuffled);
        plain = e->shuffled;
    }
    *bytes = (int64_t)libdeflate_zlib_compress(e->deflate, plain, (size_t)(e->n * e->width),
                                               e->packed, (size_t)e->room);
    if (*bytes == 0) return status_fail(ST_INTERNAL, "libdeflate did not compress a slice");
    const uint32_t sum = chunk_checksum(e->packed, *bytes);
    for (int i = 0; i < CHUNK_CHECKSUM; i++)
        e->packed[(*bytes)++] = (uint8_t)(sum >> 8 * i); /* little-endian */
    return ST_OK;
}

status slices_write(hid_t at, const char *name, const int64_t shape[3], int width,
                    const void *values, const char *path) {
    status st;
    const hsize_t whole[] = {(hsize_t)shape[0], (hsize_t)shape[1], (hsize_t)shape[2]};
    const hsize_t chunk[] = {1, whole[1], whole[2]};
    const hid_t type = width > 1 ? H5T_STD_I16LE : H5T_STD_U8LE;
    const int64_t n = shape[1] * shape[2];
    hid_t dataset = -1;
    encoder e;
    TRY(encoder_init(&e, n, width));
    TRY(hdf5_make_dataset(at, name, type, 3, whole, chunk, path, &dataset));
    for (int64_t z = 0; z < shape[0]; z++) {
        const hsize_t begin[] = {(hsize_t)z, 0, 0};
        int64_t bytes = 0;
        TRY(encode(&e, (const uint8_t *)values + z * n * width, &bytes));
        TRY(hdf5_check(H5Dwrite_chunk(dataset, H5P_DEFAULT, 0, begin, (size_t)bytes, e.packed),
                       ST_STORAGE, path, "write a slice"));
    }
    hid_t closing = dataset;
    dataset = -1;
    TRY(hdf5_check(H5Dclose(closing), ST_STORAGE, path, "write"));
done:
    if (dataset >= 0) H5Dclose(dataset);
    encoder_free(&e);
    return st;
}
