/* Staging: conversion of an activation for a product that needs another type or layout than the
 * caller's, that is rounded to bf16, widened to f32, or in blocks of channels. The product then
 * works on a copy in scratch. Local. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_CONV_STAGING_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_CONV_STAGING_H

#include "model/nn/kernels/onednn/channel_blocks.h"

typedef enum staging_kind {
    STAGING_NONE,  /* no copy: the product uses the caller's array */
    STAGING_BF16,  /* f32 rounded to bf16 */
    STAGING_BLOCKS /* f32 in blocks of shape.width channels */
} staging_kind;

typedef struct staging {
    staging_kind kind;
    block_shape shape;
    bool rounded; /* STAGING_BLOCKS: values are rounded to bf16 */
    int64_t at;   /* offset of the copy in scratch, bytes */
} staging;

/* Bytes of the copy. */
int64_t staging_bytes(const staging *s);

/* Copies x if needed; returns the array for the product to read. */
const void *staging_in(const staging *s, const void *x, void *scratch);

/* The array for the product to write. */
void *staging_out(const staging *s, void *x, void *scratch);

/* Afterwards: copies what the product has written to x if needed. */
void staging_copy_out(const staging *s, void *x, const void *scratch);

#endif
