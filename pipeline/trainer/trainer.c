/* One optimiser step on all ranks: accumulate the gradients of this rank's share, sum them over the
 * ranks, agree on skip and stop, update. */
#include "pipeline/trainer/trainer.h"
#include "pipeline/trainer/trainer_detail.h"

#include "io/activity.h"
#include "io/log.h"
#include "io/alloc.h"
#include "model/optim.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { SKIPS_MAX = 5 };

/* Elements of trainer.shared. All but the first are set by one rank and 0 on the others, so that
 * their sums are exact in any order. */
enum { SHARED_STOP, SHARED_RATE, SHARED_PARTS, SHARED_LOSS = SHARED_PARTS + GRADIENT_PARTS };

static bool power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

/* ST_USAGE unless every power of two of ranks up to `ranks` sums the micro-batches in the same
 * tree. */
static status check_reproducible(const trainer_settings *s, int64_t ranks) {
    int64_t batch = s->batch, micro = s->micro_batch;
    if (s->batch % s->micro_batch != 0)
        return status_fail(ST_USAGE,
                           "train.reproducible needs a train.batch that is a multiple of "
                           "train.micro_batch; they are %" PRId64 " and %" PRId64,
                           batch, micro);
    if (!power_of_two(s->batch / s->micro_batch))
        return status_fail(ST_USAGE,
                           "train.reproducible needs train.batch / train.micro_batch to be a power "
                           "of two; %" PRId64 " / %" PRId64 " is %" PRId64,
                           batch, micro, batch / micro);
    if (!power_of_two(ranks))
        return status_fail(ST_USAGE,
                           "train.reproducible needs a number of ranks that is a power of two; "
                           "there are %" PRId64,
                           ranks);
    if (s->batch / s->micro_batch < ranks)
        return status_fail(
            ST_USAGE,
            "train.reproducible needs at least one micro-batch a rank: train.batch / "
            "train.micro_batch is %" PRId64 ", and there are %" PRId64 " ranks",
            batch / micro, ranks);
    if (s->bf16_wire)
        return status_fail(ST_USAGE,
                           "train.reproducible and train.gradient_wire: bf16 exclude each "
                           "other: the rounded sums depend on the number of ranks");
    return ST_OK;
}

/* This rank's samples of a step: [low, high) of the batch. */
static void share_of(const trainer *t, int64_t *low, int64_t *high) {
    int64_t rank = comm_rank(t->comm), size = comm_size(t->comm);
    *low = t->set.batch * rank / size;
    *high = t->set.batch * (rank + 1) / size;
}

/* Creates the parameters and the reduction of their gradient. Collective. */
static status open_params(trainer *t, const graph *g) {
    status st = ST_OK;
    const trainer_settings *s = &t->set;
    const reduction_settings how = {.sharded = s->sharded,
                                    .bf16 = s->bf16_wire,
                                    .ordered = s->reproducible,
                                    .together = s->together};
    TRY(comm_agree(t->comm, params_create(g, &t->params)));
    TRY(reduction_create(t->comm, t->params->total, &how, &t->reduction));
    t->sharded = reduction_is_sharded(t->reduction);
    params_init(t->params, s->seed);
done:
    return st;
}

/* Allocates the state of the optimiser and the buffers of a step. Local. */
static status open_state(trainer *t) {
    status st = ST_OK;
    const trainer_settings *s = &t->set;
    const gradient_partition *who = reduction_partition(t->reduction);
    int64_t owner = reduction_owner(t->reduction), low = 0, high = 0;
    share_of(t, &low, &high);
    int64_t micro_batches = (high - low + s->micro_batch - 1) / s->micro_batch;
    t->held = !t->sharded ? t->params->total : owner < 0 ? 0 : partition_owned(who, owner);
    const int64_t bytes = t->held * (int64_t)sizeof(float);
    TRY(pages_zeroed(&t->m, bytes, "optimiser state"));
    TRY(pages_zeroed(&t->v, bytes, "optimiser state"));
    if (s->keep_ema) TRY(pages_alloc(&t->ema, bytes, "EMA parameters"));
    if (s->keep_ema) trainer_extract(t, t->params->value, t->ema);
    TRY(array_alloc(&t->keys, s->micro_batch, sizeof *t->keys, "sample indices"));
    TRY(array_alloc(&t->losses, micro_batches, sizeof *t->losses, "losses"));
    t->shared_count = SHARED_LOSS + comm_size(t->comm);
    if (s->sample_losses) {
        TRY(array_alloc(&t->sample_losses, s->batch, sizeof *t->sample_losses, "losses"));
        t->shared_count += s->batch;
    }
    TRY(array_alloc(&t->shared, t->shared_count, sizeof *t->shared, "sums of a step"));
    if (s->reproducible && micro_batches > 1)
        TRY(sum_stack_create(t->params->total, micro_batches, &t->partial));
done:
    return st;
}

status trainer_create(const comm *c, const trainer_settings *settings, const graph *g, node loss,
                      const kernels *engine, trainer **out) {
    status st = ST_OK;
    trainer *t = NULL;
    *out = NULL;
    if (settings->reproducible) TRY(check_reproducible(settings, comm_size(c)));
    TRY(comm_agree(c, array_alloc(&t, 1, sizeof *t, "the trainer")));
    t->comm = c;
    t->set = *settings;
    t->loss = loss;
    t->scale = loss_scale_for(settings->precision);
    /* A micro-batch need not be larger than a rank's share of the batch. */
    int64_t share = (settings->batch + comm_size(c) - 1) / comm_size(c);
    if (t->set.micro_batch > share) t->set.micro_batch = share;
    TRY(open_params(t, g));
    const node outputs[] = {loss, settings->read ? *settings->read : NODE_NONE};
    plan_options options = {.engine = engine,
                            .batch = t->set.micro_batch,
                            .training = true,
                            .compute = settings->precision,
                            .recompute = settings->recompute,
                            .outputs = outputs,
                            .output_count = settings->read ? 2 : 1,
                            .loss = loss};
    st = open_state(t);
    if (st == ST_OK) st = plan_create(g, t->params, &options, &t->plan);
    TRY(comm_agree(c, st));
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
    reduction_destroy(t->reduction);
    sum_stack_destroy(t->partial);
    free(t->m);
    free(t->v);
    free(t->ema);
    free(t->keys);
    free(t->losses);
    free(t->sample_losses);
    free(t->shared);
    free(t);
}

/* Announces the next micro-batch of this rank, which begins at sample `next` if its share of this
 * step is not finished, and otherwise at its share of the next step. */
static void announce(const trainer *t, const trainer_feed *feed, int64_t next) {
    int64_t batch = t->set.batch, begin = t->step * batch, low = 0, high = 0;
    if (!feed->ahead) return;
    share_of(t, &low, &high);
    int64_t end = begin + high;
    if (next >= end) {
        if (t->step + 1 >= t->set.steps) return;
        next = begin + batch + low;
        end = begin + batch + high;
    }
    feed->ahead(feed->context, next,
                end - next < t->set.micro_batch ? end - next : t->set.micro_batch);
}

/* Adds the gradient of the samples [first, first + count), at most a micro-batch. During the
 * backward pass of the rank's `last` micro-batch the gradient is summed over the ranks. */
static status accumulate(trainer *t, const trainer_feed *feed, int64_t first, int64_t count,
                         bool last, double *loss, double *waited) {
    status st = ST_OK;
    tensor weight;
    double began = log_seconds();
    TRY(plan_input(t->plan, "weight", &weight));
    for (int64_t b = 0; b < t->set.micro_batch; b++) {
        double share = t->scale.scale / (double)t->set.batch;
        ((float *)weight.at)[b] = b < count ? (float)share : 0.0f;
        t->keys[b] = (uint64_t)(first + b);
    }
    TRY(feed->fill(feed->context, t->plan, first, count));
    *waited += log_seconds() - began;
    announce(t, feed, first + count);
    plan_keys keys = {.seed = t->set.seed, .step = t->step, .sample = t->keys};
    if (feed->target) TRY(feed->target(feed->context, t->plan, &keys, first, count));
    TRY(plan_forward(t->plan, &keys));
    tensor y = plan_output(t->plan, t->loss);
    *loss = 0;
    for (int64_t b = 0; b < count; b++) *loss += (double)((float *)y.at)[b];
    for (int64_t b = 0; t->sample_losses && b < count; b++)
        t->sample_losses[first - t->step * t->set.batch + b] = (double)((float *)y.at)[b];
    activity_progress();
    TRY(plan_backward(t->plan, last ? reduction_ready : NULL, t->reduction));
    if (t->partial && !last) sum_stack_push(t->partial, t->params->grad);
    activity_progress();
done:
    return st;
}

/* Computes the gradient of the step, summed over the ranks, and *loss of this rank's share, which
 * is not summed. Agrees on failures. Collective. */
static status compute_gradient(trainer *t, const trainer_feed *feed, double *loss,
                               trainer_report *report) {
    status st = ST_OK;
    int64_t low = 0, high = 0, k = 0, micro = t->set.micro_batch;
    share_of(t, &low, &high);
    if (feed->enter) {
        feed->enter(feed->context, t->params);
        plan_params_changed(t->plan);
    }
    if (feed->gather)
        TRY(feed->gather(feed->context, t->plan, t->step * t->set.batch + low, high - low));
    memset(t->params->grad, 0, (size_t)t->params->total * sizeof(float));
    if (t->sample_losses)
        memset(t->sample_losses, 0, (size_t)t->set.batch * sizeof *t->sample_losses);
    if (t->partial) sum_stack_clear(t->partial);
    reduction_begin(t->reduction, t->params->grad, t->partial);
    for (int64_t i = low; i < high && st == ST_OK; i += micro, k++) {
        int64_t count = high - i < micro ? high - i : micro;
        st = accumulate(t, feed, t->step * t->set.batch + i, count, i + micro >= high,
                        &t->losses[k], &report->data);
    }
    double began = log_seconds();
    reduction_finish(t->reduction);
    st = comm_agree(t->comm, st);
    report->exposed += log_seconds() - began;
    if (feed->leave) feed->leave(feed->context, t->params);
    *loss = tree_sum_f64(t->losses, k);
done:
    return st;
}

/* Sums the squares of the gradient in the parts that this rank owns. */
static void add_squares(trainer *t) {
    const gradient_partition *who = reduction_partition(t->reduction);
    for (int64_t b = 0; b < who->buckets; b++) {
        span p = reduction_owned(t->reduction, b);
        gradient_squared_norms(t->params->grad + p.at, p.count, who->part,
                               t->shared + SHARED_PARTS + p.at / who->part);
    }
}

/* The samples' losses are the last elements of trainer.shared. */
static double *shared_losses(const trainer *t) {
    return t->shared + SHARED_LOSS + comm_size(t->comm);
}

/* Shares loss, gradient norm, stop requests and the learning rate of rank 0: the cosine of another
 * processor's libm may differ in the last bit, and the parameters of the ranks would diverge.
 * Collective. */
static status share_numbers(trainer *t, double loss, bool stop_requested, trainer_report *report) {
    status st = ST_OK;
    double square = 0, began = log_seconds();
    memset(t->shared, 0, (size_t)t->shared_count * sizeof *t->shared);
    t->shared[SHARED_STOP] = stop_requested ? 1 : 0;
    if (comm_rank(t->comm) == 0)
        t->shared[SHARED_RATE] = learning_rate(t->step, t->set.warmup, t->set.steps, t->set.lr);
    t->shared[SHARED_LOSS + comm_rank(t->comm)] = loss;
    if (t->sample_losses)
        memcpy(shared_losses(t), t->sample_losses, (size_t)t->set.batch * sizeof(double));
    add_squares(t);
    report->update += log_seconds() - began;
    began = log_seconds();
    TRY(comm_sum_f64(t->comm, t->shared, t->shared_count));
    report->exposed += log_seconds() - began;
    for (int p = 0; p < GRADIENT_PARTS; p++) square += t->shared[SHARED_PARTS + p];
    report->scale = t->scale.scale;
    for (int64_t i = 0; t->sample_losses && i < t->set.batch; i++)
        t->sample_losses[i] = shared_losses(t)[i] * (double)t->set.batch / report->scale;
    report->loss = tree_sum_f64(t->shared + SHARED_LOSS, comm_size(t->comm)) / report->scale;
    report->gradient_norm = sqrt(square) / report->scale;
    report->stop = t->shared[SHARED_STOP] > 0;
    report->lr = t->shared[SHARED_RATE];
    report->skipped = !isfinite(report->loss) || !isfinite(report->gradient_norm);
done:
    return st;
}

/* Updates `count` parameters from `at` on; their state begins at `held`. */
static void update_piece(trainer *t, const adamw *a, int64_t at, int64_t count, int64_t held) {
    params *p = t->params;
    adamw_update(a, p->value + at, p->grad + at, t->m + held, t->v + held, p->decay + at,
                 t->ema ? t->ema + held : NULL, ema_decay(t->set.ema, t->step), count);
}

/* Updates what this rank owns, bucket by bucket, and sends the new values to the other ranks
 * meanwhile. */
static void update_own(trainer *t, const adamw *a) {
    int64_t buckets = reduction_partition(t->reduction)->buckets, held = 0;
    for (int64_t b = 0; b < buckets; b++) {
        span p = reduction_owned(t->reduction, b);
        update_piece(t, a, p.at, p.count, held);
        held += p.count;
        reduction_updated(t->reduction, t->params->value, b + 1);
    }
}

/* Clips the gradient and updates the parameters. Collective if sharded. */
static void update(trainer *t, trainer_report *report) {
    double norm = report->gradient_norm, began = log_seconds();
    double copied = reduction_seconds(t->reduction);
    adamw a = {.lr = report->lr,
               .beta1 = t->set.beta1 > 0 ? t->set.beta1 : 0.9,
               .beta2 = 0.999,
               .eps = 1e-8,
               .weight_decay = t->set.weight_decay,
               .step = t->step + 1,
               .scale = (norm > t->set.clip ? t->set.clip / norm : 1.0) / report->scale,
               .rectified = t->set.rectified};
    if (t->sharded)
        update_own(t, &a);
    else
        update_piece(t, &a, 0, t->params->total, 0);
    report->update += log_seconds() - began - (reduction_seconds(t->reduction) - copied);
    began = log_seconds();
    if (t->sharded) reduction_distribute(t->reduction, t->params->value);
    report->exposed += log_seconds() - began;
    plan_params_changed(t->plan);
}

/* Adapts the loss scale and counts skipped steps, except those that the loss scale may have caused.
 */
static status count_skips(trainer *t, const trainer_report *report) {
    bool excused = loss_scale_can_decrease(&t->scale); /* the scaled loss may have overflowed */
    loss_scale_update(&t->scale, !report->skipped);
    if (!report->skipped)
        t->skips = 0;
    else if (!excused)
        t->skips++;
    if (t->skips < SKIPS_MAX) return ST_OK;
    return status_fail(ST_DIVERGED,
                       "training diverged: loss %g and gradient norm %g at step %" PRId64
                       ", the %" PRId64 "th step in a row without finite numbers; lower the "
                       "learning rate",
                       report->loss, report->gradient_norm, t->step + 1, t->skips);
}

status trainer_step(trainer *t, const trainer_feed *feed, bool stop_requested,
                    trainer_report *report) {
    status st = ST_OK;
    double loss = 0, began = log_seconds();
    *report = (trainer_report){0};
    TRY(compute_gradient(t, feed, &loss, report));
    TRY(share_numbers(t, loss, stop_requested, report));
    if (!report->skipped) update(t, report);
    st = count_skips(t, report);
    t->step++;
    report->reduce = reduction_seconds(t->reduction);
    report->total = log_seconds() - began;
done:
    return st;
}

bool trainer_lacks_shared_memory(const trainer *t) {
    return reduction_lacks_shared_memory(t->reduction);
}
const double *trainer_sample_losses(const trainer *t) { return t->sample_losses; }
int64_t trainer_step_count(const trainer *t) { return t->step; }
params *trainer_params(trainer *t) { return t->params; }
const plan *trainer_plan(const trainer *t) { return t->plan; }

int64_t trainer_forward_flops(const trainer *t) {
    return plan_forward_flops(t->plan) / t->set.micro_batch;
}
