/* The members of a convolution by oneDNN, private to onednn_conv_open.c, which creates them, and
 * onednn_conv.c, which runs them. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_PRIVATE_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_PRIVATE_H

#include "model/nn/int_math.h"
#include "model/nn/kernels/onednn/conv_staging.h"
#include "model/nn/kernels/onednn/onednn_conv.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

enum { ARGS_MAX = 5 };

/* A primitive with its arguments, the memory objects that it runs on. */
typedef struct primitive_call {
    dnnl_primitive_t primitive;
    dnnl_memory_t scratch;
    dnnl_exec_arg_t args[ARGS_MAX];
    int count;
} primitive_call;

/* Weights, or their gradient, in the layout that a primitive chose, and the reorder between it and
 * the plain layout [out,in,k,k]. */
typedef struct reordered_weights {
    dnnl_memory_t memory;
    primitive_call reorder;
} reordered_weights;

/* One of the three products (forward, data gradient, weight gradient) with its activations: `in`
 * has the channels of the input (x or dx), `out` those of the output (y or dy). */
typedef struct conv_product {
    primitive_call call;
    staging in, out;
    dnnl_memory_t in_memory, out_memory;
} conv_product;

struct onednn_conv {
    conv_shape shape;
    bool bf16_products;    /* an activation is bf16, and products are of bf16 numbers */
    bool bf16_rounded_f32; /* an activation is bf16, and the numbers rounded to bf16 are multiplied
                              in f32 */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    const float *caller_weight; /* [out,in,k,k], set by pack */
    dnnl_memory_t weight;       /* plain layout: weights or their gradient */
    dnnl_memory_t flipped;      /* plain layout [in,out,k,k] in scratch: weights for a data gradient
                                   that is a forward primitive; NULL: it is a backward primitive */
    dnnl_memory_t bias, dbias;
    float *no_bias; /* zeros */
    conv_product forward, backward_data, backward_weights;
    reordered_weights forward_weights, data_weights, weight_gradient;
    /* Scratch: that of the primitives at the beginning, then at these offsets dw in oneDNN's
     * layout, db, flipped weights in oneDNN's layout, flipped plain weights, rounded weights. */
    int64_t primitives_bytes;
    int64_t dw_at, db_at, data_weights_at, flipped_at, rounded_at;
    int64_t scratch_bytes;
};

/* Whether the weight gradient is a matrix product, dy^T x, instead of a primitive: for 1x1
 * convolutions in f32. */
static inline bool weight_gradient_is_matmul(const onednn_conv *c) {
    return !c->bf16_products && c->shape.kernel == 1 && c->shape.stride == 1;
}

static inline status check(const conv_shape *s, const char *what, dnnl_status_t got) {
    if (got == dnnl_success) return ST_OK;
    return status_fail(ST_INTERNAL,
                       "oneDNN: %s (%s) for the %dx%d convolution with stride %d of %" PRId64
                       " samples %" PRId64 "x%" PRId64 ", %" PRId64 " to %" PRId64 " channels",
                       what, dnnl_status2str(got), s->kernel, s->kernel, s->stride, s->batch,
                       s->height, s->width, s->in, s->out);
}

/* Sets the array of a memory object. oneDNN's function has no const. */
static inline status attach(onednn_conv *c, dnnl_memory_t memory, const void *values) {
    return check(&c->shape, "attach", dnnl_memory_set_data_handle(memory, (void *)values));
}

/* 0 for NULL. */
static inline int64_t bytes_of(dnnl_memory_t memory) {
    const dnnl_memory_desc_t *layout = NULL;
    if (!memory || dnnl_memory_get_memory_desc(memory, &layout) != dnnl_success) return 0;
    return (int64_t)dnnl_memory_desc_get_size(layout);
}

#endif
