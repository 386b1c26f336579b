/* `ctaug bench`: times a training step (forward, backward, all-reduce, clip, AdamW, EMA) and a
 * forward pass of a network, and compares them with the rate of its 3x3 convolutions alone. With
 * --profile also the time of each kind of operator. */
#include "pipeline/cli/verb.h"

#include "io/log.h"
#include "io/alloc.h"
#include "model/nn/conv_baseline.h"
#include "pipeline/cli/bench_latent.h"
#include "pipeline/cli/bench_network.h"
#include "pipeline/cli/median.h"
#include "pipeline/common/precision.h"
#include "pipeline/cli/scaling.h"

#include <inttypes.h>
#include <jansson.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

enum {
    SIZE = 64,   /* pixels of a side of a slice */
    WARM_UP = 2, /* steps that are not counted: they touch memory for the first time */
    STEPS = 9,   /* steps that are timed */
    KINDS_MAX = 32
};

const char bench_help[] =
    "usage: [mpirun -n N] ctaug bench [--net R64|R32|R16] [--type f32|bf16] [--batch N]\n"
    "                                 [--micro-batch N] [--recompute] [--reproducible]\n"
    "                                 [--engine onednn|openblas|reference] [--profile] "
    "[--scaling]\n"
    "                                 [--latent] [--json]\n"
    "\n"
    "Times a training step and a forward pass of a network on 64x64 slices (medians of a few "
    "steps)\n"
    "and compares them with the rate of its 3x3 convolutions alone (best of a few runs, sum over\n"
    "the ranks).\n"
    "\n"
    "  --net NAME       the network; default R32\n"
    "  --type TYPE      compute type, f32 (default) or bf16\n"
    "  --batch N        global batch; default 16\n"
    "  --micro-batch N  slices a rank processes at once; default its share of the batch\n"
    "  --recompute      as train.recompute: blocks\n"
    "  --reproducible   as train.reproducible: on\n"
    "  --engine NAME    default onednn\n"
    "  --profile        also the time of every operator (rank 0)\n"
    "  --scaling        also each rank alone: the efficiency of data-parallel training\n"
    "  --latent         instead: training steps on latents and on pixels of slices of 256 and\n"
    "                   512 pixels; those of pixels take a slice a rank\n"
    "  --json           one JSON object instead of text\n"
    "\n"
    "examples:\n"
    "  ctaug bench --net R64 --type bf16 --profile\n"
    "  mpirun -n 2 ctaug bench --net R32 --json\n"
    "  mpirun -n 2 ctaug bench --net R64 --micro-batch 4 --latent\n";

/* Seconds of one kind of operator over all timed steps. */
typedef struct kind_time {
    const char *kind;
    int count; /* operators of this kind in the network */
    plan_seconds took;
} kind_time;

typedef struct bench {
    const comm *comm;
    const kernels *engine;
    int net;  /* unet_kind */
    int type; /* tensor_type */
    int64_t batch, share, micro_batch;
    bool recompute, reproducible;
    bench_network network;
    double train, forward;         /* images/s of all ranks */
    double conv_baseline;          /* FLOP/s of all ranks in the 3x3 convolutions alone */
    double step, exposed;          /* seconds of the median step: total, exposed communication */
    trainer_report mean;           /* seconds, means over the steps */
    int64_t flops;                 /* of a forward pass of one image */
    int64_t peak_rss, activations; /* bytes of the training process, of the arena of its plan */
    kind_time kinds[KINDS_MAX];
    int kind_count;
    scaling scaling; /* with --scaling */
} bench;

static int by_total(const void *a, const void *b) {
    double x = ((const trainer_report *)a)->total, y = ((const trainer_report *)b)->total;
    return (x > y) - (x < y);
}

/* Adds `sign` times the seconds of one operator to those of its kind. */
static void add_times(bench *b, double sign, const char *kind, const plan_seconds *took) {
    int i = 0;
    while (i < b->kind_count && strcmp(b->kinds[i].kind, kind) != 0) i++;
    if (i == KINDS_MAX) return;
    if (i == b->kind_count) b->kinds[b->kind_count++] = (kind_time){.kind = kind};
    kind_time *k = &b->kinds[i];
    k->count += sign > 0;
    k->took.pack += sign * took->pack;
    k->took.forward += sign * took->forward;
    k->took.recompute += sign * took->recompute;
    k->took.backward += sign * took->backward;
    k->took.add += sign * took->add;
}

static void subtract_times(void *context, const char *kind, const char *name,
                           const plan_seconds *took) {
    (void)name;
    add_times(context, -1, kind, took);
}

static void add(void *context, const char *kind, const char *name, const plan_seconds *took) {
    (void)name;
    add_times(context, 1, kind, took);
}

static trainer_settings settings_of(const bench *b) {
    return (trainer_settings){.steps = 1000,
                              .batch = b->batch,
                              .micro_batch = b->micro_batch,
                              .lr = 1e-4,
                              .weight_decay = 0.01,
                              .clip = 1,
                              .keep_ema = true,
                              .ema = 0.999,
                              .seed = 1,
                              .precision = b->type,
                              .recompute = b->recompute,
                              .sharded = SHARDED_IN_NODE,
                              .reproducible = b->reproducible};
}

static status time_training(bench *b) {
    status st = ST_OK;
    trainer *t = NULL;
    trainer_report report[STEPS], warm;
    const trainer_feed feed = {.fill = bench_fill_noise};
    const trainer_settings set = settings_of(b);
    struct rusage use;
    TRY(comm_agree(
        b->comm, trainer_create(b->comm, &set, b->network.graph, b->network.loss, b->engine, &t)));
    for (int i = 0; i < WARM_UP; i++) TRY(trainer_step(t, &feed, false, &warm));
    plan_times(trainer_plan(t), subtract_times, b);
    for (int i = 0; i < STEPS; i++) {
        TRY(comm_barrier(b->comm));
        TRY(trainer_step(t, &feed, false, &report[i]));
    }
    plan_times(trainer_plan(t), add, b);
    for (int i = 0; i < STEPS; i++) {
        b->mean.total += report[i].total / STEPS;
        b->mean.exposed += report[i].exposed / STEPS;
        b->mean.update += report[i].update / STEPS;
        b->mean.reduce += report[i].reduce / STEPS;
    }
    qsort(report, STEPS, sizeof *report, by_total);
    b->step = report[STEPS / 2].total;
    b->exposed = report[STEPS / 2].exposed;
    b->flops = trainer_forward_flops(t);
    b->train = (double)b->batch / b->step;
    b->activations = plan_arena_bytes(trainer_plan(t));
    getrusage(RUSAGE_SELF, &use);
    b->peak_rss = use.ru_maxrss * 1024;
done:
    trainer_destroy(t);
    return st;
}

static status time_forward(bench *b) {
    status st = ST_OK;
    params *p = NULL;
    plan *pl = NULL;
    double took[STEPS];
    plan_options options = {.engine = b->engine,
                            .batch = b->share,
                            .outputs = &b->network.predicted,
                            .output_count = 1,
                            .compute = b->type};
    st = params_create(b->network.graph, &p);
    if (st == ST_OK) st = plan_create(b->network.graph, p, &options, &pl);
    TRY(comm_agree(b->comm, st));
    params_init(p, 1);
    for (int i = -WARM_UP; i < STEPS; i++) {
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

/* All ranks run at the same time, as in training; the result is the sum of their rates. */
static status time_conv_baseline(bench *b) {
    status st = ST_OK;
    TRY(comm_barrier(b->comm));
    TRY(comm_agree(b->comm, conv_baseline_measure(b->network.graph, b->engine, b->share, b->type,
                                                  &b->conv_baseline)));
    TRY(comm_sum_f64(b->comm, &b->conv_baseline, 1));
done:
    return st;
}

static status time_scaling(bench *b) {
    const trainer_feed feed = {.fill = bench_fill_noise};
    const trainer_settings set = settings_of(b);
    return scaling_measure(b->comm, &set, b->network.graph, b->network.loss, b->engine, &feed,
                           &b->scaling);
}

static double train_gflops(const bench *b) { return 3 * b->train * (double)b->flops / 1e9; }
static double forward_gflops(const bench *b) { return b->forward * (double)b->flops / 1e9; }
static const char *type_name(const bench *b) { return named_table_name(&compute_types, b->type); }
static const char *net_name(const bench *b) { return named_table_name(&unet_kinds, b->net); }

static double sum_of(const plan_seconds *t) {
    return t->pack + t->forward + t->recompute + t->backward + t->add;
}

static int by_cost(const void *a, const void *b) {
    double x = sum_of(&((const kind_time *)a)->took), y = sum_of(&((const kind_time *)b)->took);
    return (x < y) - (x > y);
}

/* Prints the kinds of operators, the most expensive first, and the rest of a step. */
static void print_profile(bench *b) {
    const double ms = 1000.0 / STEPS;
    double all = 0;
    printf("\n  ms a step        ops    pack forward  recomp backward accumul     sum   share\n");
    qsort(b->kinds, (size_t)b->kind_count, sizeof *b->kinds, by_cost);
    for (int i = 0; i < b->kind_count; i++) {
        const plan_seconds *t = &b->kinds[i].took;
        all += sum_of(t);
        printf("  %-16s %3d %7.1f %7.1f %7.1f  %7.1f %7.1f %7.1f  %5.1f %%\n", b->kinds[i].kind,
               b->kinds[i].count, ms * t->pack, ms * t->forward, ms * t->recompute,
               ms * t->backward, ms * t->add, ms * sum_of(t),
               100 * sum_of(t) / STEPS / b->mean.total);
    }
    double update = 1000 * b->mean.update, exposed = 1000 * b->mean.exposed;
    double step = 1000 * b->mean.total;
    double reduce = 1000 * b->mean.reduce;
    printf("  %-58s %7.1f  %5.1f %%\n", "waiting for other ranks", exposed, 100 * exposed / step);
    printf("  %-58s %7.1f  %5.1f %%\n", "summing gradients, copying values", reduce,
           100 * reduce / step);
    printf("  %-58s %7.1f  %5.1f %%\n", "clip, AdamW, EMA", update, 100 * update / step);
    double rest = step - ms * all - exposed - reduce - update;
    printf("  %-58s %7.1f  %5.1f %%\n", "other", rest, 100 * rest / step);
    printf("  %-58s %7.1f\n", "step (mean, as all times above)", step);
}

static void print_scaling(const scaling *s, int ranks) {
    printf("  %d ranks together, sum of each alone (images/s), efficiency\n", ranks);
    printf("    median round  %8.2f  %8.2f  %6.1f %%\n", s->together, s->alone,
           100 * s->efficiency);
    printf("    best of each  %8.2f  %8.2f  %6.1f %%\n", s->together_best, s->alone_best,
           100 * s->efficiency_best);
    printf("    all at once without all-reduce: %.2f, %.1f %%: the loss of the machine itself with "
           "all "
           "cores busy\n",
           s->apart, 100 * s->machine);
}

static void print(bench *b, bool profile) {
    double baseline = b->conv_baseline / 1e9;
    printf("%s %s, engine %s, %d ranks of %d threads, batch %" PRId64 "\n", net_name(b),
           type_name(b), b->engine->name, comm_size(b->comm), omp_get_max_threads(), b->batch);
    printf(
        "  training  %8.1f images/s  %7.1f GFLOP/s  %5.1f %% of the library's convolution rate\n",
        b->train, train_gflops(b), 100 * train_gflops(b) / baseline);
    printf("  forward   %8.1f images/s  %7.1f GFLOP/s\n", b->forward, forward_gflops(b));
    printf("  library   %.1f GFLOP/s: its 3x3 convolutions alone, which our own may exceed\n",
           baseline);
    printf("  communication  %.1f ms of waiting and %.1f ms of summing in a step of %.1f ms\n",
           1000 * b->exposed, 1000 * b->mean.reduce, 1000 * b->step);
    printf("  peak memory of a training rank  %.2f GB, activations %.2f GB\n",
           (double)b->peak_rss / 1e9, (double)b->activations / 1e9);
    if (b->scaling.alone > 0) print_scaling(&b->scaling, comm_size(b->comm));
    if (profile) print_profile(b);
}

static void print_json(const bench *b) {
    json_t *all = json_pack(
        "{s:s, s:s, s:i, s:i, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I, s:I}", "net",
        net_name(b), "type", type_name(b), "ranks", comm_size(b->comm), "threads",
        omp_get_max_threads(), "batch", (json_int_t)b->batch, "train_images_per_s", b->train,
        "forward_images_per_s", b->forward, "train_gflops", train_gflops(b), "forward_gflops",
        forward_gflops(b), "limit_gflops", b->conv_baseline / 1e9, "step_seconds", b->step,
        "exposed_seconds", b->exposed, "reduce_seconds", b->mean.reduce, "activation_bytes",
        (json_int_t)b->activations, "peak_rss_bytes", (json_int_t)b->peak_rss);
    json_t *kinds = json_object();
    for (int i = 0; i < b->kind_count; i++) {
        const plan_seconds *t = &b->kinds[i].took;
        json_object_set_new(kinds, b->kinds[i].kind,
                            json_pack("{s:i, s:f, s:f, s:f, s:f, s:f}", "ops", b->kinds[i].count,
                                      "pack", t->pack / STEPS, "forward", t->forward / STEPS,
                                      "again", t->recompute / STEPS, "backward",
                                      t->backward / STEPS, "joins", t->add / STEPS));
    }
    json_object_set_new(all, "seconds_by_operator", kinds);
    const scaling *s = &b->scaling;
    if (s->alone > 0)
        json_object_set_new(
            all, "scaling",
            json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "together_images_per_s",
                      s->together, "together_best_images_per_s", s->together_best,
                      "alone_images_per_s", s->alone, "alone_best_images_per_s", s->alone_best,
                      "efficiency", s->efficiency, "efficiency_best", s->efficiency_best,
                      "apart_images_per_s", s->apart, "machine", s->machine));
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(all);
}

static status check(bench *b, bool with_scaling, bool profile, bool latent) {
    int size = comm_size(b->comm);
    if (latent && (with_scaling || profile))
        return status_fail(ST_USAGE, "bench: --latent goes without --scaling and --profile");
    if (b->batch < size || b->batch > 4096)
        return status_fail(ST_USAGE, "bench: the batch is %" PRId64 "; it must be %d..4096",
                           b->batch, size);
    if (with_scaling && b->batch % size != 0)
        return status_fail(
            ST_USAGE, "bench: --scaling wants a batch that is a multiple of the %d ranks", size);
    b->share = (b->batch + size - 1) / size;
    if (b->micro_batch == 0) b->micro_batch = b->share;
    if (b->micro_batch < 1 || b->micro_batch > b->batch)
        return status_fail(ST_USAGE,
                           "bench: the micro-batch is %" PRId64 "; it must be 1..%" PRId64,
                           b->micro_batch, b->batch);
    return ST_OK;
}

status bench_verb(const comm *c, int argc, char **argv) {
    status st = ST_OK;
    bool as_json = false, profile = false, with_scaling = false, latent = false;
    int operands = 0, engine = ENGINE_ONEDNN;
    bench b = {.comm = c, .net = UNET_R32, .type = TYPE_F32, .batch = 16};
    const verb_option options[] = {
        {.name = "--net", .choice = &b.net, .choices = &unet_kinds},
        {.name = "--type", .choice = &b.type, .choices = &compute_types},
        {.name = "--batch", .integer = &b.batch},
        {.name = "--micro-batch", .integer = &b.micro_batch},
        {.name = "--recompute", .flag = &b.recompute},
        {.name = "--reproducible", .flag = &b.reproducible},
        {.name = "--engine", .choice = &engine, .choices = &engine_kinds},
        {.name = "--profile", .flag = &profile},
        {.name = "--scaling", .flag = &with_scaling},
        {.name = "--latent", .flag = &latent},
        {.name = "--json", .flag = &as_json},
        {.name = NULL}};
    TRY(verb_parse(argc, argv, options, NULL, 0, &operands));
    TRY(check(&b, with_scaling, profile, latent));
    b.engine = kernels_of(engine);
    if (latent) {
        const trainer_settings set = settings_of(&b);
        st = bench_latent(c, (unet_kind)b.net, &set, b.engine, as_json);
        goto done;
    }
    TRY(comm_agree(c, bench_network_open((unet_kind)b.net, SIZE, 1, &b.network)));
    TRY(time_training(&b));
    TRY(time_forward(&b));
    TRY(time_conv_baseline(&b));
    if (with_scaling) TRY(time_scaling(&b));
    if (comm_rank(c) == 0 && as_json) print_json(&b);
    if (comm_rank(c) == 0 && !as_json) print(&b, profile);
done:
    graph_destroy(b.network.graph);
    return st;
}
