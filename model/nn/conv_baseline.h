/* The baseline of a benchmark: how fast the engine's library runs the 3x3 convolutions of a network
 * alone. */
#ifndef CTAUG_MODEL_NN_CONV_BASELINE_H
#define CTAUG_MODEL_NN_CONV_BASELINE_H

#include "model/nn/graph.h"
#include "model/nn/kernels.h"

/* FLOP/s over all 3x3 convolutions of the graph except those that read its inputs: forward, data
 * gradient and weight gradient. type: of the activations. Each distinct shape is timed once and
 * counted as often as it occurs. Takes a second or two. Local. */
status conv_baseline_measure(const graph *g, const kernels *engine, int64_t batch, tensor_type type,
                             double *flops_per_s);

#endif
