/* Safetensors files: named arrays of numbers, as networks are published in.
 *
 * A file is the length of the header (u64), the header (JSON) and the data. For each tensor the
 * header has its type, its shape and the range of its bytes in the data; all numbers are
 * little-endian. Tensors must cover the data without gap or overlap. Files come from outside:
 * nothing in them is trusted. (README of Hugging Face's safetensors, "Format".)
 */
#ifndef CTAUG_IO_SAFETENSORS_H
#define CTAUG_IO_SAFETENSORS_H

#include "io/status.h"

#include <jansson.h>

#include <stdint.h>

typedef struct safetensors safetensors;

/* Reads the whole file, at most 4 GiB, and checks the header; safetensors_close() frees *out.
 * ST_INPUT naming file and tensor. Local. */
status safetensors_open(const char *path, safetensors **out);
void safetensors_close(safetensors *s);

/* SHA-256 of the bytes that were read. Lives as long as s. Local. */
const char *safetensors_hash(const safetensors *s);

/* How many tensors it has. Local. */
int64_t safetensors_count(const safetensors *s);

/* The tensor `name` of exactly this shape (rank numbers), converted from F32, F16 or BF16 to f32,
 * row-major in out; rank is at most 8. ST_INPUT if it is missing, or of another shape or type.
 * Local. */
status safetensors_read(const safetensors *s, const char *name, int rank, const int64_t *shape,
                        float *out);

/* A tensor to be written: f32, row-major, of at most 8 axes. */
typedef struct safetensors_tensor {
    const char *name;
    int rank;
    const int64_t *shape;
    const float *at;
} safetensors_tensor;

/* Writes n tensors with different names as F32, in their order, to `path`, which appears whole or
 * not at all. metadata: an object of strings, becomes "__metadata__"; a new reference, which is
 * stolen, or NULL for lack of memory. ST_STORAGE. Local. */
status safetensors_write(const char *path, const safetensors_tensor *tensors, int64_t n,
                         json_t *metadata);

#endif
