/* Two backward passes of the last layer, one for each loss. */
#include "model/net/adaptive_weight.h"

#include "io/alloc.h"
#include "model/nn/plan.h"

#include <math.h>
#include <string.h>

static const double DELTA = 1e-4;

struct adaptive_weight {
    autoencoder_graph graph;
    params *params;
    plan *plan;
    int64_t batch;
};

status adaptive_weight_create(const autoencoder_config *c, const kernels *engine,
                              tensor_type compute, int64_t batch, adaptive_weight **out) {
    status st = ST_OK;
    adaptive_weight *a = NULL;
    *out = NULL;
    TRY(array_alloc(&a, 1, sizeof *a, "an adaptive weight"));
    a->batch = batch;
    TRY(autoencoder_describe_last_layer(c, &a->graph));
    TRY(params_create(a->graph.g, &a->params));
    const plan_options options = {.engine = engine,
                                  .batch = batch,
                                  .training = true,
                                  .compute = compute,
                                  .outputs = &a->graph.loss,
                                  .output_count = 1,
                                  .loss = a->graph.loss};
    TRY(plan_create(a->graph.g, a->params, &options, &a->plan));
    *out = a;
    a = NULL;
done:
    adaptive_weight_destroy(a);
    return st;
}

void adaptive_weight_destroy(adaptive_weight *a) {
    if (!a) return;
    plan_destroy(a->plan);
    params_destroy(a->params);
    autoencoder_graph_free(&a->graph);
    free(a);
}

/* Copies the parameters that the last layer and the discriminator have: the end of the list. */
static void copy_params(adaptive_weight *a, const params *all) {
    const params *own = a->params;
    memcpy(own->value, all->value + all->total - own->total,
           (size_t)own->total * sizeof *own->value);
    plan_params_changed(a->plan);
}

static status fill(adaptive_weight *a, const char *name, const float *values) {
    tensor in;
    status st = plan_input(a->plan, name, &in);
    if (st == ST_OK) memcpy(in.at, values, (size_t)tensor_bytes(&in));
    return st;
}

/* Sets a weight of all samples of the batch, whose losses are added. */
static status set_weight(adaptive_weight *a, const char *name, double value) {
    tensor in;
    status st = plan_input(a->plan, name, &in);
    for (int64_t b = 0; st == ST_OK && b < a->batch; b++)
        ((float *)in.at)[b] = (float)(value / (double)a->batch);
    return st;
}

/* The norm of the gradient by the weights of the last convolution, with these weights of losses. */
static status gradient_norm(adaptive_weight *a, double pixels, double features, double adversarial,
                            double *norm) {
    status st = ST_OK;
    const param *last = &a->params->list[0];
    double sum = 0;
    TRY(set_weight(a, "weight", pixels));
    TRY(set_weight(a, "weight_features", features));
    TRY(set_weight(a, "weight_adversarial", adversarial));
    memset(a->params->grad, 0, (size_t)a->params->total * sizeof(float));
    TRY(plan_forward(a->plan, NULL));
    TRY(plan_backward(a->plan, NULL, NULL));
    for (int64_t i = 0; i < last->count; i++)
        sum += pow((double)a->params->grad[last->offset + i], 2);
    *norm = sqrt(sum);
done:
    return st;
}

status adaptive_weight_measure(adaptive_weight *a, const params *all, const float *features,
                               const float *coarse, const float *image, double features_weight,
                               double cap, double *lambda) {
    status st = ST_OK;
    double reconstruction = 0, adversarial = 0;
    copy_params(a, all);
    TRY(fill(a, "features", features));
    TRY(fill(a, "coarse", coarse));
    TRY(fill(a, "image", image));
    TRY(gradient_norm(a, 1, features_weight, 0, &reconstruction));
    TRY(gradient_norm(a, 0, 0, 1, &adversarial));
    *lambda = reconstruction / (adversarial + DELTA);
    if (*lambda > cap) *lambda = cap;
done:
    return st;
}
