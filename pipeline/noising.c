/* Drawing time and noise for slices, for training and for a repeatable validation. */
#include "pipeline/noising.h"

#include "io/span.h"
#include "model/choice.h"
#include "model/rng.h"

#include <string.h>

enum { VALIDATION_MOST = 64 };

typedef struct named_loss {
    const char *name;
    loss_kind kind;
} named_loss;

static const named_loss losses[] = {{"l1", LOSS_L1}, {"l2", LOSS_L2}, {"huber", LOSS_HUBER}};

status noising_open(const study *s, const label_set *labels, slices *train, slices *validation,
                    noising *out) {
    status st = ST_OK;
    noising *n = out;
    *n = (noising){.study = s, .train = train, .validation = validation};
    int64_t size = s->data.size, pixels = size * size;
    int row = 0;
    TRY(choice_find("loss", s->diffusion.loss, losses, sizeof losses / sizeof *losses,
                    sizeof *losses, &row));
    TRY(denoiser_config(s, labels, &n->config));
    TRY(schedule_create(s->diffusion.schedule, s->diffusion.steps, &n->schedule));
    TRY(objective_find(s->diffusion.objective, &n->objective));
    TRY(graph_create(&n->graph));
    node predicted = unet_build(n->graph, &n->config);
    node target = graph_input(n->graph, "target", TYPE_F32, size, size, 1);
    node weight = graph_input(n->graph, "weight", TYPE_F32, 1, 1, 1);
    n->loss = graph_regression_loss(n->graph, predicted, target, weight, losses[row].kind);
    TRY(graph_check(n->graph));
    TRY(array_alloc(&n->sample.image, pixels, sizeof(float), "a slice"));
    TRY(array_alloc(&n->sample.labels, pixels, 1, "a label map"));
    TRY(array_alloc(&n->noise, pixels, sizeof(float), "a slice of noise"));
    TRY(array_alloc(&n->x_t, pixels, sizeof(float), "a noised slice"));
done:
    if (st != ST_OK) noising_close(n);
    return st;
}

void noising_close(noising *n) {
    graph_destroy(n->graph);
    schedule_free(&n->schedule);
    free(n->sample.image);
    free(n->sample.labels);
    free(n->noise);
    free(n->x_t);
    *n = (noising){0};
}

/* Slot b of the plan gets n->sample at time t with the noise of the stream. */
static status lay(noising *n, plan *pl, int64_t b, int64_t t, rng_stream *r, bool conditional) {
    status st = ST_OK;
    int64_t pixels = n->config.size * n->config.size;
    denoiser_inputs in;
    tensor target;
    TRY(denoiser_inputs_of(pl, &n->config, &in));
    TRY(plan_input(pl, "target", &target));
    double alpha_bar = schedule_alpha_bar(&n->schedule, t);
    rng_fill_normal(r, n->noise, pixels);
    diffuse(alpha_bar, n->sample.image, n->noise, n->x_t, pixels);
    n->objective->target(alpha_bar, n->sample.image, n->noise, (float *)target.at + b * pixels,
                         pixels);
    denoiser_fill(&in, b, n->x_t, t, &n->sample, conditional);
done:
    return st;
}

status noising_fill(void *context, plan *pl, int64_t first, int64_t count) {
    noising *n = context;
    uint64_t seed = (uint64_t)n->study->seed;
    for (int64_t b = 0; b < count; b++) {
        uint64_t index = (uint64_t)(first + b);
        rng_stream time = rng_open(seed, RNG_TIMESTEP, index, 0);
        rng_stream noise = rng_open(seed, RNG_NOISE, index, 0);
        rng_stream drop = rng_open(seed, RNG_CONDITION, index, 0);
        int64_t t = 1 + (int64_t)rng_below(&time, (uint64_t)n->schedule.steps);
        bool conditional = rng_uniform(&drop) >= n->study->train.condition_drop;
        status st = slices_draw(n->train, seed, first + b, &n->sample);
        if (st == ST_OK) st = lay(n, pl, b, t, &noise, conditional);
        if (st != ST_OK) return st;
    }
    return ST_OK;
}

struct validator {
    noising *noising;
    const comm *comm;
    params *params;
    plan *plan;
    int64_t batch; /* train.micro_batch: what a rank's memory is known to hold */
};

status validator_open(noising *n, const comm *c, const kernels *engine, validator **out) {
    status st = ST_OK;
    validator *v = NULL;
    *out = NULL;
    TRY(array_alloc(&v, 1, sizeof *v, "the validation"));
    v->noising = n;
    v->comm = c;
    v->batch = n->study->train.micro_batch;
    TRY(params_create(n->graph, &v->params));
    plan_options options = {
        .engine = engine, .batch = v->batch, .outputs = &n->loss, .output_count = 1};
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

/* Adds the losses of the validation samples [first, first + count) of `total`. */
static status judge(validator *v, int64_t first, int64_t count, int64_t total, double *sum) {
    status st = ST_OK;
    noising *n = v->noising;
    int64_t slices_all = slices_count(n->validation);
    tensor weight;
    TRY(plan_input(v->plan, "weight", &weight));
    for (int64_t b = 0; b < v->batch; b++) ((float *)weight.at)[b] = b < count;
    for (int64_t b = 0; b < count; b++) {
        int64_t k = first + b;
        int64_t t = 1 + (2 * k + 1) * n->schedule.steps / (2 * total); /* middles of equal parts */
        if (t > n->schedule.steps) t = n->schedule.steps;
        rng_stream noise = rng_open((uint64_t)n->study->seed, RNG_VALIDATE, (uint64_t)k, 0);
        /* Evenly over all held-out slices. */
        TRY(slices_get(n->validation, k * slices_all / total, &n->sample));
        TRY(lay(n, v->plan, b, t, &noise, true));
    }
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
    if (total > VALIDATION_MOST) total = VALIDATION_MOST;
    memcpy(v->params->value, values, (size_t)v->params->total * sizeof(float));
    plan_params_changed(v->plan);
    int64_t batches = (total + v->batch - 1) / v->batch;
    for (int64_t i = rank; i < batches && st == ST_OK; i += comm_size(v->comm)) {
        int64_t first = i * v->batch, left = total - first;
        st = judge(v, first, left < v->batch ? left : v->batch, total, &sum);
    }
    TRY(comm_agree(v->comm, st));
    TRY(comm_sum_f64(v->comm, &sum, 1));
    *loss = sum / (double)total;
done:
    return st;
}
