/* Compression with libdeflate, apart from its users because it has two owners of memory. */
#include "io/deflate.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <libdeflate.h>

typedef size_t bound_of(struct libdeflate_compressor *, size_t);
typedef size_t compress_to(struct libdeflate_compressor *, const void *, size_t, void *, size_t);

static status compress_bytes(int level, bound_of *bound, compress_to *compress, const void *data,
                             int64_t bytes, uint8_t **out, int64_t *out_bytes) {
    status st = ST_OK;
    *out = NULL;
    *out_bytes = 0;
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(level);
    if (!c) TRY(status_memory("a compressor", 0));
    const int64_t room = (int64_t)bound(c, (size_t)bytes);
    TRY(array_alloc(out, room, 1, "compressed bytes"));
    *out_bytes = (int64_t)compress(c, data, (size_t)bytes, *out, (size_t)room);
    if (*out_bytes == 0)
        st = status_fail(ST_INTERNAL, "libdeflate did not compress %" PRId64 " bytes", bytes);
done:
    if (c) libdeflate_free_compressor(c);
    if (st != ST_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

status deflate_bytes(const void *data, int64_t bytes, uint8_t **out, int64_t *out_bytes) {
    enum { LEVEL = 9 };
    return compress_bytes(LEVEL, libdeflate_zlib_compress_bound, libdeflate_zlib_compress, data,
                          bytes, out, out_bytes);
}

status deflate_gzip(const void *data, int64_t bytes, uint8_t **out, int64_t *out_bytes) {
    enum { LEVEL = 6 };
    return compress_bytes(LEVEL, libdeflate_gzip_compress_bound, libdeflate_gzip_compress, data,
                          bytes, out, out_bytes);
}
