/* Encodes and decodes with the window of the study, and holds the latents that are kept. */
#include "pipeline/common/latent_slices.h"

#include "io/alloc.h"
#include "model/hu_map.h"
#include "model/metric/quantile.h"
#include "model/warp.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/residual_class.h"

#include <math.h>

/* The median of the modulus of a standard normal number. */
static const double NORMAL_MEDIAN = 0.6744897501960817;

struct latent_slices {
    const stage_context *stage;
    const study *study;
    codec *codec; /* NULL until it is needed */
    int64_t batch;
    float *image;           /* [size * size]: scratch */
    float *field, *scratch; /* with generate.residual: [size * size], residual_scratch() */
    uint8_t *class;         /* [size * size] */
    double *level, *shares; /* [batch]: levels of images that are kept; [size * size]: scratch */
    int64_t levels;         /* of the batch that is decoded next; 0: they are drawn */
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
        TRY(array_alloc(&l->level, batch, sizeof *l->level, "levels of noise"));
        TRY(array_alloc(&l->shares, size * size, sizeof *l->shares, "levels of noise"));
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
    free(l->level);
    free(l->shares);
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

/* Decodes a latent as HU in l->image. */
static status decode_hu(latent_slices *l, const float *latent) {
    const int64_t pixels = l->study->data.size * l->study->data.size;
    status st = codec_decode(l->codec, latent, l->image);
    for (int64_t i = 0; st == ST_OK && i < pixels; i++)
        l->image[i] = (float)hu_map_from((double)l->image[i]);
    return st;
}

/* Adds noise to the HU of sample b in l->image. */
static void add_residual(latent_slices *l, int64_t b, uint64_t index) {
    const int64_t size = l->study->data.size;
    const uint64_t seed = (uint64_t)l->study->seed;
    const residual_noise *n = codec_noise(l->codec);
    rng_stream of_volume = rng_open(seed, RNG_RESIDUAL, index >> 20, 1);
    rng_stream of_slice = rng_open(seed, RNG_RESIDUAL, index, 0);
    const double drawn = residual_level(n, rng_uniform(&of_volume));
    const float level = (float)(b < l->levels ? l->level[b] : drawn);
    residual_class(l->image, size, l->class);
    residual_field(n, &of_slice, size, l->scratch, l->field);
    for (int64_t i = 0; i < size * size; i++)
        l->image[i] += level * n->sigma[l->class[i]] * l->field[i];
}

status latent_slices_decode(latent_slices *l, const float *latents, const uint64_t *index,
                            int64_t count, float *images) {
    status st = ST_OK;
    const double low = l->study->data.window[0], high = l->study->data.window[1];
    const int64_t pixels = l->study->data.size * l->study->data.size;
    TRY(need_codec(l));
    for (int64_t b = 0; b < count; b++, images += pixels) {
        TRY(decode_hu(l, latents + b * codec_values(l->codec)));
        if (l->study->generate.residual == SWITCH_ON) add_residual(l, b, index[b]);
        for (int64_t i = 0; i < pixels; i++) images[i] = window_apply(l->image[i], low, high);
    }
done:
    l->levels = 0;
    return st;
}

/* The level of the noise that the autoencoder drops of an image with this latent: the median
 * residual in tissue that is kept, over that of a normal distribution. Ends of the window, where an
 * image has lost its noise, do not count; without tissue it is the median level. */
static status level_of(latent_slices *l, const float *image, const float *keep, const float *latent,
                       double *level) {
    status st = ST_OK;
    const double low = l->study->data.window[0], high = l->study->data.window[1];
    const int64_t size = l->study->data.size;
    const residual_noise *n = codec_noise(l->codec);
    int64_t count = 0;
    *level = residual_level(n, 0.5);
    TRY(decode_hu(l, latent));
    residual_class(l->image, size, l->class);
    for (int64_t i = 0; i < size * size; i++) {
        const double sigma = (double)n->sigma[l->class[i]];
        const double hu = low + ((double)image[i] + 1) / 2 * (high - low);
        const double share = fabs(hu - (double)l->image[i]) / sigma;
        if (keep[i] < 1 || l->class[i] == RESIDUAL_AIR || fabsf(image[i]) >= 1) continue;
        if (isfinite(share)) l->shares[count++] = share; /* not of a sigma that is 0 */
    }
    sort_ascending(l->shares, count);
    if (count > 0) *level = sorted_quantile(l->shares, count, 0.5) / NORMAL_MEDIAN;
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
        if (l->study->generate.residual == SWITCH_ON)
            TRY(level_of(l, conditions[b].image, keep + b * size * size, l->known + b * values,
                         &l->level[b]));
    }
    if (l->study->generate.residual == SWITCH_ON) l->levels = count;
done:
    return st;
}

void latent_slices_restore(const latent_slices *l, int64_t b, float *latent) {
    const int64_t values = codec_values(l->codec), z = l->study->autoencode.z;
    const float *known = l->known + b * values, *keep = l->keep + b * (values / z);
    for (int64_t i = 0; i < values; i++) latent[i] += keep[i / z] * (known[i] - latent[i]);
}
