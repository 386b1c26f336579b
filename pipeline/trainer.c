/* One optimiser step on all ranks: share, accumulate, all-reduce, decide together, update alike. */
#include "pipeline/trainer.h"

#include "io/span.h"
#include "model/optim.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SKIPS_MOST = 5 };

struct trainer {
    const comm *comm;
    trainer_settings set;
    params *params;
    plan *plan;
    node loss;
    float *m, *v, *ema; /* params total each; ema NULL without EMA */
    uint64_t *keys;     /* global indices of the micro-batch */
    int64_t step;
    int64_t skips; /* in a row */
};

status trainer_create(const comm *c, const trainer_settings *settings, const graph *g, node loss,
                      const kernels *engine, trainer **out) {
    status st = ST_OK;
    trainer *t = NULL;
    *out = NULL;
    TRY(array_alloc(&t, 1, sizeof *t, "the trainer"));
    t->comm = c;
    t->set = *settings;
    t->loss = loss;
    /* A rank's share of a small batch may be less than a micro-batch: then that is enough. */
    int64_t share = (settings->batch + comm_size(c) - 1) / comm_size(c);
    if (t->set.micro_batch > share) t->set.micro_batch = share;
    TRY(params_create(g, &t->params));
    params_init(t->params, settings->seed);
    TRY(array_alloc(&t->m, t->params->total, sizeof(float), "optimiser state"));
    TRY(array_alloc(&t->v, t->params->total, sizeof(float), "optimiser state"));
    TRY(array_alloc(&t->keys, t->set.micro_batch, sizeof *t->keys, "sample indices"));
    if (settings->keep_ema) {
        TRY(array_alloc(&t->ema, t->params->total, sizeof(float), "EMA parameters"));
        memcpy(t->ema, t->params->value, (size_t)t->params->total * sizeof(float));
    }
    plan_options options = {.engine = engine,
                            .batch = t->set.micro_batch,
                            .training = true,
                            .outputs = &loss,
                            .output_count = 1,
                            .loss = loss};
    TRY(plan_create(g, t->params, &options, &t->plan));
    *out = t;
    t = NULL;
done:
    trainer_destroy(t);
    return st;
}

void trainer_destroy(trainer *t) {
    if (!t) return;
    plan_destroy(t->plan);
    params_destroy(t->params);
    free(t->m);
    free(t->v);
    free(t->ema);
    free(t->keys);
    free(t);
}

/* The samples that follow those before `next` on this rank: the rest of its share of this step, or
 * the beginning of its share of the next. */
static void announce(const trainer *t, const trainer_feed *feed, int64_t next) {
    int64_t rank = comm_rank(t->comm), size = comm_size(t->comm), batch = t->set.batch;
    int64_t low = batch * rank / size, high = batch * (rank + 1) / size;
    int64_t begin = t->step * batch, end = begin + high;
    if (!feed->ahead) return;
    if (next >= end) {
        if (t->step + 1 >= t->set.steps) return;
        next = begin + batch + low;
        end = begin + batch + high;
    }
    feed->ahead(feed->context, next,
                end - next < t->set.micro_batch ? end - next : t->set.micro_batch);
}

/* Adds loss and gradient of the samples [first, first + count) of the step, at most a micro-batch.
 */
static status accumulate(trainer *t, const trainer_feed *feed, int64_t first, int64_t count,
                         double *loss) {
    status st = ST_OK;
    tensor weight;
    TRY(plan_input(t->plan, "weight", &weight));
    for (int64_t b = 0; b < t->set.micro_batch; b++) {
        ((float *)weight.at)[b] = b < count ? 1.0f / (float)t->set.batch : 0.0f;
        t->keys[b] = (uint64_t)(first + b);
    }
    TRY(feed->fill(feed->context, t->plan, first, count));
    announce(t, feed, first + count);
    plan_keys keys = {.seed = t->set.seed, .step = t->step, .sample = t->keys};
    TRY(plan_forward(t->plan, &keys));
    tensor y = plan_output(t->plan, t->loss);
    for (int64_t b = 0; b < count; b++) *loss += (double)((float *)y.at)[b];
    TRY(plan_backward(t->plan, NULL, NULL));
done:
    return st;
}

static void update(trainer *t, double lr, double norm) {
    params *p = t->params;
    adamw a = {.lr = lr,
               .beta1 = 0.9,
               .beta2 = 0.999,
               .eps = 1e-8,
               .weight_decay = t->set.weight_decay,
               .step = t->step + 1,
               .scale = norm > t->set.clip ? t->set.clip / norm : 1.0};
    adamw_update(&a, p->value, p->grad, t->m, t->v, p->decay, p->total);
    if (t->ema) ema_update(t->ema, p->value, ema_decay(t->set.ema, t->step), p->total);
    plan_params_changed(t->plan);
}

status trainer_step(trainer *t, const trainer_feed *feed, bool stop_requested,
                    trainer_report *report) {
    status st = ST_OK;
    params *p = t->params;
    int64_t rank = comm_rank(t->comm), size = comm_size(t->comm), batch = t->set.batch;
    int64_t low = batch * rank / size, high = batch * (rank + 1) / size;
    /* Loss, wish to stop, and rank 0's learning rate: the cosine of another processor's libm may
     * differ in the last bit, and the ranks' parameters with it. */
    double shared[3] = {0, stop_requested ? 1 : 0, 0};
    if (rank == 0) shared[2] = learning_rate(t->step, t->set.warmup, t->set.steps, t->set.lr);
    memset(p->grad, 0, (size_t)p->total * sizeof(float));
    for (int64_t i = low; i < high && st == ST_OK; i += t->set.micro_batch) {
        int64_t count = high - i < t->set.micro_batch ? high - i : t->set.micro_batch;
        st = accumulate(t, feed, t->step * batch + i, count, &shared[0]);
    }
    TRY(comm_agree(t->comm, st));
    TRY(comm_sum_f32(t->comm, p->grad, p->total));
    TRY(comm_sum_f64(t->comm, shared, 3));
    *report = (trainer_report){.loss = shared[0], .stop = shared[1] > 0, .lr = shared[2]};
    report->gradient_norm = sqrt(gradient_square(p->grad, p->total));
    report->skipped = !isfinite(report->loss) || !isfinite(report->gradient_norm);
    t->skips = report->skipped ? t->skips + 1 : 0;
    if (!report->skipped) update(t, report->lr, report->gradient_norm);
    t->step++;
    if (t->skips >= SKIPS_MOST)
        st = status_fail(ST_DIVERGED,
                         "training diverged: loss %g and gradient norm %g at step %lld, the %lldth "
                         "step in a row without finite numbers; lower the learning rate",
                         report->loss, report->gradient_norm, (long long)t->step,
                         (long long)t->skips);
done:
    return st;
}

/* FNV-1a over the bits of the parameters. */
static uint64_t parameter_hash(const params *p) {
    uint64_t h = 14695981039346656037u;
    for (int64_t i = 0; i < p->total; i++) {
        uint32_t bits;
        memcpy(&bits, &p->value[i], sizeof bits);
        h = (h ^ bits) * 1099511628211u;
    }
    return h;
}

status trainer_check_equal(const trainer *t) {
    bool equal = false;
    status st = comm_all_equal(t->comm, parameter_hash(t->params), &equal);
    if (st == ST_OK && !equal)
        st = status_fail(ST_INTERNAL, "the ranks hold different parameters after step %lld",
                         (long long)t->step);
    return st;
}

int64_t trainer_at(const trainer *t) { return t->step; }
params *trainer_params(trainer *t) { return t->params; }
const float *trainer_ema(const trainer *t) { return t->ema; }

int64_t trainer_forward_flops(const trainer *t) {
    return plan_forward_flops(t->plan) / t->set.micro_batch;
}

/* The arrays "<group>/<parameter>" of one flat buffer, appended at *n. */
static void name_arrays(const params *p, const char *group, float *flat, checkpoint_array *arrays,
                        int64_t *n) {
    for (int64_t i = 0; i < p->count; i++) {
        checkpoint_array *a = &arrays[(*n)++];
        *a = (checkpoint_array){.rank = p->list[i].rank, .at = flat + p->list[i].offset};
        memcpy(a->shape, p->list[i].shape, sizeof a->shape);
        snprintf(a->name, sizeof a->name, "%s/%s", group, p->list[i].name);
    }
}

static status all_arrays(const trainer *t, checkpoint_array **arrays, int64_t *n) {
    *n = 0;
    status st = array_alloc(arrays, 4 * t->params->count, sizeof **arrays, "checkpoint arrays");
    if (st != ST_OK) return st;
    name_arrays(t->params, "parameters", t->params->value, *arrays, n);
    name_arrays(t->params, "adam_m", t->m, *arrays, n);
    name_arrays(t->params, "adam_v", t->v, *arrays, n);
    if (t->ema) name_arrays(t->params, "ema", t->ema, *arrays, n);
    return ST_OK;
}

status trainer_save(const trainer *t, const char *directory, const char *fingerprint, int keep) {
    status st = ST_OK;
    checkpoint_array *arrays = NULL;
    int64_t n = 0;
    checkpoint_scalar scalars[] = {{"step", (double)t->step}, {"skips", (double)t->skips}};
    if (comm_rank(t->comm) == 0) {
        TRY(all_arrays(t, &arrays, &n));
        TRY(checkpoint_write(directory, t->step, fingerprint, arrays, n, scalars, 2, keep));
    }
done:
    free(arrays);
    return comm_agree(t->comm, st);
}

status trainer_restore(trainer *t, const char *directory, const char *fingerprint, bool *found) {
    status st = ST_OK;
    checkpoint_array *arrays = NULL;
    int64_t n = 0, step = -1;
    checkpoint_scalar scalars[] = {{.name = "step"}, {.name = "skips"}};
    *found = false;
    TRY(comm_agree(t->comm, checkpoint_latest(directory, fingerprint, &step)));
    /* Rank 0's view of the directory counts: another node may see it later. */
    TRY(comm_broadcast(t->comm, &step, sizeof step, 0));
    if (step < 0) goto done;
    st = all_arrays(t, &arrays, &n);
    if (st == ST_OK) st = checkpoint_read(directory, step, arrays, n, scalars, 2);
    TRY(comm_agree(t->comm, st));
    t->step = (int64_t)scalars[0].value;
    t->skips = (int64_t)scalars[1].value;
    plan_params_changed(t->plan);
    *found = true;
done:
    free(arrays);
    return st;
}

status trainer_load_ema(const char *directory, int64_t step, params *p) {
    status st = ST_OK;
    checkpoint_array *arrays = NULL;
    int64_t n = 0;
    TRY(array_alloc(&arrays, p->count, sizeof *arrays, "checkpoint arrays"));
    name_arrays(p, "ema", p->value, arrays, &n);
    TRY(checkpoint_read(directory, step, arrays, n, NULL, 0));
done:
    free(arrays);
    return st;
}
