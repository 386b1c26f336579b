/* What decoding in tiles costs and saves. */
#ifndef CTAUG_PIPELINE_CLI_BENCH_DECODE_H
#define CTAUG_PIPELINE_CLI_BENCH_DECODE_H

#include "io/status.h"
#include "model/nn/kernels.h"

/* Of a slice with factor 8. */
typedef struct decode_case {
    int64_t size;                   /* pixels along each axis */
    double whole_s, tiled_s;        /* seconds */
    int64_t whole_bytes;            /* of the arena of a plan for whole slices */
    int64_t tile_bytes, kept_bytes; /* of the largest arena with tiles, and of what they keep */
} decode_case;

/* Decodes a slice of 512 pixels with the autoencoder's default channels and blocks on this process.
 * Local. */
status bench_decode(const kernels *engine, tensor_type compute, decode_case *out);

#endif
