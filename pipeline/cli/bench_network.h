/* What the benchmarks time: a network with its loss, fed with noise. */
#ifndef CTAUG_PIPELINE_CLI_BENCH_NETWORK_H
#define CTAUG_PIPELINE_CLI_BENCH_NETWORK_H

#include "model/net/unet.h"
#include "pipeline/trainer/trainer.h"

typedef struct bench_network {
    graph *graph;
    node predicted, loss;
} bench_network;

/* The network without conditions for slices of `size` x `size` pixels and `channels`, and its mean
 * squared error. The caller calls graph_destroy(), also after a failure. Local. */
status bench_network_open(unet_kind net, int64_t size, int64_t channels, bench_network *out);

/* The function `fill` of a trainer_feed: fills the inputs with noise in the first call only. They
 * are zero before it, and they keep their values between steps. Local. */
status bench_fill_noise(void *context, plan *pl, int64_t first, int64_t count);

#endif
