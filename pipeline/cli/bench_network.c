/* Describes the network and fills its inputs. */
#include "pipeline/cli/bench_network.h"

#include "model/rng.h"

status bench_network_open(unet_kind net, int64_t size, int64_t channels, bench_network *out) {
    status st = ST_OK;
    unet_config c = unet_config_of(net);
    c.size = size;
    c.channels = channels;
    *out = (bench_network){.predicted = NODE_NONE, .loss = NODE_NONE};
    TRY(graph_create(&out->graph));
    out->predicted = unet_build(out->graph, &c);
    node target = graph_input(out->graph, "target", TYPE_F32, size, size, channels);
    node weight = graph_input(out->graph, "weight", TYPE_F32, 1, 1, 1);
    out->loss = graph_regression_loss(out->graph, out->predicted, target, weight, LOSS_L2);
    TRY(graph_check(out->graph));
done:
    return st;
}

status bench_fill_noise(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    tensor in[2];
    (void)context, (void)first, (void)count;
    TRY(plan_input(pl, "x", &in[0]));
    if (((const float *)in[0].at)[0] != 0) goto done;
    TRY(plan_input(pl, "target", &in[1]));
    for (uint64_t i = 0; i < 2; i++) {
        rng_stream r = rng_open(1, RNG_NOISE, i, 0);
        rng_fill_normal(&r, in[i].at, tensor_count(&in[i]));
    }
done:
    return st;
}
