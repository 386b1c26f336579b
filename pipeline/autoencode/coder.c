/* Encoder and decoder for one whole slice. */
#include "pipeline/autoencode/coder.h"

#include "io/alloc.h"
#include "model/nn/plan.h"
#include "pipeline/autoencode/tandem.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct coder {
    const stage_context *stage;
    autoencoder_config config;
    autoencoder_graph graph;
    params *params;
    plan *encoder, *whole;
    slice_sample slice;
};

status coder_open(const stage_context *stage, coder **out) {
    status st = ST_OK;
    const int64_t size = stage->study->data.size;
    coder *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "an autoencoder"));
    c->stage = stage;
    c->config = tandem_config(stage->study, size);
    TRY(autoencoder_describe(&c->config, &c->graph));
    TRY(params_create(c->graph.g, &c->params));
    plan_options options = {.engine = stage->engine,
                            .batch = 1,
                            .compute = stage->precision,
                            .outputs = &c->graph.moments,
                            .output_count = 1};
    TRY(plan_create(c->graph.g, c->params, &options, &c->encoder));
    options.outputs = &c->graph.image;
    TRY(plan_create(c->graph.g, c->params, &options, &c->whole));
    TRY(array_alloc(&c->slice.image, size * size, sizeof(float), "a slice"));
    TRY(array_alloc(&c->slice.labels, size * size, 1, "a label map"));
    *out = c;
    c = NULL;
done:
    coder_close(c);
    return st;
}

void coder_close(coder *c) {
    if (!c) return;
    plan_destroy(c->encoder);
    plan_destroy(c->whole);
    params_destroy(c->params);
    autoencoder_graph_free(&c->graph);
    free(c->slice.image);
    free(c->slice.labels);
    free(c);
}

params *coder_params(coder *c) { return c->params; }

void coder_set(coder *c, const float *values) {
    memcpy(c->params->value, values, (size_t)c->params->total * sizeof *values);
    plan_params_changed(c->encoder);
    plan_params_changed(c->whole);
}

/* Runs a plan for slice k. The input noise stays 0. Local. */
static status run(coder *c, plan *pl, slices *from, int64_t k) {
    status st = ST_OK;
    tensor image;
    TRY(slices_get(from, k, &c->slice));
    TRY(plan_input(pl, "image", &image));
    memcpy(image.at, c->slice.image, (size_t)tensor_bytes(&image));
    TRY(plan_forward(pl, NULL));
done:
    return st;
}

status coder_reconstruct(coder *c, slices *from, int64_t k, const slice_sample **slice,
                         const float **image) {
    status st = run(c, c->whole, from, k);
    *slice = &c->slice;
    *image = plan_output(c->whole, c->graph.image).at;
    return st;
}

/* Sums and sums of squares of the means in slice k, into sums[2 * z]. Local. */
static status add_latents(coder *c, slices *from, int64_t k, double *sums) {
    const int64_t z = c->config.z;
    status st = run(c, c->encoder, from, k);
    if (st != ST_OK) return st;
    const tensor moments = plan_output(c->encoder, c->graph.moments);
    const float *at = moments.at;
    for (int64_t p = 0; p < tensor_count(&moments) / (2 * z); p++)
        for (int64_t i = 0; i < z; i++) {
            const double value = (double)at[2 * z * p + i];
            sums[i] += value;
            sums[z + i] += value * value;
        }
    return ST_OK;
}

/* From the sums of each of n slices. Local. */
static status scale_of(const coder *c, const double *sums, int64_t n, float *scale) {
    const int64_t z = c->config.z, side = c->config.size / c->config.factor;
    const double values = (double)(n * side * side);
    for (int64_t i = 0; i < z; i++) {
        double sum = 0, square = 0;
        for (int64_t k = 0; k < n; k++) {
            sum += sums[2 * z * k + i];
            square += sums[2 * z * k + z + i];
        }
        const double variance = square / values - pow(sum / values, 2);
        if (!(variance > 0) || !isfinite(variance))
            return status_fail(ST_INPUT,
                               "autoencode: channel %" PRId64
                               " of the latents has the variance %g over the training slices",
                               i, variance);
        scale[i] = (float)(1 / sqrt(variance));
    }
    return ST_OK;
}

/* Each rank has the sums of its slices and 0 for those of others: what is added over ranks is
 * exact, and the slices are added in one order. */
status coder_scale(coder *c, slices *from, float *scale) {
    status st = ST_OK;
    const comm *ranks = c->stage->comm;
    const int64_t n = slices_count(from), each = 2 * c->config.z;
    double *sums = NULL;
    TRY(comm_agree(ranks, array_alloc(&sums, n * each, sizeof *sums, "sums of latents")));
    log_progress_begin(c->stage->log, "latents", n);
    for (int64_t k = comm_rank(ranks); k < n && st == ST_OK; k += comm_size(ranks)) {
        st = add_latents(c, from, k, sums + k * each);
        log_progress_set(c->stage->log, k, "");
    }
    TRY(comm_agree(ranks, st));
    TRY(comm_sum_f64(ranks, sums, n * each));
    TRY(comm_agree(ranks, scale_of(c, sums, n, scale)));
done:
    log_progress_end(c->stage->log);
    free(sums);
    return st;
}
