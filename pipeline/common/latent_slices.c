/* Encodes and decodes with the window of the study, and holds the latents that are kept. */
#include "pipeline/common/latent_slices.h"

#include "io/alloc.h"
#include "model/hu_map.h"
#include "model/warp.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/residual_class.h"

#include <math.h>

struct latent_slices {
    const stage_context *stage;
    const study *study;
    codec *codec; /* NULL until it is needed */
    int64_t batch;
    float *image;           /* [size * size]: scratch */
    float *field, *scratch; /* with generate.residual: [size * size], residual_scratch() */
    uint8_t *class;         /* [size * size] */
    float *known; /* [batch][values]: latents of the slices that are in-painted; NULL: none yet */
    float *keep;  /* [batch][side * side] */
};

status latent_slices_open(const stage_context *stage, int64_t batch, latent_slices **out) {
    status st = ST_OK;
    latent_slices *l = NULL;
    const int64_t size = stage->study->data.size;
    *out = NULL;
    TRY(array_alloc(&l, 1, sizeof *l, "latents"));
    l->stage = stage;
    l->study = stage->study;
    l->batch = batch;
    TRY(array_alloc(&l->image, size * size, sizeof(float), "a slice"));
    if (l->study->generate.residual == SWITCH_ON) {
        TRY(array_alloc(&l->field, size * size, sizeof(float), "noise"));
        TRY(array_alloc(&l->scratch, residual_scratch(size), sizeof(float), "noise"));
        TRY(array_alloc(&l->class, size * size, 1, "classes of tissue"));
    }
    *out = l;
    l = NULL;
done:
    latent_slices_close(l);
    return st;
}

void latent_slices_close(latent_slices *l) {
    if (!l) return;
    codec_close(l->codec);
    free(l->image);
    free(l->field);
    free(l->scratch);
    free(l->class);
    free(l->known);
    free(l->keep);
    free(l);
}

static status need_codec(latent_slices *l) {
    return l->codec ? ST_OK : codec_open(l->stage, &l->codec);
}

status latent_slices_encode(latent_slices *l, const float *image, float *latent) {
    status st = ST_OK;
    const double low = l->study->data.window[0], high = l->study->data.window[1];
    const int64_t pixels = l->study->data.size * l->study->data.size;
    TRY(need_codec(l));
    for (int64_t i = 0; i < pixels; i++)
        l->image[i] = (float)hu_map_to(low + ((double)image[i] + 1) / 2 * (high - low));
    TRY(codec_encode(l->codec, l->image, latent));
done:
    return st;
}

/* Adds noise to the HU of sample `index` in l->image. */
static void add_residual(latent_slices *l, uint64_t index) {
    const int64_t size = l->study->data.size;
    const uint64_t seed = (uint64_t)l->study->seed;
    const residual_noise *n = codec_noise(l->codec);
    rng_stream of_volume = rng_open(seed, RNG_RESIDUAL, index >> 20, 1);
    rng_stream of_slice = rng_open(seed, RNG_RESIDUAL, index, 0);
    const double level = residual_level(n, rng_uniform(&of_volume));
    residual_class(l->image, size, l->class);
    residual_field(n, &of_slice, size, l->scratch, l->field);
    for (int64_t i = 0; i < size * size; i++)
        l->image[i] += (float)level * n->sigma[l->class[i]] * l->field[i];
}

status latent_slices_decode(latent_slices *l, const float *latents, const uint64_t *index,
                            int64_t count, float *images) {
    status st = ST_OK;
    const double low = l->study->data.window[0], high = l->study->data.window[1];
    const int64_t pixels = l->study->data.size * l->study->data.size;
    TRY(need_codec(l));
    for (int64_t b = 0; b < count; b++, images += pixels) {
        TRY(codec_decode(l->codec, latents + b * codec_values(l->codec), l->image));
        for (int64_t i = 0; i < pixels; i++) l->image[i] = (float)hu_map_from((double)l->image[i]);
        if (l->study->generate.residual == SWITCH_ON) add_residual(l, index[b]);
        for (int64_t i = 0; i < pixels; i++) images[i] = window_apply(l->image[i], low, high);
    }
done:
    return st;
}

status latent_slices_keep(latent_slices *l, const slice_sample *conditions, const float *keep,
                          int64_t count) {
    status st = ST_OK;
    const int64_t size = l->study->data.size, factor = l->study->autoencode.factor;
    const int64_t side = size / factor;
    TRY(need_codec(l));
    const int64_t values = codec_values(l->codec);
    if (!l->known) TRY(array_alloc(&l->known, l->batch * values, sizeof(float), "latents"));
    if (!l->keep) TRY(array_alloc(&l->keep, l->batch * side * side, sizeof(float), "latents"));
    for (int64_t b = 0; b < count; b++) {
        float *share = l->keep + b * side * side;
        for (int64_t i = 0; i < side * side; i++) share[i] = 1;
        for (int64_t i = 0; i < size * size; i++) {
            float *of = &share[i / size / factor * side + i % size / factor];
            *of = fminf(*of, keep[b * size * size + i]);
        }
        TRY(latent_slices_encode(l, conditions[b].image, l->known + b * values));
    }
done:
    return st;
}

void latent_slices_restore(const latent_slices *l, int64_t b, float *latent) {
    const int64_t values = codec_values(l->codec), z = l->study->autoencode.z;
    const float *known = l->known + b * values, *keep = l->keep + b * (values / z);
    for (int64_t i = 0; i < values; i++) latent[i] += keep[i / z] * (known[i] - latent[i]);
}
