/* The two trainers of an autoencoder, and the inputs of their steps. */
#include "pipeline/autoencode/tandem.h"

#include "io/alloc.h"
#include "io/log.h"
#include "model/net/adaptive_weight.h"
#include "model/net/spectral.h"
#include "model/rng.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/training_run.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The step of a noise stream (RNG_LATENT). */
enum { NOISE_AUTOENCODER, NOISE_DISCRIMINATOR };

/* Adam's first moment, as in Esser et al. 2021. */
static const double BETA1 = 0.5;

/* Learning rate of the discriminator, in units of the autoencoder's, as for the GAN. */
static const double DISCRIMINATOR_RATE = 4;

/* Weight of the feature losses, where that of the mean absolute difference is 1. */
static const double FEATURES = 1;

struct tandem {
    const stage_context *stage;
    slices *train;
    autoencoder_config config;
    int64_t start; /* the first step of the discriminator */
    autoencoder_graph of_autoencoder, of_discriminator;
    trainer *autoencoder, *discriminator;
    trainer_feed feed;
    spectral *autoencoder_side, *discriminator_side;
    plan *sampler; /* reconstructions and features, with the parameters of the autoencoder */
    int64_t sampler_batch;
    plan *measured; /* the same for measure_weight(), which train.micro_batch must not change */
    int64_t measured_batch;
    int64_t frozen_at; /* floats before the discriminator's in the autoencoder's parameters */
    adaptive_weight *weight;
    float adversarial; /* the present weight, as checkpoints hold it */
    checkpoint_array extra;
    slice_sample slice;
    int64_t *slots; /* [sampler_batch]: the discriminator's slot of each reconstruction */
};

static int64_t patch_pixels(const tandem *t) { return t->config.size * t->config.size; }

/* Draws the patch of sample `index`. Local. */
static status draw_patch(tandem *t, int64_t index, float *patch) {
    const study *s = t->stage->study;
    const int64_t size = s->data.size, side = t->config.size;
    status st = slices_draw(t->train, (uint64_t)s->seed, index, &t->slice);
    if (st != ST_OK) return st;
    rng_stream r = rng_open((uint64_t)s->seed, RNG_PATCH, (uint64_t)index, 0);
    const int64_t top = (int64_t)rng_below(&r, (uint64_t)(size - side + 1)),
                  left = (int64_t)rng_below(&r, (uint64_t)(size - side + 1));
    for (int64_t y = 0; y < side; y++)
        memcpy(patch + y * side, t->slice.image + (top + y) * size + left,
               (size_t)side * sizeof *patch);
    return ST_OK;
}

/* Fills slot b of the inputs image and noise. Local. */
static void fill_slot(const tandem *t, tensor image, tensor noise, int64_t b, const float *patch,
                      int64_t index, uint32_t purpose) {
    const int64_t values = tensor_sample(&noise);
    rng_stream r = rng_open((uint64_t)t->stage->study->seed, RNG_LATENT, (uint64_t)index, purpose);
    memcpy((float *)image.at + b * patch_pixels(t), patch, (size_t)patch_pixels(t) * sizeof *patch);
    rng_fill_normal(&r, (float *)noise.at + b * values, values);
}

/* Sets an input to `factor` times the weights of the slots, which the trainer has set. Local. */
static status set_weights(plan *pl, const char *name, double factor) {
    status st = ST_OK;
    tensor weight, out;
    TRY(plan_input(pl, "weight", &weight));
    TRY(plan_input(pl, name, &out));
    for (int64_t b = 0; b < weight.shape[0]; b++)
        ((float *)out.at)[b] = (float)(factor * (double)((float *)weight.at)[b]);
done:
    return st;
}

/* `fill` of the autoencoder's trainer. */
static status fill_autoencoder(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    tandem *t = context;
    const autoencoder_config *c = &t->config;
    const double latents = (double)c->z / (double)(c->factor * c->factor); /* a pixel */
    tensor image, noise;
    float *patch = NULL;
    TRY(plan_input(pl, "image", &image));
    TRY(plan_input(pl, "noise", &noise));
    TRY(array_alloc(&patch, patch_pixels(t), sizeof *patch, "a patch"));
    TRY(set_weights(pl, "weight_features", FEATURES));
    TRY(set_weights(pl, "weight_kl", t->stage->study->autoencode.kl * latents));
    TRY(set_weights(pl, "weight_adversarial", (double)t->adversarial));
    for (int64_t b = 0; b < count; b++) {
        TRY(draw_patch(t, first + b, patch));
        fill_slot(t, image, noise, b, patch, first + b, NOISE_AUTOENCODER);
    }
done:
    free(patch);
    return st;
}

/* Reconstructs the `count` patches whose inputs are filled and copies them to their slots. */
static status reconstruct(tandem *t, int64_t count, tensor image) {
    const int64_t pixels = patch_pixels(t);
    status st = count > 0 ? plan_forward(t->sampler, NULL) : ST_OK;
    if (st != ST_OK) return st;
    const float *from = plan_output(t->sampler, t->of_autoencoder.image).at;
    for (int64_t k = 0; k < count; k++)
        memcpy((float *)image.at + t->slots[k] * pixels, from + k * pixels,
               (size_t)pixels * sizeof *from);
    return ST_OK;
}

/* `fill` of the discriminator's trainer, whose sample 0 is that of step t->start. */
static status fill_discriminator(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    tandem *t = context;
    const int64_t begin = t->start * t->stage->study->autoencode.batch;
    int64_t fakes = 0, drawn = -1;
    tensor image, sign, inner, noise;
    float *patch = NULL;
    TRY(plan_input(pl, "image", &image));
    TRY(plan_input(pl, "sign", &sign));
    TRY(plan_input(t->sampler, "image", &inner));
    TRY(plan_input(t->sampler, "noise", &noise));
    TRY(array_alloc(&patch, patch_pixels(t), sizeof *patch, "a patch"));
    for (int64_t b = 0; b < count; b++) {
        const int64_t index = begin + (first + b) / 2;
        const bool real = (first + b) % 2 == 0;
        if (index != drawn) TRY(draw_patch(t, index, patch));
        drawn = index;
        ((float *)sign.at)[b] = real ? 1 : -1;
        if (real) {
            memcpy((float *)image.at + b * patch_pixels(t), patch,
                   (size_t)patch_pixels(t) * sizeof *patch);
        } else {
            t->slots[fakes] = b;
            fill_slot(t, inner, noise, fakes++, patch, index, NOISE_DISCRIMINATOR);
        }
    }
    TRY(reconstruct(t, fakes, image));
done:
    free(patch);
    return st;
}

/* `enter` and `leave` of the discriminator's trainer. */
static void enter_discriminator(void *context, params *p) {
    tandem *t = context;
    (void)p;
    plan_params_changed(t->sampler); /* the autoencoder has made a step */
    spectral_apply(t->discriminator_side);
}

static void leave_discriminator(void *context, params *p) {
    tandem *t = context;
    (void)p;
    spectral_restore(t->discriminator_side);
}

/* `enter` of the autoencoder's trainer: copies the discriminator and normalises it. The power
 * iteration that this takes stays in the copy. */
static void enter_autoencoder(void *context, params *p) {
    tandem *t = context;
    const params *from = trainer_params(t->discriminator);
    memcpy(p->value + t->frozen_at, from->value, (size_t)from->total * sizeof *from->value);
    spectral_apply(t->autoencoder_side);
}

/* Measures the adversarial weight for patches of the coming step. One that is not finite is not
 * used. Local; called on rank 0. */
static status measure_weight(tandem *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    const int64_t first = trainer_step_count(t->autoencoder) * s->autoencode.batch;
    tensor image, noise;
    float *patch = NULL;
    double lambda = 0;
    TRY(plan_input(t->measured, "image", &image));
    TRY(plan_input(t->measured, "noise", &noise));
    TRY(array_alloc(&patch, patch_pixels(t), sizeof *patch, "a patch"));
    for (int64_t b = 0; b < t->measured_batch; b++) {
        TRY(draw_patch(t, first + b, patch));
        fill_slot(t, image, noise, b, patch, first + b, NOISE_AUTOENCODER);
    }
    plan_params_changed(t->measured);
    TRY(plan_forward(t->measured, NULL));
    enter_autoencoder(t, trainer_params(t->autoencoder));
    TRY(adaptive_weight_measure(t->weight, trainer_params(t->autoencoder),
                                plan_output(t->measured, t->of_autoencoder.features).at,
                                plan_output(t->measured, t->of_autoencoder.coarse).at, image.at,
                                FEATURES, s->autoencode.cap, &lambda));
    if (isfinite(lambda)) t->adversarial = (float)lambda;
done:
    free(patch);
    return st;
}

status tandem_before(tandem *t) {
    status st = ST_OK;
    const comm *c = t->stage->comm;
    const trainer_feed feed = {.fill = fill_discriminator,
                               .enter = enter_discriminator,
                               .leave = leave_discriminator,
                               .context = t};
    const int64_t step = trainer_step_count(t->autoencoder);
    trainer_report report;
    if (step < t->start) goto done;
    TRY(trainer_step(t->discriminator, &feed, false, &report));
    if (report.skipped && comm_rank(c) == 0)
        log_warning(t->stage->log, "autoencode: step %" PRId64 " of the discriminator skipped: %g",
                    step + 1, report.loss);
    if ((step - t->start) % TANDEM_EVERY != 0) goto done;
    TRY(comm_agree(c, comm_rank(c) == 0 ? measure_weight(t) : ST_OK));
    TRY(comm_broadcast(c, &t->adversarial, sizeof t->adversarial, 0));
    log_event(t->stage->log, "autoencode weight",
              json_pack("{s:I, s:f, s:o}", "step", (json_int_t)step, "weight",
                        (double)t->adversarial, "discriminator", log_number(report.loss)));
done:
    return st;
}

/* Collective. */
static status open_trainers(tandem *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    const comm *c = t->stage->comm;
    trainer_settings of_autoencoder = training_run_settings(t->stage);
    of_autoencoder.steps = s->autoencode.steps;
    of_autoencoder.batch = s->autoencode.batch;
    of_autoencoder.lr = s->autoencode.lr;
    of_autoencoder.beta1 = BETA1;
    of_autoencoder.ema = s->train.ema;
    of_autoencoder.extra = &t->extra;
    of_autoencoder.extra_count = 1;
    trainer_settings of_discriminator = of_autoencoder;
    of_discriminator.steps -= t->start;
    of_discriminator.lr *= DISCRIMINATOR_RATE;
    of_discriminator.batch *= 2;
    of_discriminator.micro_batch *= 2;
    of_discriminator.clip = INFINITY;
    of_discriminator.keep_ema = false;
    of_discriminator.sharded = SHARDED_NO; /* trainer_feed.leave needs the whole gradient */
    of_discriminator.extra_count = 0;
    /* Other initial weights than those of the autoencoder. */
    of_discriminator.seed ^= (uint64_t)1 << 63;
    TRY(trainer_create(c, &of_autoencoder, t->of_autoencoder.g, t->of_autoencoder.loss,
                       t->stage->engine, &t->autoencoder));
    TRY(trainer_create(c, &of_discriminator, t->of_discriminator.g, t->of_discriminator.loss,
                       t->stage->engine, &t->discriminator));
    t->frozen_at = trainer_params(t->autoencoder)->total - trainer_params(t->discriminator)->total;
done:
    return st;
}

/* Local. */
static status open_rest(tandem *t) {
    status st = ST_OK;
    const study *s = t->stage->study;
    const int64_t pixels = s->data.size * s->data.size;
    const node outputs[] = {t->of_autoencoder.image, t->of_autoencoder.features,
                            t->of_autoencoder.coarse};
    t->sampler_batch =
        s->train.micro_batch < s->autoencode.batch ? s->train.micro_batch : s->autoencode.batch;
    t->measured_batch = TANDEM_PATCHES < s->autoencode.batch ? TANDEM_PATCHES : s->autoencode.batch;
    plan_options options = {.engine = t->stage->engine,
                            .batch = t->sampler_batch,
                            .compute = t->stage->precision,
                            .outputs = outputs,
                            .output_count = 3};
    TRY(plan_create(t->of_autoencoder.g, trainer_params(t->autoencoder), &options, &t->sampler));
    options.batch = t->measured_batch;
    TRY(plan_create(t->of_autoencoder.g, trainer_params(t->autoencoder), &options, &t->measured));
    TRY(spectral_create(trainer_params(t->autoencoder), &t->autoencoder_side));
    TRY(spectral_create(trainer_params(t->discriminator), &t->discriminator_side));
    TRY(adaptive_weight_create(&t->config, t->stage->engine, t->stage->precision, t->measured_batch,
                               &t->weight));
    TRY(array_alloc(&t->slots, t->sampler_batch, sizeof *t->slots, "reconstructions"));
    TRY(array_alloc(&t->slice.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&t->slice.labels, pixels, 1, "a label map"));
done:
    return st;
}

status tandem_open(const stage_context *stage, slices *train, tandem **out) {
    status st = ST_OK;
    const study *s = stage->study;
    tandem *t = NULL;
    *out = NULL;
    TRY(comm_agree(stage->comm, array_alloc(&t, 1, sizeof *t, "an autoencoder")));
    t->stage = stage;
    t->train = train;
    t->config = codec_config(s, s->autoencode.patch);
    t->start = s->autoencode.cap > 0 ? (s->autoencode.steps + 2) / 3 : s->autoencode.steps;
    t->extra = (checkpoint_array){
        .name = "adversarial_weight", .rank = 1, .shape = {1}, .at = &t->adversarial};
    t->feed = (trainer_feed){.fill = fill_autoencoder, .enter = enter_autoencoder, .context = t};
    st = autoencoder_describe_training(&t->config, &t->of_autoencoder);
    if (st == ST_OK) st = autoencoder_describe_discriminator(&t->config, &t->of_discriminator);
    TRY(comm_agree(stage->comm, st));
    TRY(open_trainers(t));
    TRY(comm_agree(stage->comm, open_rest(t)));
    *out = t;
    t = NULL;
done:
    tandem_close(t);
    return st;
}

void tandem_close(tandem *t) {
    if (!t) return;
    plan_destroy(t->sampler);
    plan_destroy(t->measured);
    adaptive_weight_destroy(t->weight);
    spectral_destroy(t->autoencoder_side);
    spectral_destroy(t->discriminator_side);
    trainer_destroy(t->autoencoder);
    trainer_destroy(t->discriminator);
    autoencoder_graph_free(&t->of_autoencoder);
    autoencoder_graph_free(&t->of_discriminator);
    free(t->slice.image);
    free(t->slice.labels);
    free(t->slots);
    free(t);
}

trainer *tandem_trainer(const tandem *t) { return t->autoencoder; }
const trainer_feed *tandem_feed(const tandem *t) { return &t->feed; }

/* One more of the network that is saved first, so that a run that is killed in between has a step
 * of both. */
status tandem_save(tandem *t, const char *directory, const char *fingerprint) {
    status st = ST_OK;
    if (trainer_step_count(t->discriminator) == 0) goto done;
    TRY(trainer_check_equal(t->discriminator));
    TRY(trainer_save(t->discriminator, directory, fingerprint,
                     (int)t->stage->study->train.keep + 1));
done:
    return st;
}

/* Whether the discriminator has the state that belongs to this step of the autoencoder. */
static bool has_partner(const tandem *t, int64_t step, const checkpoint_kept *of_discriminator,
                        int64_t count) {
    if (step <= t->start) return true;
    for (int64_t i = 0; i < count; i++)
        if (of_discriminator[i].step == step - t->start) return true;
    return false;
}

status tandem_restore(tandem *t, const char *directory, const char *discriminator,
                      const char *fingerprint, checkpoint_choice *out) {
    status st = ST_OK;
    const comm *c = t->stage->comm;
    checkpoint_kept *first = NULL, *second = NULL;
    int64_t first_count = 0, second_count = 0;
    checkpoint_choice ignored;
    /* Damaged ones are set aside. */
    TRY(trainer_find(c, directory, fingerprint, t->stage->log, out));
    TRY(trainer_find(c, discriminator, fingerprint, t->stage->log, &ignored));
    TRY(trainer_kept(c, directory, fingerprint, &first, &first_count));
    TRY(trainer_kept(c, discriminator, fingerprint, &second, &second_count));
    out->step = -1;
    for (int64_t i = 0; i < first_count && out->step < 0; i++)
        if (has_partner(t, first[i].step, second, second_count)) out->step = first[i].step;
    if (out->step > t->start)
        TRY(trainer_restore(t->discriminator, discriminator, out->step - t->start));
done:
    free(first);
    free(second);
    return st;
}
