/* The parts of one convolution by oneDNN: made by conv_dnnl_open.c, run by conv_dnnl.c, private to
 * these two. */
#ifndef CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_PRIVATE_H
#define CTAUG_MODEL_NN_KERNELS_ONEDNN_ONEDNN_CONV_PRIVATE_H

#include "model/nn/int_math.h"
#include "model/nn/kernels/onednn/onednn_conv.h"
#include "model/nn/kernels/onednn/conv_staging.h"

#include <inttypes.h>
#include <oneapi/dnnl/dnnl.h>
#include <oneapi/dnnl/dnnl_debug.h>

enum { MAX_ARGS = 5 };

/* A primitive with the memory objects it runs on. */
typedef struct pass {
    dnnl_primitive_t primitive;
    dnnl_memory_t scratch;
    dnnl_exec_arg_t args[MAX_ARGS];
    int count;
} pass;

/* A memory object whose layout a primitive chose, and the reorder between it and a plain one. */
typedef struct relay {
    dnnl_memory_t other;
    pass reorder;
} relay;

/* One of the three products, and its maps: `in` has the input's channels (x or dx), `out` the
 * output's (y or dy). */
typedef struct product_pass {
    pass pass;
    staging in, out;
    dnnl_memory_t in_memory, out_memory;
} product_pass;

struct onednn_conv {
    conv_shape shape;
    bool low;   /* products of bf16 numbers */
    bool alike; /* of the same numbers, in f32 */
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    const float *plain;   /* weights of the caller: [out,in,k,k] */
    dnnl_memory_t weight; /* they, or their gradient */
    dnnl_memory_t turned; /* [in,out,k,k] in scratch; NULL: the data gradient is a real one */
    dnnl_memory_t bias, dbias;
    float *no_bias;
    product_pass forward, backward_data, backward_weights;
    relay forward_weights, data_weights, weights_gradient;
    /* Offsets in scratch: of dw as oneDNN lays it out and of db, of packed turned weights for
     * the data gradient, of plain turned ones, of rounded ones. The passes' own is at the
     * beginning. */
    int64_t passes_bytes, dw_at, db_at, data_at, turned_at, rounded_at, bytes;
};

/* The weight gradient of a 1x1 convolution in f32 is dy^T x, and no primitive. */
static inline bool gradient_is_product(const onednn_conv *c) {
    return !c->low && c->shape.kernel == 1 && c->shape.stride == 1;
}

static inline status check(const conv_shape *s, const char *what, dnnl_status_t got) {
    if (got == dnnl_success) return ST_OK;
    return status_fail(ST_INTERNAL,
                       "oneDNN: %s (%s) for the %dx%d convolution with stride %d of %" PRId64
                       " maps %" PRId64 "x%" PRId64 ", %" PRId64 " to %" PRId64 " channels",
                       what, dnnl_status2str(got), s->kernel, s->kernel, s->stride, s->batch,
                       s->height, s->width, s->in, s->out);
}

/* Puts an array behind a memory object; oneDNN has no const. */
static inline status attach(onednn_conv *c, dnnl_memory_t memory, const void *values) {
    return check(&c->shape, "attach", dnnl_memory_set_data_handle(memory, (void *)values));
}

static inline int64_t bytes_of(dnnl_memory_t memory) {
    const dnnl_memory_desc_t *layout = NULL;
    if (!memory || dnnl_memory_get_memory_desc(memory, &layout) != dnnl_success) return 0;
    return (int64_t)dnnl_memory_desc_get_size(layout);
}

#endif
