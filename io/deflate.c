/* Compression with libdeflate, apart from its users because it has two owners of memory. */
#include "io/deflate.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <libdeflate.h>

status deflate_bytes(const void *data, int64_t bytes, uint8_t **out, int64_t *out_bytes) {
    enum { LEVEL = 9 };
    status st = ST_OK;
    *out = NULL;
    *out_bytes = 0;
    struct libdeflate_compressor *c = libdeflate_alloc_compressor(LEVEL);
    if (!c) TRY(status_memory("a compressor", 0));
    int64_t bound = (int64_t)libdeflate_zlib_compress_bound(c, (size_t)bytes);
    TRY(array_alloc(out, bound, 1, "compressed bytes"));
    *out_bytes = (int64_t)libdeflate_zlib_compress(c, data, (size_t)bytes, *out, (size_t)bound);
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
