/* For tests/test_trainer_ranks.py: a small training, the same on any number of ranks.
 *
 *   tool_trainer modes
 *       trains 4 steps in each of several modes of the all-reduce; rank 0 prints for each
 *       "<mode> <hash of parameters and EMA> <loss> <gradient norm>"
 *   tool_trainer resume DIR TO on|off
 *       trains reproducibly from the newest checkpoint in DIR, if any, to step TO, with or without
 *       sharding; saves; prints "resumed <hash> <from>"
 *   tool_trainer fail TOGETHER
 *       the samples of the last rank fail in the second step
 *   tool_trainer refuse BATCH MICRO f32|bf16
 *       opens a reproducible trainer with settings that must be refused
 */
#include "io/alloc.h"
#include "pipeline/trainer/trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BATCH = 16, SIZE = 8 };

typedef struct mode {
    const char *name;
    trainer_settings set;
} mode;

static const mode modes[] = {
    {"plain", {0}},
    {"plain-sharded", {.sharded = SHARDED_YES}},
    {"apart", {.together = 1}},
    {"apart-sharded", {.together = 1, .sharded = SHARDED_YES}},
    {"pairs", {.together = 2}},
    {"pairs-sharded", {.together = 2, .sharded = SHARDED_YES}}, /* one of 3 ranks owns nothing */
    {"wire", {.together = 1, .bf16_wire = true}},
    {"wire-sharded", {.together = 1, .bf16_wire = true, .sharded = SHARDED_YES}},
    {"fixed", {.reproducible = true}},
    {"fixed-sharded", {.reproducible = true, .sharded = SHARDED_YES}},
    {"fixed-apart", {.reproducible = true, .together = 1}},
    {"fixed-pairs-sharded", {.reproducible = true, .together = 2, .sharded = SHARDED_YES}},
};

/* context: the sample that cannot be read, int64_t; -1: none. */
static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    status st = ST_OK;
    const int64_t *missing = context;
    tensor x, target;
    TRY(plan_input(pl, "x", &x));
    TRY(plan_input(pl, "target", &target));
    for (int64_t b = 0; b < count; b++) {
        if (first + b == *missing)
            TRY(status_fail(ST_INPUT, "sample %" PRId64 " cannot be read", *missing));
        for (int64_t i = 0; i < SIZE * SIZE; i++) {
            ((float *)x.at)[b * SIZE * SIZE + i] = sinf((float)((first + b) * 7 + i));
            ((float *)target.at)[b * SIZE * SIZE + i] = cosf((float)((first + b) * 5 + i));
        }
    }
done:
    return st;
}

static status describe(graph **g, node *loss) {
    status st;
    TRY(graph_create(g));
    node x = graph_input(*g, "x", TYPE_F32, SIZE, SIZE, 1);
    node y = graph_conv(*g, "a", x, 16, 3, 1, INIT_UNIFORM);
    y = graph_norm(*g, "n", y, 2, NODE_NONE, true);
    y = graph_dropout(*g, y, 0.1f);
    y = graph_conv(*g, "b", y, 16, 3, 1, INIT_UNIFORM);
    y = graph_norm(*g, "m", y, 2, NODE_NONE, true);
    y = graph_conv(*g, "c", y, 1, 3, 1, INIT_UNIFORM);
    *loss = graph_regression_loss(*g, y, graph_input(*g, "target", TYPE_F32, SIZE, SIZE, 1),
                                  graph_input(*g, "weight", TYPE_F32, 1, 1, 1), LOSS_L2);
    TRY(graph_check(*g));
done:
    return st;
}

static status open_trainer(const comm *c, const graph *g, node loss, trainer_settings set,
                           trainer **out) {
    const kernels *engine = NULL;
    if (set.batch == 0) set.batch = BATCH;
    if (set.micro_batch == 0) set.micro_batch = 2;
    set.steps = 30;
    set.lr = 1e-2;
    set.clip = 1;
    set.weight_decay = 0.01;
    set.keep_ema = true;
    set.ema = 0.9;
    set.seed = 1;
    *out = NULL;
    status st = ST_OK;
    engine = kernels_of(ENGINE_ONEDNN);
    return st == ST_OK ? trainer_create(c, &set, g, loss, engine, out) : st;
}

static status run_to(trainer *t, int64_t step, int64_t missing, trainer_report *report) {
    status st = ST_OK;
    const trainer_feed feed = {.fill = fill, .context = &missing};
    while (trainer_step_count(t) < step) {
        TRY(trainer_step(t, &feed, false, report));
        TRY(trainer_check_equal(t));
    }
done:
    return st;
}

/* Collective. */
static uint64_t hash_of(trainer *t) {
    const params *p = trainer_params(t);
    const float *ema = trainer_ema(t);
    uint64_t h = 14695981039346656037u;
    for (int64_t i = 0; i < p->total; i++) {
        uint32_t bits[2];
        memcpy(&bits[0], &p->value[i], 4);
        memcpy(&bits[1], &ema[i], 4);
        h = ((h ^ bits[0]) * 1099511628211u ^ bits[1]) * 1099511628211u;
    }
    return h;
}

static status train_modes(const comm *c, const graph *g, node loss) {
    status st = ST_OK;
    trainer *t = NULL;
    int size = comm_size(c);
    for (size_t k = 0; k < sizeof modes / sizeof *modes; k++) {
        trainer_report report;
        if (modes[k].set.reproducible && (size & (size - 1)) != 0) continue;
        TRY(open_trainer(c, g, loss, modes[k].set, &t));
        TRY(run_to(t, 4, -1, &report));
        uint64_t hash = hash_of(t);
        if (comm_rank(c) == 0)
            printf("%s %016" PRIx64 " %.17g %.17g\n", modes[k].name, hash, report.loss,
                   report.gradient_norm);
        trainer_destroy(t);
        t = NULL;
    }
done:
    trainer_destroy(t);
    return st;
}

static status resume(const comm *c, const graph *g, node loss, char **argv) {
    status st = ST_OK;
    trainer *t = NULL;
    trainer_report report;
    checkpoint_choice found;
    const trainer_settings set = {.reproducible = true,
                                  .sharded = strcmp(argv[3], "on") == 0 ? SHARDED_YES : SHARDED_NO};
    TRY(open_trainer(c, g, loss, set, &t));
    TRY(trainer_find(c, argv[1], "a study", NULL, &found));
    if (found.step >= 0) TRY(trainer_restore(t, argv[1], found.step));
    int64_t from = trainer_step_count(t);
    TRY(run_to(t, atoi(argv[2]), -1, &report));
    TRY(trainer_save(t, argv[1], "a study", 2));
    uint64_t hash = hash_of(t);
    if (comm_rank(c) == 0) printf("resumed %016" PRIx64 " %" PRId64 "\n", hash, from);
done:
    trainer_destroy(t);
    return st;
}

/* Every rank prints how it ended. */
static status fail(const comm *c, const graph *g, node loss, int together) {
    status st = ST_OK;
    trainer *t = NULL;
    trainer_report report;
    TRY(open_trainer(c, g, loss, (trainer_settings){.together = together}, &t));
    st = run_to(t, 4, 2 * BATCH - 1, &report);
    printf("after %" PRId64 " steps: %s\n", trainer_step_count(t), status_message());
done:
    trainer_destroy(t);
    return st;
}

static status refuse(const comm *c, const graph *g, node loss, char **argv) {
    trainer *t = NULL;
    const trainer_settings set = {.reproducible = true,
                                  .batch = atoi(argv[1]),
                                  .micro_batch = atoi(argv[2]),
                                  .bf16_wire = strcmp(argv[3], "bf16") == 0};
    status st = open_trainer(c, g, loss, set, &t);
    trainer_destroy(t);
    return st;
}

int main(int argc, char **argv) {
    comm *c = NULL;
    graph *g = NULL;
    node loss = NODE_NONE;
    status st = comm_start(&argc, &argv, &c);
    if (st == ST_OK) st = describe(&g, &loss);
    if (st == ST_OK) {
        if (argc == 2 && strcmp(argv[1], "modes") == 0)
            st = train_modes(c, g, loss);
        else if (argc == 5 && strcmp(argv[1], "resume") == 0)
            st = resume(c, g, loss, argv + 1);
        else if (argc == 3 && strcmp(argv[1], "fail") == 0)
            st = fail(c, g, loss, atoi(argv[2]));
        else if (argc == 5 && strcmp(argv[1], "refuse") == 0)
            st = refuse(c, g, loss, argv + 1);
        else
            st = ST_USAGE;
    }
    if (st != ST_OK && (!c || comm_rank(c) == 0)) fprintf(stderr, "%s\n", status_message());
    graph_destroy(g);
    comm_stop(c);
    return st;
}
