/* Draws times and noise for slices: random ones for training, fixed ones for validation. */
#include "pipeline/train/noising.h"

#include "io/alloc.h"
#include "model/diffusion/shortcut.h"
#include "model/rng.h"
#include "pipeline/train/label_weights.h"

#include <inttypes.h>
#include <string.h>

enum { VALIDATION_MAX = 64 };

/* What predict() needs. */
typedef struct teacher_call {
    denoiser *teacher;
    const slice_sample *slice;
} teacher_call;

/* Allocates the arrays of a sample; the caller frees them with sample_free(), also after a failure.
 * Local. */
static status sample_alloc(int64_t pixels, int64_t values, noised_sample *out) {
    status st = ST_OK;
    TRY(array_alloc(&out->slice.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&out->slice.labels, pixels, 1, "a label map"));
    TRY(array_alloc(&out->x_t, values, sizeof(float), "a noised slice"));
    TRY(array_alloc(&out->target, values, sizeof(float), "a target"));
done:
    return st;
}

static void sample_free(noised_sample *d) {
    free(d->slice.image);
    free(d->slice.labels);
    free(d->x_t);
    free(d->target);
}

static bool has_importance(const noising *n) {
    return n->study->train.t_sampling == TIMESTEPS_IMPORTANCE;
}

/* The timestep of training sample `index` by the losses so far; see timesteps_at(). */
static int64_t draw_timestep(const noising *n, int64_t index, double *factor) {
    rng_stream time = rng_open((uint64_t)n->study->seed, RNG_TIMESTEP, (uint64_t)index, 0);
    return timesteps_at(&n->timesteps, rng_uniform(&time), factor);
}

/* Computes d->x_t, which is the noise, and d->target for d->slice at this level. Local. */
static void add_noise(const noising *n, noised_sample *d, noise_level at) {
    d->at = at;
    process_target(&n->process, &d->at, d->slice.image, d->x_t, d->target, n->values);
    process_diffuse(&d->at, d->slice.image, d->x_t, d->x_t, n->values);
}

/* The level of training sample `index`. */
static noise_level draw_level(const noising *n, int64_t index) {
    const uint64_t seed = (uint64_t)n->study->seed;
    rng_stream time = rng_open(seed, RNG_TIMESTEP, (uint64_t)index, 0);
    if (n->config.step_size && shortcut_is_chosen(seed, (uint64_t)index))
        return shortcut_draw(&n->process, &time);
    return process_level(&n->process, process_draw(&n->process, &time));
}

/* Writes the sentence of training sample `index`, with an unconditional slice or not. Local. */
static status draw_sentence(noising *n, int64_t index, rng_stream *drop, noised_sample *d) {
    status st = ST_OK;
    char caption[CAPTION_SIZE] = "";
    const study *s = n->study;
    const double share = d->conditional ? s->train.text_drop : study_without_caption(s);
    if (!n->text) goto done;
    if (rng_uniform(drop) >= share)
        TRY(captioner_write(n->captions, &d->slice, (uint64_t)index, CAPTION_TRAIN, true, caption));
    text_model_sentence(n->text, caption, d->sentence);
done:
    return st;
}

/* Measures the numbers of a training slice and drops some, its position and its class. Behind
 * draw_sentence(), which says these. Local. */
static status draw_numbers(noising *n, rng_stream *drop, noised_sample *d) {
    status st = ST_OK;
    const double share = n->study->train.condition_drop;
    if (n->config.numbers == 0) goto done;
    TRY(slice_numbers_measure(n->captions, n->study, n->label_count, &d->slice, d->numbers));
    if (rng_uniform(drop) < share) d->slice.position = -1;
    if (rng_uniform(drop) < share) d->slice.contrast = -1;
    slice_numbers_drop(d->numbers, n->config.numbers, share, drop);
done:
    return st;
}

/* Prepares training sample `index` in a slot (a prefetch_make function). Runs on the prefetch
 * thread or, for a sample that was not announced, on the caller's. Local. */
static status make_sample(void *context, int64_t index, int64_t slot) {
    noising *n = context;
    noised_sample *d = &n->slots[slot];
    uint64_t seed = (uint64_t)n->study->seed;
    rng_stream noise = rng_open(seed, RNG_NOISE, (uint64_t)index, 0);
    rng_stream drop = rng_open(seed, RNG_CONDITION, (uint64_t)index, 0);
    int64_t number;
    const bool unlabelled = mixture_at(&n->mixture, index, &number);
    d->at = (noise_level){0};
    d->conditional =
        rng_uniform(&drop) >= n->study->train.condition_drop && !(unlabelled && n->unconditional);
    status st = slices_draw(unlabelled ? n->unlabelled : n->train, seed, number, &d->slice);
    rng_fill_normal(&noise, d->x_t, n->values);
    if (st == ST_OK) st = draw_sentence(n, index, &drop, d);
    if (st == ST_OK) st = draw_numbers(n, &drop, d);
    if (st == ST_OK && !has_importance(n)) add_noise(n, d, draw_level(n, index));
    return st;
}

static bool has_weights(const noising *n) { return n->study->train.small_structures > 1; }

/* Channels of the loss's target: those of the slice, then x_0 or the weights of pixels. */
static int64_t target_channels(const noising *n) {
    return n->config.channels + (n->config.spread || has_weights(n) ? 1 : 0);
}

/* Appends the loss to the graph; with a learned variance that of graph_hybrid_loss(). */
static void add_loss(noising *n, node predicted) {
    const loss_kind kind = n->study->diffusion.loss;
    const int64_t size = n->config.size;
    node target = graph_input(n->graph, "target", TYPE_F32, size, size, target_channels(n));
    node weight = graph_input(n->graph, "weight", TYPE_F32, 1, 1, 1);
    if (!n->config.spread) {
        n->loss = graph_regression_loss(n->graph, predicted, target, weight, kind);
        return;
    }
    node step = graph_input(n->graph, "step", TYPE_F32, 1, 1, HYBRID_STEP);
    n->loss = graph_hybrid_loss(n->graph, predicted, target, step, weight, kind);
}

status noising_open(const study *s, const label_set *labels, slices *train, slices *validation,
                    noising *out) {
    status st = ST_OK;
    noising *n = out;
    *n = (noising){.study = s, .train = train, .validation = validation};
    n->mixture = mixture_of(s->train.batch, s->train.steps, 0, 0);
    const int64_t pixels = s->data.size * s->data.size;
    TRY(denoiser_config(s, labels, &n->config));
    n->values = denoiser_values(&n->config);
    TRY(denoiser_process(s, 1, &n->process));
    TRY(graph_create(&n->graph));
    node predicted = unet_build(n->graph, &n->config);
    n->bound = (bound){.schedule = &n->process.schedule,
                       .variance = s->diffusion.variance,
                       .level = bound_level(s->data.window[0], s->data.window[1])};
    add_loss(n, predicted);
    TRY(graph_check(n->graph));
    if (has_importance(n)) TRY(timesteps_create(s->diffusion.steps, &n->timesteps));
    TRY(sample_alloc(pixels, n->values, &n->validation_sample));
    TRY(array_alloc(&n->slots, s->train.micro_batch, sizeof *n->slots, "samples"));
    for (; n->slot_count < s->train.micro_batch; n->slot_count++)
        TRY(sample_alloc(pixels, n->values, &n->slots[n->slot_count]));
    TRY(prefetch_open(make_sample, n, &n->prefetch));
done:
    if (st != ST_OK) noising_close(n);
    return st;
}

status noising_set_sigma_data(noising *n, double sigma_data) {
    process_free(&n->process);
    return denoiser_process(n->study, sigma_data, &n->process);
}

status noising_weigh_labels(noising *n, const comm *c, int64_t labels) {
    if (!has_weights(n)) return ST_OK;
    return label_weights_measure(c, n->train, n->study->data.size, labels,
                                 n->study->train.small_structures, n->label_weight);
}

status noising_add_unlabelled(noising *n, slices *unlabelled, bool pseudo_labels) {
    const study *s = n->study;
    const mixture m = mixture_of(s->train.batch, s->train.steps, s->train.unlabelled, 0);
    if (m.synthetic >= m.batch)
        return status_fail(ST_USAGE,
                           "train.unlabelled %g leaves no labelled slice in a batch of %" PRId64,
                           s->train.unlabelled, m.batch);
    n->mixture = m;
    n->unlabelled = unlabelled;
    n->unconditional = !pseudo_labels;
    return ST_OK;
}

status noising_add_words(noising *n, const stage_context *stage, const store *from) {
    status st = ST_OK;
    const bool text = n->study->model.text == SWITCH_ON;
    if (!text && n->config.numbers == 0) goto done;
    TRY(captioner_open(n->study, store_labels(from), from, &n->captions));
    TRY(captioner_open(n->study, store_labels(from), from, &n->held_captions));
    n->label_count = store_labels(from)->count;
    if (!text) goto done;
    const int64_t sentences = n->slot_count * TEXT_SENTENCE;
    TRY(text_model_open(stage, n->slot_count, &n->text));
    TRY(array_alloc(&n->sentences, sentences, sizeof *n->sentences, "captions"));
    TRY(array_alloc(&n->masks, sentences, sizeof(float), "captions"));
    TRY(array_alloc(&n->states, n->slot_count * text_model_values(n->text), sizeof(float),
                    "captions"));
done:
    return st;
}

status noising_add_teacher(noising *n, const stage_context *stage, const label_set *labels) {
    status st = ST_OK;
    if (!n->config.step_size) goto done;
    TRY(array_alloc(&n->scratch, 2 * n->values, sizeof(float), "targets"));
    TRY(denoiser_open(stage, labels, 1, &n->teacher));
done:
    return st;
}

void noising_set_teacher(noising *n, const float *ema) {
    params *p = denoiser_params(n->teacher);
    memcpy(p->value, ema, (size_t)p->total * sizeof(float));
    denoiser_params_changed(n->teacher);
}

void noising_close(noising *n) {
    prefetch_close(n->prefetch);
    denoiser_close(n->teacher);
    text_model_close(n->text);
    captioner_close(n->captions);
    captioner_close(n->held_captions);
    free(n->sentences);
    free(n->states);
    free(n->masks);
    free(n->scratch);
    graph_destroy(n->graph);
    process_free(&n->process);
    timesteps_free(&n->timesteps);
    for (int64_t i = 0; i < n->slot_count; i++) sample_free(&n->slots[i]);
    free(n->slots);
    sample_free(&n->validation_sample);
    *n = (noising){0};
}

/* The mean weight of the labels in pixel p of the network's slice. */
static float weight_at(const noising *n, const denoiser_inputs *in, const slice_sample *slice,
                       int64_t p) {
    const int64_t side = n->config.size, factor = in->factor, size = side * factor;
    double sum = 0;
    for (int64_t k = 0; k < factor * factor; k++) {
        const int64_t y = p / side * factor + k / factor, x = p % side * factor + k % factor;
        const uint8_t label = slice->labels[y * size + x];
        sum += n->label_weight[label < in->labels ? label : 0];
    }
    return (float)(sum / (double)(factor * factor));
}

/* Writes the target of sample b of the batch. */
static void copy_target(const noising *n, const denoiser_inputs *in, int64_t b,
                        const noised_sample *d, float *target) {
    const int64_t c = n->config.channels, channels = target_channels(n);
    float *to = target + b * n->values / c * channels;
    for (int64_t i = 0; i < n->values; i++) to[i / c * channels + i % c] = d->target[i];
    for (int64_t p = 0; channels > c && p < n->values / c; p++)
        to[p * channels + c] = has_weights(n) ? weight_at(n, in, &d->slice, p) : d->slice.image[p];
}

/* Copies d into slot b of the plan's inputs; its weight is multiplied by that of its level, which
 * is one of L_simple and leaves L_vlb as it is. Local. */
static status copy_to_slot(const noising *n, plan *pl, int64_t b, const noised_sample *d) {
    status st = ST_OK;
    denoiser_inputs in;
    tensor target, weight, step;
    TRY(denoiser_inputs_of(n->study, pl, &n->config, &in));
    TRY(plan_input(pl, "target", &target));
    TRY(plan_input(pl, "weight", &weight));
    const float of_level = (float)process_weight(&n->process, &d->at);
    ((float *)weight.at)[b] *= of_level;
    if (n->config.spread) {
        TRY(plan_input(pl, "step", &step));
        float *at = (float *)step.at + b * HYBRID_STEP;
        hybrid_step(&n->bound, n->process.objective, (int64_t)d->at.t, at);
        at[HYBRID_WEIGHT] /= of_level;
    }
    copy_target(n, &in, b, d, target.at);
    denoiser_fill(&in, b, d->x_t, &d->at, &d->slice, d->conditional);
    denoiser_fill_numbers(&in, b, d->conditional ? d->numbers : NULL);
done:
    return st;
}

/* Gives sample `index` in slot b of the plan its timestep, and its weight the factor of it. */
static status choose_timestep(const noising *n, plan *pl, int64_t b, int64_t index,
                              noised_sample *d) {
    double factor = 1;
    tensor weight;
    status st = plan_input(pl, "weight", &weight);
    add_noise(n, d, process_level(&n->process, (double)draw_timestep(n, index, &factor)));
    if (st == ST_OK) ((float *)weight.at)[b] *= (float)factor;
    return st;
}

/* Callback of shortcut_target(): the teacher's prediction under the conditions of a sample. */
static status predict(void *context, const float *x_t, const noise_level *at, int conditional,
                      float *predicted) {
    const teacher_call *call = context;
    const denoiser_query query = {x_t, at, call->slice, conditional != 0};
    return denoiser_predict(call->teacher, &query, 1, predicted, NULL);
}

/* The target of a sample that learns self-consistency. Local. */
static status ask_teacher(noising *n, noised_sample *d) {
    teacher_call call = {n->teacher, &d->slice};
    return shortcut_target(&n->process, &d->at, predict, &call, d->conditional, d->x_t, n->values,
                           n->scratch, d->target);
}

/* Gives the slots at.. the first `count` of n->sentences. Local. */
static status fill_texts(noising *n, plan *pl, int64_t at, int64_t count) {
    status st = ST_OK;
    denoiser_inputs in;
    if (!n->text) goto done;
    TRY(denoiser_inputs_of(n->study, pl, &n->config, &in));
    TRY(text_model_states(n->text, n->sentences, count, n->states, n->masks));
    for (int64_t i = 0; i < count; i++)
        denoiser_fill_text(&in, at + i, n->states + i * text_model_values(n->text),
                           n->masks + i * TEXT_SENTENCE);
done:
    return st;
}

/* Puts the sentence of d at place i of n->sentences. */
static void keep_sentence(noising *n, int64_t i, const noised_sample *d) {
    if (n->text) memcpy(n->sentences + i * TEXT_SENTENCE, d->sentence, sizeof d->sentence);
}

status noising_fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    noising *n = context;
    for (int64_t b = 0; b < count;) { /* the batch of the plan may exceed the number of slots */
        int64_t part = count - b < n->slot_count ? count - b : n->slot_count;
        TRY(prefetch_take(n->prefetch, first + b, part));
        for (int64_t slot = 0; slot < part; slot++, b++) {
            if (has_importance(n)) TRY(choose_timestep(n, pl, b, first + b, &n->slots[slot]));
            if (n->slots[slot].at.step > 0) TRY(ask_teacher(n, &n->slots[slot]));
            TRY(copy_to_slot(n, pl, b, &n->slots[slot]));
            keep_sentence(n, slot, &n->slots[slot]);
        }
        TRY(fill_texts(n, pl, b - part, part));
    }
done:
    return st;
}

void noising_announce(void *context, int64_t first, int64_t count) {
    noising *n = context;
    prefetch_announce(n->prefetch, first, count < n->slot_count ? count : n->slot_count);
}

void noising_learn(noising *n, int64_t first, const double *losses, int64_t count) {
    double factor;
    if (!has_importance(n)) return;
    for (int64_t i = 0; i < count; i++) {
        const int64_t t = draw_timestep(n, first + i, &factor);
        timesteps_add(&n->timesteps, t, losses[i] / factor);
    }
    timesteps_update(&n->timesteps);
}

int64_t noising_state(noising *n, checkpoint_array arrays[NOISING_ARRAYS]) {
    const int64_t steps = n->timesteps.steps;
    if (!has_importance(n)) return 0;
    arrays[0] = (checkpoint_array){.name = "timesteps/loss",
                                   .rank = 2,
                                   .shape = {steps, TIMESTEP_LOSSES},
                                   .at = n->timesteps.loss};
    arrays[1] = (checkpoint_array){
        .name = "timesteps/count", .rank = 1, .shape = {steps}, .at = n->timesteps.count};
    return NOISING_ARRAYS;
}

status noising_restored(noising *n) {
    return has_importance(n) ? timesteps_restore(&n->timesteps) : ST_OK;
}

struct validator {
    noising *noising;
    const comm *comm;
    params *params;
    plan *plan;
    int64_t batch; /* train.micro_batch, which is known to fit into a rank's memory */
};

status validator_open(noising *n, const stage_context *stage, validator **out) {
    status st = ST_OK;
    validator *v = NULL;
    *out = NULL;
    TRY(array_alloc(&v, 1, sizeof *v, "the validation"));
    v->noising = n;
    v->comm = stage->comm;
    v->batch = n->study->train.micro_batch;
    TRY(params_create(n->graph, &v->params));
    plan_options options = {.engine = stage->engine,
                            .batch = v->batch,
                            .compute = stage->precision,
                            .outputs = &n->loss,
                            .output_count = 1};
    TRY(plan_create(n->graph, v->params, &options, &v->plan));
    *out = v;
    v = NULL;
done:
    validator_close(v);
    return st;
}

void validator_close(validator *v) {
    if (!v) return;
    plan_destroy(v->plan);
    params_destroy(v->params);
    free(v);
}

/* Writes the sentence of validation sample k. Local. */
static status caption_held(noising *n, int64_t k, noised_sample *d) {
    status st = ST_OK;
    char caption[CAPTION_SIZE];
    TRY(captioner_write(n->held_captions, &d->slice, (uint64_t)k, CAPTION_HELD, false, caption));
    text_model_sentence(n->text, caption, d->sentence);
done:
    return st;
}

/* Adds the losses of the validation samples [first, first + count) to *sum. Sample k of `total` has
 * the k-th of `total` evenly spaced slices and the middle of the k-th of `total` equal parts of
 * the training times. Local. */
static status run_batch(validator *v, int64_t first, int64_t count, int64_t total, double *sum) {
    status st = ST_OK;
    noising *n = v->noising;
    int64_t slice_total = slices_count(n->validation);
    tensor weight;
    TRY(plan_input(v->plan, "weight", &weight));
    for (int64_t b = 0; b < v->batch; b++) ((float *)weight.at)[b] = b < count;
    for (int64_t b = 0; b < count; b++) {
        int64_t k = first + b;
        noised_sample *d = &n->validation_sample;
        d->conditional = true;
        rng_stream noise = rng_open((uint64_t)n->study->seed, RNG_VALIDATE, (uint64_t)k, 0);
        TRY(slices_get(n->validation, k * slice_total / total, &d->slice));
        rng_fill_normal(&noise, d->x_t, n->values);
        add_noise(n, d, process_level(&n->process, process_spread(&n->process, k, total)));
        if (n->config.numbers > 0)
            TRY(slice_numbers_measure(n->held_captions, n->study, n->label_count, &d->slice,
                                      d->numbers));
        TRY(copy_to_slot(n, v->plan, b, d));
        if (n->text) TRY(caption_held(n, k, d));
        keep_sentence(n, b, d);
    }
    TRY(fill_texts(n, v->plan, 0, count));
    TRY(plan_forward(v->plan, NULL));
    tensor loss = plan_output(v->plan, n->loss);
    for (int64_t b = 0; b < count; b++) *sum += (double)((float *)loss.at)[b];
done:
    return st;
}

status validator_run(validator *v, const float *values, double *loss) {
    status st = ST_OK;
    int64_t total = slices_count(v->noising->validation), rank = comm_rank(v->comm);
    double sum = 0;
    if (total > VALIDATION_MAX) total = VALIDATION_MAX;
    memcpy(v->params->value, values, (size_t)v->params->total * sizeof(float));
    plan_params_changed(v->plan);
    int64_t batches = (total + v->batch - 1) / v->batch;
    for (int64_t i = rank; i < batches && st == ST_OK; i += comm_size(v->comm)) {
        int64_t first = i * v->batch, left = total - first;
        st = run_batch(v, first, left < v->batch ? left : v->batch, total, &sum);
    }
    TRY(comm_agree(v->comm, st));
    TRY(comm_sum_f64(v->comm, &sum, 1));
    *loss = sum / (double)total;
done:
    return st;
}
