/* Reflow (Liu et al. 2023): the flow is trained on with the loss of flow matching, but with noise
 * and data of a sample that belong together: a pair that the trained flow has drawn. Its paths
 * become straighter; how straight is measured before and after
 * (pipeline/distil/flow_straightness.h).
 *
 * Sample i takes pair i modulo their number, and the time of the training sample that would follow
 * the training. */
#include "pipeline/distil/task.h"

#include "io/alloc.h"
#include "model/net/unet.h"
#include "model/rng.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/data/prefetch.h"
#include "pipeline/distil/flow_straightness.h"
#include "pipeline/distil/pairs.h"

#include <string.h>

/* A sample before it is copied into a plan. */
typedef struct sample {
    pair_source source;
    noise_level at;
    float *x_t, *target; /* [pixels] */
} sample;

typedef struct reflow_task {
    const distil_inputs *in;
    const study *study;
    int64_t pixels, batch;
    unet_config config;
    process process;
    graph *graph;
    node loss;
    pairs pairs; /* with the slices for training, of the prefetch thread from an announcement on */
    prefetch *prefetch;
    sample *slots;       /* [batch] */
    sample held;         /* of the validation */
    float *noise, *data; /* [pairs.held][pixels]: the validation pairs */
    params *params;      /* this and the next: of the validation */
    plan *validation;
} reflow_task;

/* Local. */
static status sample_alloc(int64_t pixels, sample *out) {
    status st = ST_OK;
    TRY(array_alloc(&out->source.slice.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&out->source.slice.labels, pixels, 1, "a label map"));
    TRY(array_alloc(&out->x_t, pixels, sizeof(float), "a noised slice"));
    TRY(array_alloc(&out->target, pixels, sizeof(float), "a target"));
done:
    return st;
}

static void sample_free(sample *d) {
    free(d->source.slice.image);
    free(d->source.slice.labels);
    free(d->x_t);
    free(d->target);
}

/* Fills x_t and target at time t of a pair. */
static void place(const reflow_task *r, double t, const float *noise, const float *data,
                  sample *out) {
    out->at = process_level(&r->process, t);
    process_target(&r->process, &out->at, data, noise, out->target, r->pixels);
    process_diffuse(&out->at, data, noise, out->x_t, r->pixels);
}

/* Prepares training sample `index`, 0, 1, ..., in a slot (a prefetch_make function). */
static status make_sample(void *context, int64_t index, int64_t slot) {
    status st = ST_OK;
    reflow_task *r = context;
    const int64_t k = index % r->pairs.count;
    const float *noise, *data;
    rng_stream time =
        rng_open((uint64_t)r->study->seed, RNG_TIMESTEP, (uint64_t)(r->pairs.first + index), 0);
    TRY(pairs_source(&r->pairs, k, &r->slots[slot].source));
    TRY(pairs_get(&r->pairs, k, &noise, &data));
    place(r, process_draw(&r->process, &time), noise, data, &r->slots[slot]);
done:
    return st;
}

/* Copies a sample into slot b of the plan. Local. */
static status copy_to_slot(const reflow_task *r, plan *pl, int64_t b, const sample *d) {
    status st = ST_OK;
    denoiser_inputs in;
    tensor target;
    TRY(denoiser_inputs_of(r->study, pl, &r->config, &in));
    TRY(plan_input(pl, "target", &target));
    memcpy((float *)target.at + b * r->pixels, d->target, (size_t)r->pixels * sizeof *d->target);
    denoiser_fill(&in, b, d->x_t, &d->at, &d->source.slice, d->source.conditional);
done:
    return st;
}

static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    reflow_task *r = context;
    TRY(prefetch_take(r->prefetch, first, count));
    for (int64_t b = 0; b < count; b++) TRY(copy_to_slot(r, pl, b, &r->slots[b]));
done:
    return st;
}

static void announce(void *context, int64_t first, int64_t count) {
    prefetch_announce(((reflow_task *)context)->prefetch, first, count);
}

/* Reads the validation pairs. Local. */
static status read_held(reflow_task *r) {
    status st = ST_OK;
    for (int64_t k = 0; k < r->pairs.held; k++) {
        const float *noise, *data;
        TRY(pairs_get(&r->pairs, r->pairs.count + k, &noise, &data));
        memcpy(r->noise + k * r->pixels, noise, (size_t)r->pixels * sizeof *noise);
        memcpy(r->data + k * r->pixels, data, (size_t)r->pixels * sizeof *data);
    }
done:
    return st;
}

/* Collective. */
static status prepare(void *self) {
    status st = ST_OK;
    reflow_task *r = self;
    TRY(pairs_make(&r->pairs));
    TRY(comm_agree(r->in->stage->comm, read_held(r)));
done:
    return st;
}

/* Adds the losses of the validation pairs [first, first + count), at times spread evenly over those
 * of the training, to *sum. Local. */
static status validate_batch(reflow_task *r, int64_t first, int64_t count, double *sum) {
    status st = ST_OK;
    tensor weight;
    TRY(plan_input(r->validation, "weight", &weight));
    for (int64_t b = 0; b < r->batch; b++) ((float *)weight.at)[b] = b < count;
    for (int64_t b = 0; b < count; b++) {
        const int64_t k = first + b;
        TRY(pairs_source(&r->pairs, r->pairs.count + k, &r->held.source));
        place(r, process_spread(&r->process, k, r->pairs.held), r->noise + k * r->pixels,
              r->data + k * r->pixels, &r->held);
        TRY(copy_to_slot(r, r->validation, b, &r->held));
    }
    TRY(plan_forward(r->validation, NULL));
    const float *loss = plan_output(r->validation, r->loss).at;
    for (int64_t b = 0; b < count; b++) *sum += (double)loss[b];
done:
    return st;
}

/* Collective. */
static status validate(void *self, const float *ema, double *loss) {
    status st = ST_OK;
    reflow_task *r = self;
    const comm *ranks = r->in->stage->comm;
    const int64_t total = r->pairs.held;
    double sum = 0;
    memcpy(r->params->value, ema, (size_t)r->params->total * sizeof *ema);
    plan_params_changed(r->validation);
    for (int64_t first = comm_rank(ranks) * r->batch; first < total && st == ST_OK;
         first += comm_size(ranks) * r->batch) {
        const int64_t left = total - first;
        st = validate_batch(r, first, left < r->batch ? left : r->batch, &sum);
    }
    TRY(comm_agree(ranks, st));
    TRY(comm_sum_f64(ranks, &sum, 1));
    *loss = sum / (double)total;
done:
    return st;
}

/* Collective. */
static status finish(void *self, const char *folder, const char *fingerprint, const float *ema) {
    status st = ST_OK;
    reflow_task *r = self;
    TRY(pairs_mend(&r->pairs));
    TRY(flow_straightness_publish(&r->pairs, folder, fingerprint, ema));
done:
    return st;
}

/* Describes the network and the loss, and opens the validation. Local. */
static status describe(reflow_task *r) {
    status st = ST_OK;
    const int64_t size = r->config.size;
    TRY(graph_create(&r->graph));
    node predicted = unet_build(r->graph, &r->config);
    r->loss = graph_regression_loss(
        r->graph, predicted, graph_input(r->graph, "target", TYPE_F32, size, size, 1),
        graph_input(r->graph, "weight", TYPE_F32, 1, 1, 1), r->study->diffusion.loss);
    TRY(graph_check(r->graph));
    TRY(params_create(r->graph, &r->params));
    const plan_options options = {.engine = r->in->stage->engine,
                                  .batch = r->batch,
                                  .compute = r->in->stage->precision,
                                  .outputs = &r->loss,
                                  .output_count = 1};
    TRY(plan_create(r->graph, r->params, &options, &r->validation));
done:
    return st;
}

static void close_task(void *self) {
    reflow_task *r = self;
    if (!r) return;
    prefetch_close(r->prefetch);
    plan_destroy(r->validation);
    params_destroy(r->params);
    graph_destroy(r->graph);
    process_free(&r->process);
    for (int64_t b = 0; r->slots && b < r->batch; b++) sample_free(&r->slots[b]);
    free(r->slots);
    sample_free(&r->held);
    free(r->noise);
    free(r->data);
    pairs_close(&r->pairs);
    free(r);
}

/* Local. */
static status open_samples(reflow_task *r) {
    status st = ST_OK;
    const int64_t held = r->pairs.held * r->pixels;
    TRY(array_alloc(&r->slots, r->batch, sizeof *r->slots, "samples"));
    for (int64_t b = 0; b < r->batch; b++) TRY(sample_alloc(r->pixels, &r->slots[b]));
    TRY(sample_alloc(r->pixels, &r->held));
    TRY(array_alloc(&r->noise, held, sizeof(float), "validation pairs"));
    TRY(array_alloc(&r->data, held, sizeof(float), "validation pairs"));
    TRY(prefetch_open(make_sample, r, &r->prefetch));
done:
    return st;
}

status reflow_task_open(const distil_inputs *in, distil_task *out) {
    status st = ST_OK;
    reflow_task *r = NULL;
    const study *s = in->stage->study;
    TRY(array_alloc(&r, 1, sizeof *r, "reflow"));
    r->in = in;
    r->study = s;
    r->pixels = s->data.size * s->data.size;
    r->batch = s->train.micro_batch;
    TRY(denoiser_config(s, store_labels(in->data->store), &r->config));
    TRY(denoiser_process(s, 1, &r->process));
    TRY(pairs_open(in, &r->pairs));
    TRY(describe(r));
    TRY(open_samples(r));
    *out = (distil_task){.self = r,
                         .graph = r->graph,
                         .loss = r->loss,
                         .read = NODE_NONE,
                         .feed = {.fill = fill, .ahead = announce, .context = r},
                         .prepare = prepare,
                         .finish = finish,
                         .validate = validate,
                         .close = close_task};
    r = NULL;
done:
    close_task(r);
    return st;
}
