/* Builds the U-Net of a study, fills its inputs, and samples with it. */
#include "pipeline/common/denoiser.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "model/diffusion/straightness.h"
#include "pipeline/common/codec.h"
#include "pipeline/common/denoiser_text.h"
#include "pipeline/common/grey_histogram.h"
#include "pipeline/common/latent_slices.h"
#include "pipeline/common/text_model.h"
#include "pipeline/data/tissue.h"
#include "pipeline/trainer/trainer.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

status denoiser_config(const study *s, const label_set *labels, unet_config *out) {
    const bool latent = s->model.space == SPACE_LATENT;
    const int64_t factor = latent ? s->autoencode.factor : 1;
    *out = unet_config_of(s->model.net);
    int64_t multiple = factor << (out->levels - 1);
    if (s->data.size % multiple != 0)
        return status_fail(ST_USAGE,
                           "data.size is %" PRId64 ", but network %s halves %s %d times: take a "
                           "multiple of %" PRId64,
                           s->data.size, named_table_name(&unet_kinds, s->model.net),
                           latent ? "its latents" : "it", out->levels - 1, multiple);
    out->size = s->data.size / factor;
    if (latent) out->channels = s->autoencode.z;
    if (latent) out->codes.factor = factor;
    out->labels = labels->count + (s->model.tissue == SWITCH_ON ? TISSUES : 0);
    while (latent && out->labels > (int64_t)1 << out->codes.bits) out->codes.bits++;
    out->classes = 2; /* native, contrast */
    out->position = true;
    out->dropout = s->model.dropout;
    out->spread = s->diffusion.variance == VARIANCE_LEARNED;
    out->step_size = s->diffusion.shortcut == SWITCH_ON;
    if (s->model.numbers == SWITCH_ON) out->numbers = slice_numbers_count(labels->count);
    if (s->model.text == SWITCH_ON) {
        const text_encoder_config text = text_encoder_default(0, 0);
        out->text = (unet_text){.tokens = text.tokens, .width = text.width};
    }
    return ST_OK;
}

int64_t denoiser_values(const unet_config *c) { return c->size * c->size * c->channels; }

status denoiser_inputs_of(const study *s, plan *pl, const unet_config *c, denoiser_inputs *out) {
    status st = ST_OK;
    *out = (denoiser_inputs){.channels = c->channels,
                             .factor = s->data.size / c->size,
                             .tissues = s->model.tissue == SWITCH_ON ? TISSUES : 0,
                             .window = {s->data.window[0], s->data.window[1]}};
    TRY(plan_input(pl, "x", &out->x));
    TRY(plan_input(pl, "t", &out->t));
    TRY(plan_input(pl, "position", &out->position));
    TRY(plan_input(pl, "class", &out->class));
    if (c->step_size) TRY(plan_input(pl, "d", &out->d));
    if (c->codes.bits > 0) TRY(plan_input(pl, "codes", &out->codes));
    if (c->numbers > 0) TRY(plan_input(pl, "numbers", &out->numbers));
    if (c->text.tokens > 0) TRY(plan_input(pl, "text", &out->text));
    if (c->text.tokens > 0) TRY(plan_input(pl, "text_mask", &out->text_mask));
    out->labels = c->labels - out->tissues;
done:
    return st;
}

int64_t denoiser_code(const denoiser_inputs *in, const slice_sample *condition, int64_t size,
                      int64_t i) {
    const int64_t label = condition->labels[i], codes = in->labels + in->tissues;
    if (condition->latent) return label < codes ? label : -1;
    if (label >= in->labels) return -1;
    if (label != 0 || in->tissues == 0 || !condition->image) return label;
    const tissue kind = tissue_at(condition->image, size, i, in->window);
    return kind == TISSUE_AIR ? 0 : in->labels + kind;
}

void denoiser_fill_map(const denoiser_inputs *in, const slice_sample *condition, int64_t size,
                       float *to, int64_t channels, int64_t first) {
    const int64_t factor = in->factor, side = size / factor;
    const float share = 1 / (float)(factor * factor);
    for (int64_t i = 0; i < size * size; i++) {
        const int64_t code = denoiser_code(in, condition, size, i);
        const int64_t pixel = i / size / factor * side + i % size / factor;
        float *at = to + pixel * channels + first;
        if (code < 0) continue;
        at[code] += share;
        if (code >= in->labels) at[0] += share; /* a tissue is outside of the structures */
    }
}

/* Writes the bits of the codes of a slice; all 0 without conditions. */
static void fill_codes(const denoiser_inputs *in, int64_t b, const slice_sample *condition,
                       bool conditional) {
    const int64_t size = in->codes.shape[1], bits = in->codes.shape[3];
    float *to = (float *)in->codes.at + b * size * size * bits;
    memset(to, 0, (size_t)(size * size * bits) * sizeof *to);
    for (int64_t i = 0; conditional && i < size * size; i++) {
        const int64_t code = denoiser_code(in, condition, size, i);
        for (int64_t k = 0; code > 0 && k < bits; k++) to[i * bits + k] = (float)(code >> k & 1);
    }
}

void denoiser_fill(const denoiser_inputs *in, int64_t b, const float *x_t, const noise_level *at,
                   const slice_sample *condition, bool conditional) {
    int64_t pixels = in->x.shape[1] * in->x.shape[2], channels = in->x.shape[3];
    int64_t classes = in->class.shape[3], own = in->channels;
    float *x = (float *)in->x.at + b * pixels * channels;
    float *class = (float *)in->class.at + b * classes;
    memset(x, 0, (size_t)(pixels * channels) * sizeof(float));
    memset(class, 0, (size_t)classes * sizeof(float));
    for (int64_t i = 0; i < pixels * own; i++)
        x[i / own * channels + i % own] = (float)(at->scale * x_t[i]);
    if (conditional)
        denoiser_fill_map(in, condition, in->x.shape[1] * in->factor, x, channels, own);
    ((float *)in->t.at)[b] = (float)at->time;
    if (in->d.at) ((float *)in->d.at)[b] = (float)at->step;
    if (in->codes.at) fill_codes(in, b, condition, conditional);
    ((float *)in->position.at)[b] = conditional ? condition->position : -1;
    class[conditional && condition->contrast >= 0 ? condition->contrast : classes - 1] = 1;
}

void denoiser_fill_numbers(const denoiser_inputs *in, int64_t b, const double *numbers) {
    if (!in->numbers.at) return;
    const int64_t values = tensor_sample(&in->numbers);
    float *to = (float *)in->numbers.at + b * values;
    if (numbers)
        slice_numbers_write(numbers, values / 2, to);
    else
        memset(to, 0, (size_t)values * sizeof *to);
}

void denoiser_fill_text(const denoiser_inputs *in, int64_t b, const float *states,
                        const float *mask) {
    if (!in->text.at) return;
    const int64_t values = tensor_sample(&in->text), tokens = tensor_sample(&in->text_mask);
    memcpy((float *)in->text.at + b * values, states, (size_t)values * sizeof *states);
    memcpy((float *)in->text_mask.at + b * tokens, mask, (size_t)tokens * sizeof *mask);
}

status denoiser_process(const study *s, double sigma_data, process *out) {
    const process_settings set = {.kind = s->diffusion.process,
                                  .schedule = s->diffusion.schedule,
                                  .steps = s->diffusion.steps,
                                  .objective = s->diffusion.objective,
                                  .weight = s->diffusion.weight,
                                  .sigma_data = sigma_data,
                                  .times = s->diffusion.times,
                                  .shift = s->diffusion.shift,
                                  .shortcut = s->diffusion.shortcut == SWITCH_ON};
    return process_open(&set, out);
}

struct denoiser {
    const stage_context *stage;
    const study *study;
    unet_config config;
    int64_t values;         /* of a slice as the network has it */
    latent_slices *latents; /* NULL for a network of pixels */
    const label_set *labels;
    denoiser_text *text; /* NULL until it is needed, or without text */
    captioner *captions; /* measures numbers; NULL until it is needed, or without them */
    double *numbers;     /* [batch][config.numbers]: of the present conditions */
    float *without;      /* [batch][values]: predictions without the caption */
    graph *graph;
    params *params;
    plan *plan;
    node predicted;
    denoiser_inputs in;
    process process;
    int64_t batch;
    float *x;        /* [batch][values]: the slices that are being sampled */
    uint64_t *index; /* [batch]: global sample indices */
    float *output;   /* [batch][values]: second outputs; NULL: the network has none */
    /* Arguments of the current denoiser_sample() call, for predict(). */
    const slice_sample *conditions;
    int64_t count;
    int64_t steps;     /* see denoiser_choose() */
    double guidance;   /* the same */
    double words;      /* see denoiser_words() */
    const float *grey; /* see denoiser_steer() */
    double strength;
    const float *keep;          /* see denoiser_keep() */
    grey_structure *structures; /* [labels]: scratch */
};

status denoiser_open(const stage_context *stage, const label_set *labels, int64_t batch,
                     denoiser **out) {
    status st = ST_OK;
    denoiser *d = NULL;
    const study *s = stage->study;
    *out = NULL;
    TRY(array_alloc(&d, 1, sizeof *d, "the denoiser"));
    d->stage = stage;
    d->study = s;
    d->batch = batch;
    d->labels = labels;
    TRY(denoiser_config(s, labels, &d->config));
    d->values = denoiser_values(&d->config);
    if (s->model.space == SPACE_LATENT) TRY(latent_slices_open(stage, batch, &d->latents));
    TRY(graph_create(&d->graph));
    d->predicted = unet_build(d->graph, &d->config);
    TRY(params_create(d->graph, &d->params));
    TRY(denoiser_process(s, 1, &d->process));
    TRY(array_alloc(&d->x, batch * d->values, sizeof(float), "a batch of slices"));
    if (d->config.spread)
        TRY(array_alloc(&d->output, batch * d->values, sizeof(float), "a batch of variances"));
    TRY(array_alloc(&d->index, batch, sizeof *d->index, "sample indices"));
    TRY(array_alloc(&d->structures, d->config.labels, sizeof *d->structures, "grey values"));
    plan_options options = {.engine = stage->engine,
                            .batch = batch,
                            .compute = stage->precision,
                            .outputs = &d->predicted,
                            .output_count = 1};
    TRY(plan_create(d->graph, d->params, &options, &d->plan));
    TRY(denoiser_inputs_of(s, d->plan, &d->config, &d->in));
    *out = d;
    d = NULL;
done:
    denoiser_close(d);
    return st;
}

void denoiser_close(denoiser *d) {
    if (!d) return;
    plan_destroy(d->plan);
    params_destroy(d->params);
    graph_destroy(d->graph);
    process_free(&d->process);
    latent_slices_close(d->latents);
    denoiser_text_close(d->text);
    captioner_close(d->captions);
    free(d->numbers);
    free(d->without);
    free(d->x);
    free(d->index);
    free(d->output);
    free(d->structures);
    free(d);
}

params *denoiser_params(denoiser *d) { return d->params; }

void denoiser_params_changed(denoiser *d) { plan_params_changed(d->plan); }

status denoiser_load(denoiser *d, const char *directory, int64_t step) {
    status st = ST_OK;
    double sigma_data = 0;
    const study *s = d->study;
    if (s->model.space == SPACE_LATENT) TRY(published_check(d->stage, &codec_published, directory));
    if (s->model.text == SWITCH_ON) TRY(published_check(d->stage, &text_published, directory));
    TRY(trainer_load_ema(directory, step, d->params));
    plan_params_changed(d->plan);
    if (d->process.set.kind != PROCESS_EDM) goto done;
    TRY(trainer_load_sigma_data(directory, step, &sigma_data));
    TRY(denoiser_set_sigma_data(d, sigma_data));
done:
    return st;
}

status denoiser_set_sigma_data(denoiser *d, double sigma_data) {
    status st = ST_OK;
    process changed = {0};
    if (d->process.set.kind != PROCESS_EDM) goto done;
    TRY(denoiser_process(d->study, sigma_data, &changed));
    process_free(&d->process);
    d->process = changed;
done:
    return st;
}

/* Runs the network and copies its predictions for the first `count` samples of the batch, and its
 * second outputs if it has any and output is not NULL. */
static status run_network(denoiser *d, int64_t count, float *predicted, float *output) {
    const int64_t values = count * d->values;
    status st = plan_forward(d->plan, NULL);
    activity_progress();
    if (st != ST_OK) return st;
    const float *y = plan_output(d->plan, d->predicted).at;
    if (!d->config.spread) memcpy(predicted, y, (size_t)values * sizeof(float));
    for (int64_t i = 0; d->config.spread && i < values; i++) {
        predicted[i] = y[2 * i];
        if (output) output[i] = y[2 * i + 1];
    }
    return ST_OK;
}

/* Opens the text encoder of a network with text. */
static status need_text(denoiser *d) {
    status st = ST_OK;
    if (d->text || d->study->model.text == SWITCH_OFF) goto done;
    TRY(array_alloc(&d->without, d->batch * d->values, sizeof(float), "a batch of predictions"));
    TRY(denoiser_text_open(d->stage, d->labels, d->batch, &d->text));
done:
    return st;
}

/* Measures the numbers of slice k of the present ones, if the network is given any. */
static status measure_numbers(denoiser *d, int64_t k, const slice_sample *condition) {
    status st = ST_OK;
    const study *s = d->study;
    double *numbers;
    if (d->config.numbers == 0) goto done;
    if (!d->captions) {
        TRY(array_alloc(&d->numbers, d->batch * d->config.numbers, sizeof(double), "numbers"));
        TRY(captioner_open(s, d->labels, NULL, &d->captions));
    }
    numbers = d->numbers + k * d->config.numbers;
    TRY(slice_numbers_measure(d->captions, s, d->labels->count, condition, numbers));
done:
    return st;
}

/* Fills slot b for slice k of the present ones, whose numbers are measured; a network with text is
 * given this one. */
static void fill(denoiser *d, int64_t b, const float *x_t, const noise_level *at,
                 const slice_sample *condition, bool conditional, int64_t k, text_choice text) {
    denoiser_fill(&d->in, b, x_t, at, condition, conditional);
    if (d->text) denoiser_text_fill(d->text, &d->in, b, k, text);
    if (d->config.numbers > 0)
        denoiser_fill_numbers(&d->in, b, conditional ? d->numbers + k * d->config.numbers : NULL);
}

/* The guidance of denoiser_words(), of denoiser_choose(), of the study, or 1. */
static double guidance_of(const denoiser *d) {
    const double of_study = d->study->generate.guidance;
    if (d->words > 0) return d->words;
    return d->guidance > 0 ? d->guidance : of_study > 0 ? of_study : 1;
}

/* The guidance of the text by that of the labels. */
static double text_share(const denoiser *d) {
    const double of_text = d->study->generate.text_guidance;
    return of_text > 0 && !(d->words > 0) ? of_text / guidance_of(d) : 1;
}

/* Whether captions have a guidance of their own at this level. */
static bool separates_text(const denoiser *d, const noise_level *at) {
    const double share = at->sigma / (at->alpha + at->sigma), *in = d->study->generate.interval;
    return d->text && text_share(d) != 1 && share >= in[0] && share <= in[1];
}

/* One forward pass for the present conditions. Slots beyond count repeat the last one. */
static status pass(denoiser *d, const float *x_t, const noise_level *at, bool conditional,
                   text_choice text, float *predicted, float *output) {
    for (int64_t b = 0; b < d->batch; b++) {
        const int64_t k = b < d->count ? b : d->count - 1;
        fill(d, b, x_t + b * d->values, at, &d->conditions[k], conditional, k, text);
    }
    return run_network(d, d->batch, predicted, output);
}

/* Callback of the sampler. What it calls the conditional prediction c is p(l, n) + b / a (p(l, t) -
 * p(l, n)), so that its p(0, n) + a (c - p(0, n)) is that of denoiser_sample(). */
static status predict(void *context, const float *x_t, const noise_level *at, int conditional,
                      float *predicted) {
    status st = ST_OK;
    denoiser *d = context;
    if (!conditional) return pass(d, x_t, at, false, TEXT_NEGATIVE, predicted, NULL);
    TRY(pass(d, x_t, at, !(d->words > 0), TEXT_OWN, predicted, d->output));
    if (!separates_text(d, at)) goto done;
    TRY(pass(d, x_t, at, true, TEXT_NEGATIVE, d->without, NULL));
    const float share = (float)text_share(d);
    for (int64_t i = 0; i < d->batch * d->values; i++)
        predicted[i] = d->without[i] + share * (predicted[i] - d->without[i]);
done:
    return st;
}

void denoiser_steer(denoiser *d, const float *grey, double strength) {
    d->grey = grey;
    d->strength = strength;
}

void denoiser_keep(denoiser *d, const float *keep) { d->keep = keep; }

/* Replaces what is to be kept of the image of sample b. */
static void replace(const denoiser *d, int64_t b, float *x) {
    const int64_t pixels = d->study->data.size * d->study->data.size;
    const float *keep = d->keep + b * pixels, *image = d->conditions[b].image;
    for (int64_t i = 0; i < pixels; i++) x[i] += keep[i] * (image[i] - x[i]);
}

/* Moves the grey values of structures towards d->grey. */
static void steer(const denoiser *d, int64_t b, float *x0) {
    const uint8_t *labels = d->conditions[b < d->count ? b : d->count - 1].labels;
    int64_t pixels = d->config.size * d->config.size;
    memset(d->structures, 0, (size_t)d->in.labels * sizeof *d->structures);
    grey_add(d->structures, labels, x0, d->config.size);
    for (int64_t k = 0; k < d->in.labels; k++) {
        double move = d->strength * (d->grey[k] - grey_value(&d->structures[k]));
        if (isnan(move)) continue;
        for (int64_t i = 0; i < pixels; i++)
            if (labels[i] == k) x0[i] += (float)move;
    }
}

/* Callback of the sampler. */
static void correct(void *context, int64_t b, float *x0) {
    const denoiser *d = context;
    if (d->grey) steer(d, b, x0);
    const int64_t k = b < d->count ? b : d->count - 1;
    if (d->keep && d->latents)
        latent_slices_restore(d->latents, k, x0);
    else if (d->keep)
        replace(d, k, x0);
}

void denoiser_words(denoiser *d, double guidance) { d->words = guidance; }

void denoiser_choose(denoiser *d, int64_t steps, double guidance) {
    d->steps = steps;
    d->guidance = guidance;
}

static sampling sampling_of(const denoiser *d) {
    return (sampling){.sampler = d->study->generate.sampler,
                      .grid = d->study->generate.grid,
                      .steps = d->steps > 0 ? d->steps : d->study->generate.steps,
                      .eta = d->study->generate.eta,
                      .guidance = guidance_of(d),
                      .interval = {d->study->generate.interval[0], d->study->generate.interval[1]},
                      .rescale = d->study->generate.rescale,
                      .clip = d->study->model.space == SPACE_LATENT ? 0 : 1, /* HU end */
                      .correct = d->grey || d->keep ? correct : NULL,
                      .resample = d->keep ? d->study->generate.resample : 1,
                      .variance = d->study->diffusion.variance,
                      .output = d->output,
                      .seed = (uint64_t)d->study->seed,
                      .process = &d->process};
}

status denoiser_evaluations(const denoiser *d, int64_t *evaluations) {
    status st = ST_OK;
    int64_t guided = 0, plain = 0;
    sampling how = sampling_of(d);
    TRY(sampler_evaluations(&how, evaluations));
    if (d->study->model.text == SWITCH_OFF || text_share(d) == 1) goto done;
    /* As many as there are without conditions: within generate.interval. */
    how.guidance = 2;
    TRY(sampler_evaluations(&how, &guided));
    how.guidance = 1;
    TRY(sampler_evaluations(&how, &plain));
    *evaluations += guided - plain;
done:
    return st;
}

/* The slice of a sample as the network has it: *values, its own or d->x. */
static status encoded(denoiser *d, const slice_sample *s, const float **values) {
    status st = ST_OK;
    *values = s->image;
    if (!d->latents || s->latent) goto done;
    TRY(latent_slices_encode(d->latents, s->image, d->x));
    *values = d->x;
done:
    return st;
}

status denoiser_sample(denoiser *d, const slice_sample *conditions, const uint64_t *index,
                       int64_t count, float *out) {
    status st = ST_OK;
    const sampling how = sampling_of(d);
    const int64_t pixels = d->study->data.size * d->study->data.size;
    d->conditions = conditions;
    d->count = count;
    TRY(need_text(d));
    if (d->text) TRY(denoiser_text_set(d->text, conditions, index, count));
    for (int64_t b = 0; b < count; b++) {
        TRY(measure_numbers(d, b, &conditions[b]));
        if (d->numbers && d->study->generate.noise > 0)
            d->numbers[b * d->config.numbers + NUMBER_NOISE] = d->study->generate.noise;
    }
    for (int64_t b = 0; b < d->batch; b++) d->index[b] = index[b < count ? b : count - 1];
    if (d->keep && d->latents) TRY(latent_slices_keep(d->latents, conditions, d->keep, count));
    TRY(sampler_run(&how, predict, d, d->index, d->batch, d->values, d->x));
    if (d->latents)
        TRY(latent_slices_decode(d->latents, d->x, d->index, count, out));
    else
        memcpy(out, d->x, (size_t)(count * d->values) * sizeof(float));
    for (int64_t b = 0; d->keep && b < count; b++) replace(d, b, out + b * pixels);
done:
    return st;
}

double denoiser_time(const denoiser *d, double share) {
    return process_quantile(&d->process, share);
}

status denoiser_predict(denoiser *d, const denoiser_query *queries, int64_t count, float *predicted,
                        float *output) {
    status st = ST_OK;
    TRY(need_text(d));
    for (int64_t b = 0; b < d->batch; b++) {
        const denoiser_query *q = &queries[b < count ? b : count - 1];
        TRY(measure_numbers(d, b, q->condition));
        fill(d, b, q->x_t, q->at, q->condition, q->conditional, b, TEXT_NONE);
    }
    TRY(run_network(d, count, predicted, output));
done:
    return st;
}

/* What follow() needs. */
typedef struct followed {
    denoiser *denoiser;
    const flow_sample *samples;
    int64_t count;
} followed;

/* Callback of straightness_measure(). */
static status follow(void *context, const float *x_t, const noise_level *at, int conditional,
                     float *predicted) {
    status st = ST_OK;
    const followed *f = context;
    denoiser *d = f->denoiser;
    for (int64_t b = 0; b < d->batch; b++) {
        const int64_t k = b < f->count ? b : f->count - 1;
        TRY(measure_numbers(d, k, f->samples[k].condition));
        fill(d, b, x_t + k * d->values, at, f->samples[k].condition,
             conditional != 0 && f->samples[k].conditional, k, TEXT_NONE);
    }
    TRY(run_network(d, f->count, predicted, NULL));
done:
    return st;
}

status denoiser_follow(denoiser *d, const flow_sample *samples, int64_t count, int64_t steps,
                       float *z, double *straightness) {
    followed f = {d, samples, count};
    const status st = need_text(d);
    if (st != ST_OK) return st;
    return straightness_measure(&d->process, follow, &f, steps, count, d->values, z, straightness);
}

status denoiser_loss(denoiser *d, const slice_sample *samples, double t, uint64_t noise,
                     int64_t count, double *loss) {
    status st = ST_OK;
    const int64_t n = d->values;
    const noise_level at = process_level(&d->process, t);
    const float *data = NULL;
    float *epsilon = NULL, *target = NULL, *predicted = NULL;
    TRY(need_text(d));
    TRY(array_alloc(&epsilon, n, sizeof *epsilon, "noise"));
    TRY(array_alloc(&target, d->batch * n, sizeof *target, "targets"));
    TRY(array_alloc(&predicted, d->batch * n, sizeof *predicted, "predictions"));
    rng_stream r = rng_open((uint64_t)d->study->seed, RNG_MEMBERSHIP, noise, 0);
    rng_fill_normal(&r, epsilon, n);
    for (int64_t b = 0; b < d->batch; b++) {
        const slice_sample *s = &samples[b < count ? b : count - 1];
        TRY(encoded(d, s, &data));
        process_target(&d->process, &at, data, epsilon, target + b * n, n);
        process_diffuse(&at, data, epsilon, d->x, n);
        TRY(measure_numbers(d, b, s));
        fill(d, b, d->x, &at, s, true, b, TEXT_NONE);
    }
    TRY(run_network(d, count, predicted, NULL));
    for (int64_t b = 0; b < count; b++) {
        double sum = 0;
        for (int64_t i = b * n; i < (b + 1) * n; i++) {
            const double error = (double)predicted[i] - (double)target[i];
            sum += error * error;
        }
        loss[b] = sum / (double)n;
    }
done:
    free(epsilon);
    free(target);
    free(predicted);
    return st;
}
