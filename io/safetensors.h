/* Reading safetensors files: named arrays of numbers, as networks are published in.
 *
 * A file is the length of the header (u64), the header (JSON) and the data. For each tensor the
 * header has its type, its shape and the range of its bytes in the data; all numbers are
 * little-endian. Tensors must cover the data without gap or overlap. Files come from outside:
 * nothing in them is trusted. (README of Hugging Face's safetensors, "Format".)
 */
#ifndef CTAUG_IO_SAFETENSORS_H
#define CTAUG_IO_SAFETENSORS_H

#include "io/status.h"

#include <stdint.h>

typedef struct safetensors safetensors;

/* Reads the whole file, at most 4 GiB, and checks the header; safetensors_close() frees *out.
 * ST_INPUT naming file and tensor. Local. */
status safetensors_open(const char *path, safetensors **out);
void safetensors_close(safetensors *s);

/* SHA-256 of the bytes that were read. Lives as long as s. Local. */
const char *safetensors_hash(const safetensors *s);

/* The tensor `name` of exactly this shape (rank numbers), converted from F32, F16 or BF16 to f32,
 * row-major in out; rank is at most 8. ST_INPUT if it is missing, or of another shape or type.
 * Local. */
status safetensors_read(const safetensors *s, const char *name, int rank, const int64_t *shape,
                        float *out);

#endif
