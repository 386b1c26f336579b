/* `ctaug bench`: one training step (forward, backward, all-reduce, clip, AdamW, EMA) and one
 * forward run of a network, beside the rate its 3x3 convolutions reach alone. */
#include "pipeline/verb.h"

#include "io/log.h"
#include "io/span.h"
#include "model/net/unet.h"
#include "model/nn/limit.h"
#include "pipeline/trainer.h"

#include <jansson.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum { SIZE = 64, STEPS = 5 };

const char bench_help[] =
    "usage: [mpirun -n N] ctaug bench [--net R64|R32|R16] [--type f32] [--batch N]\n"
    "                                 [--engine onednn|openblas|reference] [--json]\n"
    "\n"
    "Times a training step and a forward run of a network on 64x64 slices and prints them beside "
    "the\n"
    "rate of its 3x3 convolutions alone. Rates of ranks are added up; medians of a few runs.\n"
    "\n"
    "  --net NAME     the network; default R32\n"
    "  --type TYPE    the compute type; default f32, the only one so far\n"
    "  --batch N      global batch; default 16\n"
    "  --engine NAME  default onednn\n"
    "  --json         one JSON object instead of text\n"
    "\n"
    "examples:\n"
    "  ctaug bench --net R64\n"
    "  mpirun -n 2 ctaug bench --net R32 --json\n";

typedef struct bench {
    const comm *comm;
    const kernels *engine;
    const char *net;
    int64_t batch, share;
    graph *graph;
    node predicted, loss;
    double train, forward, limit; /* images/s, images/s, FLOP/s: of all ranks */
    int64_t flops;                /* forward, one image */
} bench;

static double median(double *values, int n) {
    for (int i = 1; i < n; i++)
        for (int k = i; k > 0 && values[k] < values[k - 1]; k--) {
            double swap = values[k];
            values[k] = values[k - 1];
            values[k - 1] = swap;
        }
    return values[n / 2];
}

/* Nothing is learnt here: inputs stay what they are. */
static status fill(void *context, plan *pl, int64_t first, int64_t count) {
    (void)context, (void)pl, (void)first, (void)count;
    return ST_OK;
}

static status describe(bench *b) {
    status st = ST_OK;
    unet_config c;
    TRY(unet_config_find(b->net, &c));
    c.size = SIZE;
    TRY(graph_create(&b->graph));
    b->predicted = unet_build(b->graph, &c);
    node target = graph_input(b->graph, "target", TYPE_F32, SIZE, SIZE, 1);
    node weight = graph_input(b->graph, "weight", TYPE_F32, 1, 1, 1);
    b->loss = graph_regression_loss(b->graph, b->predicted, target, weight, LOSS_L2);
    TRY(graph_check(b->graph));
done:
    return st;
}

static status time_training(bench *b) {
    status st = ST_OK;
    trainer *t = NULL;
    trainer_report r;
    double took[STEPS];
    const trainer_feed feed = {.fill = fill};
    trainer_settings set = {.steps = 1000,
                            .batch = b->batch,
                            .micro_batch = b->share,
                            .lr = 1e-4,
                            .weight_decay = 0.01,
                            .clip = 1,
                            .keep_ema = true,
                            .ema = 0.999,
                            .seed = 1};
    TRY(comm_agree(b->comm, trainer_create(b->comm, &set, b->graph, b->loss, b->engine, &t)));
    for (int i = -1; i < STEPS; i++) { /* the first warms up */
        TRY(comm_barrier(b->comm));
        double began = log_seconds();
        TRY(trainer_step(t, &feed, false, &r));
        if (i >= 0) took[i] = log_seconds() - began;
    }
    b->flops = trainer_forward_flops(t);
    b->train = (double)b->batch / median(took, STEPS);
done:
    trainer_destroy(t);
    return st;
}

static status time_forward(bench *b) {
    status st = ST_OK;
    params *p = NULL;
    plan *pl = NULL;
    double took[STEPS];
    plan_options options = {
        .engine = b->engine, .batch = b->share, .outputs = &b->predicted, .output_count = 1};
    st = params_create(b->graph, &p);
    if (st == ST_OK) st = plan_create(b->graph, p, &options, &pl);
    TRY(comm_agree(b->comm, st));
    for (int i = -1; i < STEPS; i++) {
        TRY(comm_barrier(b->comm));
        double began = log_seconds();
        TRY(comm_agree(b->comm, plan_forward(pl, NULL)));
        if (i >= 0) took[i] = log_seconds() - began;
    }
    b->forward = (double)b->batch / median(took, STEPS);
done:
    plan_destroy(pl);
    params_destroy(p);
    return st;
}

/* All ranks at once, as in training; their rates add up. */
static status time_limit(bench *b) {
    status st = ST_OK;
    TRY(comm_barrier(b->comm));
    TRY(comm_agree(b->comm, limit_measure(b->graph, b->engine, b->share, TYPE_F32, &b->limit)));
    TRY(comm_sum_f64(b->comm, &b->limit, 1));
done:
    return st;
}

static void print(const bench *b, bool as_json) {
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    double train = 3 * b->train * (double)b->flops / 1e9,
           forward = b->forward * (double)b->flops / 1e9;
    double limit = b->limit / 1e9, rss = (double)use.ru_maxrss * 1024;
    int ranks = comm_size(b->comm), threads = omp_get_max_threads();
    if (!as_json) {
        printf("%s f32, engine %s, %d ranks of %d threads, batch %lld\n", b->net, b->engine->name,
               ranks, threads, (long long)b->batch);
        printf("  training  %8.1f images/s  %7.1f GFLOP/s  %5.1f %% of the limit\n", b->train,
               train, 100 * train / limit);
        printf("  forward   %8.1f images/s  %7.1f GFLOP/s\n", b->forward, forward);
        printf("  limit (3x3 convolutions alone)  %.1f GFLOP/s\n", limit);
        printf("  peak memory of a rank  %.2f GB\n", rss / 1e9);
        return;
    }
    json_t *all = json_pack(
        "{s:s, s:s, s:i, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:I}", "net", b->net, "type", "f32",
        "ranks", ranks, "threads", threads, "batch", (json_int_t)b->batch, "train_images_per_s",
        b->train, "forward_images_per_s", b->forward, "train_gflops", train, "forward_gflops",
        forward, "limit_gflops", limit, "peak_rss_bytes", (json_int_t)rss);
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(all);
}

status bench_verb(const comm *c, int argc, char **argv) {
    status st = ST_OK;
    const char *type = "f32", *engine = "onednn";
    bool as_json = false;
    int operands = 0;
    bench b = {.comm = c, .net = "R32", .batch = 16};
    const verb_option options[] = {
        {.name = "--net", .text = &b.net},        {.name = "--type", .text = &type},
        {.name = "--batch", .integer = &b.batch}, {.name = "--engine", .text = &engine},
        {.name = "--json", .flag = &as_json},     {.name = NULL}};
    TRY(verb_parse(argc, argv, options, NULL, 0, &operands));
    if (strcmp(type, "f32") != 0) {
        st = status_fail(ST_USAGE, "bench: the type is %s; f32 is the only one so far", type);
        goto done;
    }
    if (b.batch < comm_size(c) || b.batch > 4096) {
        st = status_fail(ST_USAGE, "bench: the batch is %lld; it must be %d..4096",
                         (long long)b.batch, comm_size(c));
        goto done;
    }
    b.share = (b.batch + comm_size(c) - 1) / comm_size(c);
    TRY(comm_agree(c, kernels_find(engine, &b.engine)));
    TRY(comm_agree(c, describe(&b)));
    TRY(time_training(&b));
    TRY(time_forward(&b));
    TRY(time_limit(&b));
    if (comm_rank(c) == 0) print(&b, as_json);
done:
    graph_destroy(b.graph);
    return st;
}
