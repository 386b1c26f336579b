/* Encoder and decoder for slices. */
#include "pipeline/autoencode/coder.h"

#include "io/alloc.h"
#include "pipeline/common/codec.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

struct coder {
    const stage_context *stage;
    autoencoder_graph graph; /* of both parts: the list of their parameters */
    params *params;
    codec *codec;
    slice_sample slice;
    float *latent, *image;
};

status coder_open(const stage_context *stage, coder **out) {
    status st = ST_OK;
    const int64_t size = stage->study->data.size;
    const autoencoder_config config = codec_config(stage->study, size);
    coder *c = NULL;
    *out = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "an autoencoder"));
    c->stage = stage;
    TRY(autoencoder_describe(&config, &c->graph));
    TRY(params_create(c->graph.g, &c->params));
    TRY(codec_create(stage, &c->codec));
    TRY(array_alloc(&c->slice.image, size * size, sizeof(float), "a slice"));
    TRY(array_alloc(&c->slice.labels, size * size, 1, "a label map"));
    TRY(array_alloc(&c->image, size * size, sizeof(float), "a slice"));
    TRY(array_alloc(&c->latent, codec_values(c->codec), sizeof(float), "a latent"));
    *out = c;
    c = NULL;
done:
    coder_close(c);
    return st;
}

void coder_close(coder *c) {
    if (!c) return;
    codec_close(c->codec);
    params_destroy(c->params);
    autoencoder_graph_free(&c->graph);
    free(c->slice.image);
    free(c->slice.labels);
    free(c->image);
    free(c->latent);
    free(c);
}

params *coder_params(coder *c) { return c->params; }

void coder_set(coder *c, const float *values) {
    memcpy(c->params->value, values, (size_t)c->params->total * sizeof *values);
    codec_set(c->codec, values);
}

/* The latent of slice k, in c->latent. Local. */
static status encode(coder *c, slices *from, int64_t k) {
    status st = slices_get(from, k, &c->slice);
    return st == ST_OK ? codec_encode(c->codec, c->slice.image, c->latent) : st;
}

status coder_reconstruct(coder *c, slices *from, int64_t k, const slice_sample **slice,
                         const float **image) {
    status st = ST_OK;
    TRY(encode(c, from, k));
    TRY(codec_decode(c->codec, c->latent, c->image));
    *slice = &c->slice;
    *image = c->image;
done:
    return st;
}

/* Sums and sums of squares of the means in slice k, into sums[2 * z]. Local. */
static status add_latents(coder *c, slices *from, int64_t k, double *sums) {
    const int64_t z = c->stage->study->autoencode.z;
    status st = encode(c, from, k);
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < codec_values(c->codec); i++) {
        const double value = (double)c->latent[i];
        sums[i % z] += value;
        sums[z + i % z] += value * value;
    }
    return ST_OK;
}

/* From the sums of each of n slices. Local. */
static status scale_of(const coder *c, const double *sums, int64_t n, float *scale) {
    const int64_t z = c->stage->study->autoencode.z;
    const double values = (double)(n * codec_values(c->codec) / z);
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
    const int64_t n = slices_count(from), each = 2 * c->stage->study->autoencode.z;
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
