/* Compression of bytes in memory to the zlib format (RFC 1950), with libdeflate. */
#ifndef CTAUG_IO_DEFLATE_H
#define CTAUG_IO_DEFLATE_H

#include "io/status.h"

#include <stdint.h>

/* *out (free()) = the compressed bytes, *out_bytes of them. Local. */
status deflate_bytes(const void *data, int64_t bytes, uint8_t **out, int64_t *out_bytes);

/* The same in the gzip format (RFC 1952), without time and name, at a level for large files. Local.
 */
status deflate_gzip(const void *data, int64_t bytes, uint8_t **out, int64_t *out_bytes);

#endif
