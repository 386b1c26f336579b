/* The persistent state of a trainer: checkpoints hold whole arrays by parameter, independent of the
 * sharding. Also the comparison of the parameters of all ranks. */
#include "pipeline/trainer/trainer.h"
#include "pipeline/trainer/trainer_detail.h"

#include "io/activity.h"
#include "io/alloc.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SCALARS = 5 };
#define SIGMA_DATA "sigma_data" /* beside them, if there is one */

/* The state as whole arrays, as checkpoints hold it. The pointers are those of the trainer, except
 * on rank 0 of a sharded trainer. */
typedef struct whole_state {
    float *m, *v, *ema; /* [params total]; ema NULL without EMA */
    float *memory;      /* owned memory of m and v; NULL: they are the trainer's */
} whole_state;

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
        st = status_fail(ST_INTERNAL, "the ranks hold different parameters after step %" PRId64,
                         t->step);
    return st;
}

void trainer_extract(const trainer *t, const float *all, float *held) {
    int64_t owner = reduction_owner(t->reduction);
    if (!t->sharded)
        memcpy(held, all, (size_t)t->params->total * sizeof *held);
    else if (owner >= 0)
        partition_extract(reduction_partition(t->reduction), owner, all, held);
}

/* Gathers a sharded array in the gradient buffer of every rank. Collective. */
static void gather_in_gradient(const trainer *t, const float *held) {
    int64_t owner = reduction_owner(t->reduction);
    if (owner >= 0)
        partition_insert(reduction_partition(t->reduction), owner, held, t->params->grad);
    reduction_distribute(t->reduction, t->params->grad);
}

const float *trainer_ema(trainer *t) {
    if (!t->ema || !t->sharded) return t->ema;
    gather_in_gradient(t, t->ema);
    return t->params->grad;
}

/* Appends the arrays "<group>/<parameter>" of one flat buffer to `arrays`, which has *n so far. */
static void name_arrays(const params *p, const char *group, float *flat, checkpoint_array *arrays,
                        int64_t *n) {
    for (int64_t i = 0; i < p->count; i++) {
        checkpoint_array *a = &arrays[(*n)++];
        *a = (checkpoint_array){.rank = p->list[i].rank, .at = flat + p->list[i].offset};
        memcpy(a->shape, p->list[i].shape, sizeof a->shape);
        snprintf(a->name, sizeof a->name, "%s/%s", group, p->list[i].name);
    }
}

/* All arrays of a checkpoint; the caller frees *arrays with free(). Local. */
static status all_arrays(const trainer *t, const whole_state *w, checkpoint_array **arrays,
                         int64_t *n) {
    *n = 0;
    const int64_t most = 4 * t->params->count + t->set.extra_count;
    status st = array_alloc(arrays, most, sizeof **arrays, "checkpoint arrays");
    if (st != ST_OK) return st;
    name_arrays(t->params, "parameters", t->params->value, *arrays, n);
    name_arrays(t->params, "adam_m", w->m, *arrays, n);
    name_arrays(t->params, "adam_v", w->v, *arrays, n);
    if (w->ema) name_arrays(t->params, "ema", w->ema, *arrays, n);
    for (int64_t i = 0; i < t->set.extra_count; i++) (*arrays)[(*n)++] = t->set.extra[i];
    return ST_OK;
}

/* Provides whole arrays on rank 0 of a sharded trainer; its EMA uses the gradient buffer, so it
 * must be gathered last. The caller frees w->memory. Local. */
static status open_whole(const trainer *t, whole_state *w) {
    int64_t total = t->params->total;
    *w = (whole_state){.m = t->m, .v = t->v, .ema = t->ema};
    if (!t->sharded || comm_rank(t->comm) != 0) return ST_OK;
    status st = array_alloc(&w->memory, 2 * total, sizeof *w->memory, "a checkpoint");
    if (st != ST_OK) return st;
    w->m = w->memory;
    w->v = w->memory + total;
    w->ema = t->ema ? t->params->grad : NULL;
    return ST_OK;
}

/* Gathers a sharded array in `all` of rank 0. Collective. */
static void gather(const trainer *t, const float *held, float *all) {
    if (!held || !t->sharded) return;
    gather_in_gradient(t, held);
    if (comm_rank(t->comm) == 0 && all != t->params->grad)
        memcpy(all, t->params->grad, (size_t)t->params->total * sizeof *all);
}

/* The inverse: distributes the array `all` of rank 0 over the ranks. Collective. */
static status scatter(const trainer *t, const float *all, float *held) {
    status st = ST_OK;
    float *joined = t->sharded ? t->params->grad : held;
    int64_t bytes = t->params->total * (int64_t)sizeof *held;
    if (!held) return ST_OK;
    if (comm_rank(t->comm) == 0 && joined != all) memcpy(joined, all, (size_t)bytes);
    TRY(comm_broadcast(t->comm, joined, bytes, 0));
    if (t->sharded) trainer_extract(t, joined, held);
done:
    return st;
}

status trainer_save(trainer *t, const char *directory, const char *fingerprint, int keep) {
    status st = ST_OK;
    whole_state w = {0};
    checkpoint_array *arrays = NULL;
    int64_t n = 0;
    const checkpoint_scalar scalars[SCALARS + 1] = {{"step", (double)t->step},
                                                    {"skips", (double)t->skips},
                                                    {"loss_scale", loss_scale_saved(&t->scale)},
                                                    {"loss_scale_good", (double)t->scale.good},
                                                    {"bf16", t->set.precision == TYPE_BF16},
                                                    {SIGMA_DATA, t->set.sigma_data}};
    TRY(comm_agree(t->comm, open_whole(t, &w)));
    gather(t, t->m, w.m);
    gather(t, t->v, w.v);
    gather(t, t->ema, w.ema);
    if (comm_rank(t->comm) == 0) {
        st = all_arrays(t, &w, &arrays, &n);
        if (st == ST_OK)
            st = checkpoint_write(directory, t->step, fingerprint, arrays, n, scalars,
                                  SCALARS + (t->set.sigma_data > 0), keep);
        if (st == ST_OK) activity_saved(true); /* it counts before the others know of it */
    }
    st = comm_agree(t->comm, st);
    if (st == ST_OK) activity_saved(true);
done:
    free(arrays);
    free(w.memory);
    return st;
}

/* Reads a checkpoint. Local (rank 0). */
static status read_whole(const trainer *t, const char *directory, int64_t step,
                         const whole_state *w, checkpoint_scalar *scalars) {
    status st = ST_OK;
    checkpoint_array *arrays = NULL;
    int64_t n = 0;
    TRY(all_arrays(t, w, &arrays, &n));
    TRY(checkpoint_read(directory, step, arrays, n, scalars, SCALARS));
done:
    free(arrays);
    return st;
}

static void log_damaged(void *context, const char *moved_to, const char *reason) {
    log_warning(context, "checkpoint set aside as %s: %s", moved_to, reason);
}

status trainer_find(const comm *c, const char *directory, const char *fingerprint, journal *log,
                    checkpoint_choice *out) {
    status st = ST_OK;
    *out = (checkpoint_choice){.step = -1};
    /* Rank 0 decides: other nodes may see a change of the directory later. */
    if (comm_rank(c) == 0) st = checkpoint_find(directory, fingerprint, log_damaged, log, out);
    TRY(comm_agree(c, st));
    TRY(comm_broadcast(c, out, sizeof *out, 0));
done:
    return st;
}

/* Gives all ranks the arrays of the caller. Collective. */
static status share_extra(const trainer *t) {
    status st = ST_OK;
    for (int64_t i = 0; i < t->set.extra_count; i++) {
        const checkpoint_array *a = &t->set.extra[i];
        int64_t bytes = sizeof(float);
        for (int k = 0; k < a->rank; k++) bytes *= a->shape[k];
        TRY(comm_broadcast(t->comm, a->at, bytes, 0));
    }
done:
    return st;
}

/* The scalars of a checkpoint, in the order of the file. */
enum { STEP, SKIPS, LOSS_SCALE, LOSS_SCALE_GOOD, BF16 };

static bool is_count(double x) { return x >= 0 && x <= 0x1p53 && x == floor(x); }

/* A hash protects against damage, not against a file that was made up. */
static status check_scalars(const checkpoint_scalar s[SCALARS], int64_t step,
                            const char *directory) {
    const bool good = s[STEP].value == (double)step && is_count(s[SKIPS].value) &&
                      isfinite(s[LOSS_SCALE].value) && s[LOSS_SCALE].value >= 0 &&
                      is_count(s[LOSS_SCALE_GOOD].value) &&
                      /* f32 has no loss scale: 0 */
                      (s[BF16].value == 0 || (s[BF16].value == 1 && s[LOSS_SCALE].value > 0));
    if (good) return ST_OK;
    return status_fail(ST_INTEGRITY,
                       "%s: the checkpoint of step %" PRId64
                       " has impossible scalars (step %g, skips %g, loss scale %g after %g steps, "
                       "bf16 %g)",
                       directory, step, s[STEP].value, s[SKIPS].value, s[LOSS_SCALE].value,
                       s[LOSS_SCALE_GOOD].value, s[BF16].value);
}

status trainer_kept(const comm *c, const char *directory, const char *fingerprint,
                    checkpoint_kept **out, int64_t *count) {
    status st = ST_OK;
    void *block = NULL;
    int64_t bytes = 0;
    *out = NULL;
    *count = 0;
    if (comm_rank(c) == 0) {
        st = checkpoint_list(directory, fingerprint, out, count);
        block = *out;
        bytes = *count * (int64_t)sizeof **out;
    }
    *out = NULL;
    TRY(comm_agree(c, st));
    TRY(comm_broadcast_block(c, &block, &bytes, 0));
    *out = block;
    *count = bytes / (int64_t)sizeof **out;
    block = NULL;
done:
    free(block);
    return st;
}

status trainer_restore(trainer *t, const char *directory, int64_t step) {
    status st = ST_OK;
    whole_state w = {0};
    bool first = comm_rank(t->comm) == 0;
    checkpoint_scalar scalars[SCALARS] = {[STEP] = {.name = "step"},
                                          [SKIPS] = {.name = "skips"},
                                          [LOSS_SCALE] = {.name = "loss_scale"},
                                          [LOSS_SCALE_GOOD] = {.name = "loss_scale_good"},
                                          [BF16] = {.name = "bf16"}};
    st = open_whole(t, &w);
    if (st == ST_OK && first) st = read_whole(t, directory, step, &w, scalars);
    if (st == ST_OK && first) st = check_scalars(scalars, step, directory);
    TRY(comm_agree(t->comm, st));
    TRY(comm_broadcast(t->comm, scalars, sizeof scalars, 0));
    TRY(comm_broadcast(t->comm, t->params->value, t->params->total * (int64_t)sizeof(float), 0));
    TRY(scatter(t, w.ema, t->ema)); /* first: the others use the gradient buffer, where it is */
    TRY(scatter(t, w.m, t->m));
    TRY(scatter(t, w.v, t->v));
    TRY(share_extra(t));
    t->step = step;
    t->skips = (int64_t)scalars[SKIPS].value;
    loss_scale_restore(&t->scale, scalars[LOSS_SCALE].value,
                       (int64_t)scalars[LOSS_SCALE_GOOD].value);
    t->changed_precision = (scalars[BF16].value != 0) != (t->set.precision == TYPE_BF16);
    plan_params_changed(t->plan);
    activity_saved(true);
done:
    free(w.memory);
    return st;
}

status trainer_begin(trainer *t, status (*read)(void *context, params *p), void *context) {
    status st = ST_OK;
    if (comm_rank(t->comm) == 0) st = read(context, t->params);
    TRY(comm_agree(t->comm, st));
    TRY(comm_broadcast(t->comm, t->params->value, t->params->total * (int64_t)sizeof(float), 0));
    if (t->ema) trainer_extract(t, t->params->value, t->ema);
    plan_params_changed(t->plan);
done:
    return st;
}

bool trainer_changed_precision(const trainer *t) { return t->changed_precision; }

status trainer_arrays(const params *p, const char *group, float *flat, checkpoint_array **arrays) {
    int64_t n = 0;
    status st = array_alloc(arrays, p->count, sizeof **arrays, "checkpoint arrays");
    if (st == ST_OK) name_arrays(p, group, flat, *arrays, &n);
    return st;
}

status trainer_load_ema(const char *directory, int64_t step, params *p) {
    status st = ST_OK;
    checkpoint_array *arrays = NULL;
    TRY(trainer_arrays(p, "ema", p->value, &arrays));
    TRY(checkpoint_read(directory, step, arrays, p->count, NULL, 0));
done:
    free(arrays);
    return st;
}

status trainer_load_sigma_data(const char *directory, int64_t step, double *sigma_data) {
    status st = ST_OK;
    checkpoint_scalar scalar = {.name = SIGMA_DATA};
    TRY(checkpoint_read(directory, step, NULL, 0, &scalar, 1));
    *sigma_data = scalar.value;
done:
    return st;
}
