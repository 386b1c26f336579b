/* What decoding in tiles costs and saves. */
#ifndef CTAUG_PIPELINE_CLI_BENCH_DECODE_H
#define CTAUG_PIPELINE_CLI_BENCH_DECODE_H

#include "io/status.h"
#include "model/nn/kernels.h"

/* Of a slice, decoded from latents of 8 x 8 pixels. */
typedef struct decode_case {
    int64_t size;                   /* pixels along each axis */
    double whole_s, tiled_s;        /* seconds */
    int64_t whole_bytes;            /* of the arena of a plan for whole slices */
    int64_t tile_bytes, kept_bytes; /* of that for tiles, and of what is kept between levels */
} decode_case;

/* Decodes a slice of 512 pixels with the autoencoder's defaults on this process. Local. */
status bench_decode(const kernels *engine, tensor_type compute, decode_case *out);

#endif
