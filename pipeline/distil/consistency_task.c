/* Consistency tuning and consistency distillation (model/diffusion/consistency.h). A step runs the
 * network twice: at r, with the present parameters and the same dropout masks, for the target, and
 * at t for the loss. Tuning gets to r with the noise of t, distillation by a step of the teacher's
 * solver.
 *
 * Samples have the global indices that follow those of the training, so that slices, noise and
 * dropped conditions are not those of its first steps again. */
#include "pipeline/distil/task.h"

#include "io/alloc.h"
#include "model/diffusion/consistency.h"
#include "model/net/unet.h"
#include "model/rng.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/data/mixture.h"
#include "pipeline/data/prefetch.h"
#include "pipeline/distil/teacher.h"

#include <string.h>

enum { VALIDATION_MAX = 64 };

/* A sample at its two levels. */
typedef struct sample {
    slice_sample slice;
    float *noise;     /* [pixels] */
    bool conditional; /* false: all conditions are dropped */
    consistency_pair pair;
    float *x_t, *x_r; /* [pixels] */
} sample;

typedef struct consistency_task {
    const distil_inputs *in;
    const study *study;
    int64_t pixels, batch;
    int64_t first;   /* global index of the first sample */
    mixture mixture; /* of train and unlabelled slices */
    bool unconditional;
    unet_config config;
    process process;
    graph *graph;
    node predicted, loss;
    teacher *teacher; /* NULL: tuning */
    prefetch *prefetch;
    sample *slots;         /* [batch]: those that the prefetch thread fills */
    sample *present;       /* [batch]: those of the plan */
    teacher_sample *steps; /* [batch]: scratch */
    params *held;          /* of the validation */
    plan *validation;
} consistency_task;

/* Local. */
static status samples_alloc(consistency_task *c, sample **out) {
    status st = ST_OK;
    TRY(array_alloc(out, c->batch, sizeof **out, "samples"));
    for (int64_t b = 0; b < c->batch; b++) {
        sample *d = &(*out)[b];
        TRY(array_alloc(&d->slice.image, c->pixels, sizeof(float), "a slice"));
        TRY(array_alloc(&d->slice.labels, c->pixels, 1, "a label map"));
        TRY(array_alloc(&d->noise, c->pixels, sizeof(float), "noise"));
        TRY(array_alloc(&d->x_t, c->pixels, sizeof(float), "a noised slice"));
        TRY(array_alloc(&d->x_r, c->pixels, sizeof(float), "a noised slice"));
    }
done:
    return st;
}

static void samples_free(const consistency_task *c, sample *samples) {
    for (int64_t b = 0; samples && b < c->batch; b++) {
        free(samples[b].slice.image);
        free(samples[b].slice.labels);
        free(samples[b].noise);
        free(samples[b].x_t);
        free(samples[b].x_r);
    }
    free(samples);
}

/* The stage of the training sample `index`. */
static int64_t stage_of(const consistency_task *c, int64_t index) {
    const study *s = c->study;
    return consistency_stage(index / s->train.batch, s->distil.steps, s->distil.stages);
}

/* Prepares training sample `index`, 0, 1, ..., in a slot (a prefetch_make function). */
static status make_sample(void *context, int64_t index, int64_t slot) {
    consistency_task *c = context;
    const study *s = c->study;
    sample *d = &c->slots[slot];
    const uint64_t seed = (uint64_t)s->seed, global = (uint64_t)(c->first + index);
    rng_stream time = rng_open(seed, RNG_TIMESTEP, global, 0);
    rng_stream noise = rng_open(seed, RNG_NOISE, global, 0);
    rng_stream drop = rng_open(seed, RNG_CONDITION, global, 0);
    int64_t number;
    const bool unlabelled = mixture_at(&c->mixture, c->first + index, &number);
    d->pair = consistency_at(&c->process, consistency_draw(&time), s->distil.q, stage_of(c, index));
    d->conditional =
        rng_uniform(&drop) >= s->train.condition_drop && !(unlabelled && c->unconditional);
    rng_fill_normal(&noise, d->noise, c->pixels);
    return slices_draw(unlabelled ? c->in->data->unlabelled : c->in->data->train, seed, number,
                       &d->slice);
}

/* `fill` of the trainer: takes the samples over, so that the next ones can be prefetched. */
static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    consistency_task *c = context;
    (void)pl;
    TRY(prefetch_take(c->prefetch, first, count));
    for (int64_t b = 0; b < count; b++) {
        const sample taken = c->slots[b];
        c->slots[b] = c->present[b];
        c->present[b] = taken;
    }
done:
    return st;
}

static void announce(void *context, int64_t first, int64_t count) {
    consistency_task *c = context;
    prefetch_announce(c->prefetch, first, count);
}

/* Sets x_t and x_r of the present samples. */
static status reach(consistency_task *c, int64_t count) {
    for (int64_t b = 0; b < count; b++) {
        sample *d = &c->present[b];
        process_diffuse(&d->pair.at, d->slice.image, d->noise, d->x_t, c->pixels);
        if (d->pair.is_data)
            memcpy(d->x_r, d->slice.image, (size_t)c->pixels * sizeof *d->x_r);
        else
            process_diffuse(&d->pair.to, d->slice.image, d->noise, d->x_r, c->pixels);
        c->steps[b] = (teacher_sample){.pair = &d->pair,
                                       .condition = &d->slice,
                                       .conditional = d->conditional,
                                       .x_t = d->x_t,
                                       .x_r = d->x_r};
    }
    return c->teacher ? teacher_step(c->teacher, c->steps, count) : ST_OK;
}

/* Replaces x_r of the present samples by the network's x_0 there, the target; at the data it is. */
static status find_targets(consistency_task *c, plan *pl, const denoiser_inputs *in,
                           const plan_keys *keys, int64_t count) {
    status st = ST_OK;
    for (int64_t b = 0; b < count; b++) {
        const sample *d = &c->present[b];
        denoiser_fill(in, b, d->x_r, &d->pair.to, &d->slice, d->conditional);
    }
    TRY(plan_forward(pl, keys));
    const float *predicted = plan_output(pl, c->predicted).at;
    for (int64_t b = 0; b < count; b++) {
        const sample *d = &c->present[b];
        if (d->pair.is_data) continue;
        process_split(&c->process, &d->pair.to, d->x_r, predicted + b * c->pixels, d->x_r, NULL,
                      c->pixels);
    }
done:
    return st;
}

/* `target` of the trainer: fills the plan's inputs for the present samples. */
static status set_targets(void *context, plan *pl, const plan_keys *keys, int64_t first,
                          int64_t count) {
    status st = ST_OK;
    consistency_task *c = context;
    denoiser_inputs in;
    tensor step, rest;
    (void)first;
    TRY(denoiser_inputs_of(c->study, pl, &c->config, &in));
    TRY(plan_input(pl, "step", &step));
    TRY(plan_input(pl, "rest", &rest));
    TRY(reach(c, count));
    TRY(find_targets(c, pl, &in, keys, count));
    for (int64_t b = 0; b < count; b++) {
        const sample *d = &c->present[b];
        denoiser_fill(&in, b, d->x_t, &d->pair.at, &d->slice, d->conditional);
        consistency_inputs(&c->process, &d->pair, d->x_t, d->x_r,
                           (float *)step.at + b * CONSISTENCY_STEP,
                           (float *)rest.at + b * c->pixels, c->pixels);
    }
done:
    return st;
}

/* Adds the losses of the validation samples [first, first + count) of `total` to *sum: evenly
 * spaced slices, fixed noise, times spread over those of the training, the gap of the last stage.
 * Local. */
static status validate_batch(consistency_task *c, int64_t first, int64_t count, int64_t total,
                             double *sum) {
    status st = ST_OK;
    const study *s = c->study;
    const int64_t slices = slices_count(c->in->data->validation);
    tensor weight;
    TRY(plan_input(c->validation, "weight", &weight));
    for (int64_t b = 0; b < c->batch; b++) ((float *)weight.at)[b] = b < count;
    for (int64_t b = 0; b < count; b++) {
        const int64_t k = first + b;
        sample *d = &c->present[b];
        rng_stream noise = rng_open((uint64_t)s->seed, RNG_VALIDATE, (uint64_t)k, 0);
        d->conditional = true;
        d->pair = consistency_at(&c->process, consistency_spread(k, total), s->distil.q,
                                 s->distil.stages - 1);
        rng_fill_normal(&noise, d->noise, c->pixels);
        TRY(slices_get(c->in->data->validation, k * slices / total, &d->slice));
    }
    TRY(set_targets(c, c->validation, NULL, first, count));
    TRY(plan_forward(c->validation, NULL));
    const float *loss = plan_output(c->validation, c->loss).at;
    for (int64_t b = 0; b < count; b++) *sum += (double)loss[b];
done:
    return st;
}

/* Collective. */
static status validate(void *self, const float *ema, double *loss) {
    status st = ST_OK;
    consistency_task *c = self;
    const comm *ranks = c->in->stage->comm;
    const int64_t all = slices_count(c->in->data->validation);
    const int64_t total = all < VALIDATION_MAX ? all : VALIDATION_MAX;
    double sum = 0;
    memcpy(c->held->value, ema, (size_t)c->held->total * sizeof *ema);
    plan_params_changed(c->validation);
    for (int64_t first = comm_rank(ranks) * c->batch; first < total && st == ST_OK;
         first += comm_size(ranks) * c->batch) {
        const int64_t left = total - first;
        st = validate_batch(c, first, left < c->batch ? left : c->batch, total, &sum);
    }
    TRY(comm_agree(ranks, st));
    TRY(comm_sum_f64(ranks, &sum, 1));
    *loss = sum / (double)total;
done:
    return st;
}

/* Describes the network and the loss. Local. */
static status describe(consistency_task *c) {
    status st = ST_OK;
    const int64_t size = c->config.size;
    TRY(graph_create(&c->graph));
    c->predicted = unet_build(c->graph, &c->config);
    c->loss = graph_consistency_loss(
        c->graph, c->predicted, graph_input(c->graph, "rest", TYPE_F32, size, size, 1),
        graph_input(c->graph, "step", TYPE_F32, 1, 1, CONSISTENCY_STEP),
        graph_input(c->graph, "weight", TYPE_F32, 1, 1, 1));
    TRY(graph_check(c->graph));
done:
    return st;
}

/* Local. */
static status open_validation(consistency_task *c) {
    status st = ST_OK;
    const node outputs[] = {c->loss, c->predicted};
    const plan_options options = {.engine = c->in->stage->engine,
                                  .batch = c->batch,
                                  .compute = c->in->stage->precision,
                                  .outputs = outputs,
                                  .output_count = 2};
    TRY(params_create(c->graph, &c->held));
    TRY(plan_create(c->graph, c->held, &options, &c->validation));
done:
    return st;
}

static void close_task(void *self) {
    consistency_task *c = self;
    if (!c) return;
    prefetch_close(c->prefetch);
    teacher_close(c->teacher);
    plan_destroy(c->validation);
    params_destroy(c->held);
    graph_destroy(c->graph);
    process_free(&c->process);
    samples_free(c, c->slots);
    samples_free(c, c->present);
    free(c->steps);
    free(c);
}

/* Sets what follows from the study and the store. Local. */
static status set_up(consistency_task *c, const distil_inputs *in) {
    status st = ST_OK;
    const study *s = in->stage->study;
    const bool mixed = in->data->unlabelled != NULL;
    c->in = in;
    c->study = s;
    c->pixels = s->data.size * s->data.size;
    c->batch = s->train.micro_batch;
    c->first = s->train.steps * s->train.batch;
    c->mixture = mixture_of(s->train.batch, s->train.steps + s->distil.steps,
                            mixed ? s->train.unlabelled : 0, 0);
    c->unconditional = in->data->pseudo == NULL;
    TRY(denoiser_config(s, store_labels(in->data->store), &c->config));
    TRY(denoiser_process(s, in->sigma_data, &c->process));
done:
    return st;
}

status consistency_task_open(const distil_inputs *in, distil_task *out) {
    status st = ST_OK;
    consistency_task *c = NULL;
    TRY(array_alloc(&c, 1, sizeof *c, "the distillation"));
    TRY(set_up(c, in));
    TRY(describe(c));
    TRY(open_validation(c));
    TRY(samples_alloc(c, &c->slots));
    TRY(samples_alloc(c, &c->present));
    TRY(array_alloc(&c->steps, c->batch, sizeof *c->steps, "samples"));
    if (c->study->distil.kind == DISTIL_CONSISTENCY_DISTILLATION)
        TRY(teacher_open(in, &c->process, c->batch, &c->teacher));
    TRY(prefetch_open(make_sample, c, &c->prefetch));
    *out = (distil_task){
        .self = c,
        .graph = c->graph,
        .loss = c->loss,
        .read = c->predicted,
        .feed = {.fill = fill, .ahead = announce, .target = set_targets, .context = c},
        .validate = validate,
        .close = close_task};
    c = NULL;
done:
    close_task(c);
    return st;
}
