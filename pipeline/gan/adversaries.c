/* The two trainers of a GAN, the inputs of their steps, and their checkpoints. */
#include "pipeline/gan/adversaries.h"

#include "io/alloc.h"
#include "io/log.h"
#include "model/net/spectral.h"
#include "model/rng.h"
#include "pipeline/common/generator.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* The step of a noise stream (RNG_GAN). */
enum { NOISE_DISCRIMINATOR, NOISE_GENERATOR };

/* Adam's first moment, as in Isola et al. 2017, section 3.3. */
static const double BETA1 = 0.5;

/* Learning rate of the discriminator, in units of the generator's: the two time scales of Heusel et
 * al. 2017, with the factor of Zhang et al. 2019, section 4. */
static const double DISCRIMINATOR_RATE = 4;

struct adversaries {
    const stage_context *stage;
    slices *train;
    unet_config config;
    gan_graph of_generator, of_discriminator;
    trainer *generator, *discriminator;
    spectral *generator_side, *discriminator_side;
    plan *sampler; /* the generator alone, with the parameters of its trainer */
    int64_t sampler_batch;
    int64_t frozen_at; /* floats before the discriminator's in the generator's parameters */
    slice_sample slice;
    float *noise;   /* [size * size] */
    int64_t *slots; /* [sampler_batch]: the discriminator's slot of each generated slice */
};

/* One-hot maps of the present slice, a->slice, in slot b of an input [size, size, labels]. */
static void fill_labels(const adversaries *a, const denoiser_inputs *in, tensor labels, int64_t b) {
    const unet_config *c = &a->config;
    const int64_t values = c->size * c->size * c->labels;
    float *at = (float *)labels.at + b * values;
    memset(at, 0, (size_t)values * sizeof *at);
    denoiser_fill_map(in, &a->slice, c->size, at, c->labels, 0);
}

/* Fills the generator's inputs in slot b for the present slice, a->slice. */
static void fill_conditions(adversaries *a, const denoiser_inputs *in, int64_t b, int64_t index,
                            uint32_t purpose) {
    rng_stream r = rng_open((uint64_t)a->stage->study->seed, RNG_GAN, (uint64_t)index, purpose);
    rng_fill_normal(&r, a->noise, a->config.size * a->config.size);
    denoiser_fill(in, b, a->noise, &generator_level, &a->slice, true);
}

/* `fill` of the generator's trainer. */
static status fill_generator(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    adversaries *a = context;
    const int64_t pixels = a->config.size * a->config.size;
    denoiser_inputs in;
    tensor labels, target, weight, weight_l1;
    TRY(denoiser_inputs_of(a->stage->study, pl, &a->config, &in));
    TRY(plan_input(pl, "labels", &labels));
    TRY(plan_input(pl, "target", &target));
    TRY(plan_input(pl, "weight", &weight));
    TRY(plan_input(pl, "weight_l1", &weight_l1));
    /* The trainer has set `weight` of all slots. */
    for (int64_t b = 0; b < weight.shape[0]; b++)
        ((float *)weight_l1.at)[b] =
            (float)(a->stage->study->gan.l1 * (double)((float *)weight.at)[b]);
    for (int64_t b = 0; b < count; b++) {
        TRY(slices_draw(a->train, (uint64_t)a->stage->study->seed, first + b, &a->slice));
        fill_conditions(a, &in, b, first + b, NOISE_GENERATOR);
        fill_labels(a, &in, labels, b);
        memcpy((float *)target.at + b * pixels, a->slice.image, (size_t)pixels * sizeof(float));
    }
done:
    return st;
}

/* Generates the `count` slices whose inputs are filled and copies them to their slots. */
static status generate_fakes(adversaries *a, int64_t count, tensor image) {
    const int64_t pixels = a->config.size * a->config.size;
    status st = count > 0 ? plan_forward(a->sampler, NULL) : ST_OK;
    if (st != ST_OK) return st;
    const float *from = plan_output(a->sampler, a->of_generator.image).at;
    for (int64_t k = 0; k < count; k++)
        memcpy((float *)image.at + a->slots[k] * pixels, from + k * pixels,
               (size_t)pixels * sizeof *from);
    return ST_OK;
}

/* `fill` of the discriminator's trainer. */
static status fill_discriminator(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    adversaries *a = context;
    const int64_t pixels = a->config.size * a->config.size;
    int64_t fakes = 0, drawn = -1;
    denoiser_inputs in;
    tensor image, labels, sign;
    TRY(denoiser_inputs_of(a->stage->study, a->sampler, &a->config, &in));
    TRY(plan_input(pl, "image", &image));
    TRY(plan_input(pl, "labels", &labels));
    TRY(plan_input(pl, "sign", &sign));
    for (int64_t b = 0; b < count; b++) {
        const int64_t index = (first + b) / 2;
        const bool real = (first + b) % 2 == 0;
        if (index != drawn)
            TRY(slices_draw(a->train, (uint64_t)a->stage->study->seed, index, &a->slice));
        drawn = index;
        fill_labels(a, &in, labels, b);
        ((float *)sign.at)[b] = real ? 1 : -1;
        if (real) {
            memcpy((float *)image.at + b * pixels, a->slice.image, (size_t)pixels * sizeof(float));
        } else {
            a->slots[fakes] = b;
            fill_conditions(a, &in, fakes++, index, NOISE_DISCRIMINATOR);
        }
    }
    TRY(generate_fakes(a, fakes, image));
done:
    return st;
}

/* `enter` and `leave` of the discriminator's trainer. */
static void enter_discriminator(void *context, params *p) {
    adversaries *a = context;
    (void)p;
    plan_params_changed(a->sampler); /* the generator has made a step */
    spectral_apply(a->discriminator_side);
}

static void leave_discriminator(void *context, params *p) {
    adversaries *a = context;
    (void)p;
    spectral_restore(a->discriminator_side);
}

/* `enter` of the generator's trainer: copies the discriminator and normalises it. The power
 * iteration that this takes stays in the copy. */
static void enter_generator(void *context, params *p) {
    adversaries *a = context;
    const params *from = trainer_params(a->discriminator);
    memcpy(p->value + a->frozen_at, from->value, (size_t)from->total * sizeof *from->value);
    spectral_apply(a->generator_side);
}

/* Forward operations of one slice up to `output`. Local. */
static status count_operations(const stage_context *stage, const gan_graph *g, node output,
                               int64_t *count) {
    status st = ST_OK;
    params *p = NULL;
    plan *pl = NULL;
    plan_options options = {
        .engine = stage->engine, .batch = 1, .outputs = &output, .output_count = 1};
    TRY(params_create(g->g, &p));
    TRY(plan_create(g->g, p, &options, &pl));
    *count = plan_forward_flops(pl);
done:
    plan_destroy(pl);
    params_destroy(p);
    return st;
}

status adversaries_equal_steps(const stage_context *stage, const label_set *labels, int64_t *steps,
                               int64_t *generator, int64_t *discriminator) {
    status st = ST_OK;
    gan_graph of_generator = {0}, of_discriminator = {0};
    unet_config c;
    TRY(generator_config(stage->study, labels, &c));
    TRY(gan_describe_generator(&c, &of_generator));
    TRY(gan_describe_discriminator(&c, &of_discriminator));
    TRY(count_operations(stage, &of_generator, of_generator.image, generator));
    TRY(count_operations(stage, &of_discriminator, of_discriminator.loss, discriminator));
    /* Of a slice. Discriminator: generating (1), and 3 for each of two images. Generator: 3, and
     * forward and data gradient through the discriminator. The denoiser costs what the generator
     * does. */
    const double g = (double)*generator, d = (double)*discriminator;
    const double slice = (g + 6 * d) + (3 * g + 2 * d);
    *steps = llround((double)stage->study->train.steps * 3 * g / slice);
    if (*steps < 1) *steps = 1;
done:
    gan_graph_free(&of_generator);
    gan_graph_free(&of_discriminator);
    return st;
}

/* What both trainers have in common. The optimiser is not sharded: see trainer_feed.leave. */
static trainer_settings settings_of(const stage_context *stage, int64_t steps) {
    const study *s = stage->study;
    return (trainer_settings){.steps = steps,
                              .batch = s->train.batch,
                              .micro_batch = s->train.micro_batch,
                              .lr = s->gan.lr,
                              .clip = INFINITY,
                              .beta1 = BETA1,
                              .ema = s->train.ema,
                              .seed = (uint64_t)s->seed,
                              .precision = stage->precision,
                              .recompute = s->train.recompute == RECOMPUTE_BLOCKS,
                              .sharded = SHARDED_NO,
                              .bf16_wire = s->train.gradient_wire == WIRE_BF16,
                              .reproducible = s->train.reproducible == SWITCH_ON};
}

/* Collective. */
static status open_trainers(adversaries *a, int64_t steps) {
    status st = ST_OK;
    const comm *c = a->stage->comm;
    const kernels *engine = a->stage->engine;
    trainer_settings of_generator = settings_of(a->stage, steps), of_discriminator = of_generator;
    of_generator.keep_ema = true;
    of_discriminator.batch *= 2;
    of_discriminator.micro_batch *= 2;
    of_discriminator.lr *= DISCRIMINATOR_RATE;
    /* Other initial weights than those of the generator. */
    of_discriminator.seed ^= (uint64_t)1 << 63;
    TRY(trainer_create(c, &of_generator, a->of_generator.g, a->of_generator.loss, engine,
                       &a->generator));
    TRY(trainer_create(c, &of_discriminator, a->of_discriminator.g, a->of_discriminator.loss,
                       engine, &a->discriminator));
    a->frozen_at = trainer_params(a->generator)->total - trainer_params(a->discriminator)->total;
done:
    return st;
}

/* Local. */
static status open_rest(adversaries *a) {
    status st = ST_OK;
    const int64_t pixels = a->config.size * a->config.size;
    a->sampler_batch = a->stage->study->train.micro_batch;
    plan_options options = {.engine = a->stage->engine,
                            .batch = a->sampler_batch,
                            .compute = a->stage->precision,
                            .outputs = &a->of_generator.image,
                            .output_count = 1};
    TRY(plan_create(a->of_generator.g, trainer_params(a->generator), &options, &a->sampler));
    TRY(spectral_create(trainer_params(a->generator), &a->generator_side));
    TRY(spectral_create(trainer_params(a->discriminator), &a->discriminator_side));
    TRY(array_alloc(&a->slots, a->sampler_batch, sizeof *a->slots, "generated slices"));
    TRY(array_alloc(&a->slice.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&a->slice.labels, pixels, 1, "a label map"));
    TRY(array_alloc(&a->noise, pixels, sizeof(float), "noise"));
done:
    return st;
}

/* Local. */
static status describe(adversaries *a, const label_set *labels) {
    status st = ST_OK;
    TRY(generator_config(a->stage->study, labels, &a->config));
    TRY(gan_describe_training(&a->config, &a->of_generator));
    TRY(gan_describe_discriminator(&a->config, &a->of_discriminator));
done:
    return st;
}

status adversaries_open(const stage_context *stage, const label_set *labels, slices *train,
                        int64_t steps, adversaries **out) {
    status st = ST_OK;
    adversaries *a = NULL;
    *out = NULL;
    TRY(comm_agree(stage->comm, array_alloc(&a, 1, sizeof *a, "a GAN")));
    a->stage = stage;
    a->train = train;
    TRY(comm_agree(stage->comm, describe(a, labels)));
    TRY(open_trainers(a, steps));
    TRY(comm_agree(stage->comm, open_rest(a)));
    *out = a;
    a = NULL;
done:
    adversaries_close(a);
    return st;
}

void adversaries_close(adversaries *a) {
    if (!a) return;
    plan_destroy(a->sampler);
    spectral_destroy(a->generator_side);
    spectral_destroy(a->discriminator_side);
    trainer_destroy(a->generator);
    trainer_destroy(a->discriminator);
    gan_graph_free(&a->of_generator);
    gan_graph_free(&a->of_discriminator);
    free(a->slice.image);
    free(a->slice.labels);
    free(a->noise);
    free(a->slots);
    free(a);
}

status adversaries_step(adversaries *a, bool stop_requested, adversaries_report *report) {
    status st = ST_OK;
    trainer_report g, d;
    const trainer_feed of_discriminator = {.fill = fill_discriminator,
                                           .enter = enter_discriminator,
                                           .leave = leave_discriminator,
                                           .context = a};
    const trainer_feed of_generator = {
        .fill = fill_generator, .enter = enter_generator, .context = a};
    TRY(trainer_step(a->discriminator, &of_discriminator, false, &d));
    TRY(trainer_step(a->generator, &of_generator, stop_requested, &g));
    *report = (adversaries_report){.generator = g.loss,
                                   .discriminator = d.loss,
                                   .skipped = g.skipped || d.skipped,
                                   .stop = g.stop,
                                   .seconds = g.total + d.total};
done:
    return st;
}

int64_t adversaries_step_count(const adversaries *a) { return trainer_step_count(a->generator); }

int64_t adversaries_parameters(const adversaries *a, bool generator) {
    return generator ? a->frozen_at : trainer_params(a->discriminator)->total;
}

const float *adversaries_ema(adversaries *a) { return trainer_ema(a->generator); }

status adversaries_save(adversaries *a, const char *generator, const char *discriminator,
                        const char *fingerprint) {
    status st = ST_OK;
    const int keep = (int)a->stage->study->train.keep;
    /* One more of the network that is saved first, so that a run that is killed in between has a
     * step of both. */
    TRY(trainer_save(a->discriminator, discriminator, fingerprint, keep + 1));
    TRY(trainer_save(a->generator, generator, fingerprint, keep));
done:
    return st;
}

status adversaries_restore(adversaries *a, const char *generator, const char *discriminator,
                           const char *fingerprint) {
    status st = ST_OK;
    const comm *c = a->stage->comm;
    checkpoint_choice g, d;
    TRY(trainer_find(c, generator, fingerprint, a->stage->log, &g));
    TRY(trainer_find(c, discriminator, fingerprint, a->stage->log, &d));
    const int64_t step = g.step < d.step ? g.step : d.step;
    if (step < 0) goto done;
    TRY(trainer_restore(a->generator, generator, step));
    TRY(trainer_restore(a->discriminator, discriminator, step));
done:
    return st;
}

status adversaries_check_equal(const adversaries *a) {
    status st = ST_OK;
    TRY(trainer_check_equal(a->generator));
    TRY(trainer_check_equal(a->discriminator));
done:
    return st;
}
