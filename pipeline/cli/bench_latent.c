/* Times the same network on latents and on pixels of slices of 256 and 512 pixels, then the
 * decoder. A training of pixels takes a slice a rank and step, which is what fits. */
#include "pipeline/cli/bench_latent.h"

#include "io/log.h"
#include "pipeline/cli/bench_decode.h"
#include "pipeline/cli/bench_network.h"
#include "pipeline/cli/median.h"
#include "pipeline/common/precision.h"

#include <inttypes.h>
#include <jansson.h>
#include <omp.h>
#include <stdio.h>
#include <sys/resource.h>

enum { STEPS = 5 };

/* Cases with less memory come first: the peak of a process never falls. */
typedef struct latent_case {
    int64_t size, factor; /* pixels; 1: no latents */
    int64_t channels;
    int steps;         /* that are timed, after one that is not */
    double rate;       /* images/s of all ranks */
    int64_t peak, net; /* bytes; FLOP of an image forward */
} latent_case;

static status measure(const comm *c, unet_kind net, const trainer_settings *set,
                      const kernels *engine, latent_case *of) {
    status st = ST_OK;
    bench_network n;
    trainer *t = NULL;
    trainer_settings own = *set;
    trainer_report report;
    double took[STEPS];
    struct rusage use;
    const trainer_feed feed = {.fill = bench_fill_noise};
    if (of->factor == 1) {
        own.batch = comm_size(c);
        own.micro_batch = 1;
    }
    TRY(comm_agree(c, bench_network_open(net, of->size / of->factor, of->channels, &n)));
    TRY(trainer_create(c, &own, n.graph, n.loss, engine, &t));
    for (int i = -1; i < of->steps; i++) {
        TRY(comm_barrier(c));
        TRY(trainer_step(t, &feed, false, &report));
        if (i >= 0) took[i] = report.total;
    }
    of->rate = (double)own.batch / median(took, of->steps);
    of->net = trainer_forward_flops(t);
    getrusage(RUSAGE_SELF, &use);
    of->peak = use.ru_maxrss * 1024;
done:
    trainer_destroy(t);
    graph_destroy(n.graph);
    return st;
}

static void print(const latent_case *cases, int n) {
    printf("  slices of   network on            images/s  GFLOP an image  peak GB a rank\n");
    for (int i = 0; i < n; i++) {
        const int64_t side = cases[i].size / cases[i].factor;
        char on[64];
        snprintf(on, sizeof on, "%s %" PRId64 " x %" PRId64 " x %" PRId64,
                 cases[i].factor == 1 ? "pixels" : "latents", side, side, cases[i].channels);
        printf("  %9" PRId64 "   %-20s %9.2f  %14.1f  %14.2f\n", cases[i].size, on, cases[i].rate,
               (double)cases[i].net / 1e9, (double)cases[i].peak / 1e9);
    }
}

static void print_decoding(const decode_case *d) {
    printf("  decoding a slice of %" PRId64
           ": whole %.2f s with %.0f MB of activations, in tiles %.2f s "
           "with %.0f MB and %.0f MB between pieces\n",
           d->size, d->whole_s, (double)d->whole_bytes / 1e6, d->tiled_s,
           (double)d->tile_bytes / 1e6, (double)d->kept_bytes / 1e6);
}

static json_t *decoding_json(const decode_case *d) {
    return json_pack("{s:I, s:f, s:f, s:I, s:I, s:I}", "size", (json_int_t)d->size, "whole_s",
                     d->whole_s, "tiled_s", d->tiled_s, "whole_bytes", (json_int_t)d->whole_bytes,
                     "tile_bytes", (json_int_t)d->tile_bytes, "kept_bytes",
                     (json_int_t)d->kept_bytes);
}

static json_t *case_json(const latent_case *of) {
    return json_pack("{s:I, s:I, s:I, s:f, s:I, s:I}", "size", (json_int_t)of->size, "factor",
                     (json_int_t)of->factor, "channels", (json_int_t)of->channels,
                     "train_images_per_s", of->rate, "forward_flop", (json_int_t)of->net,
                     "peak_rss_bytes", (json_int_t)of->peak);
}

status bench_latent(const comm *c, unet_kind net, const trainer_settings *set,
                    const kernels *engine, bool as_json) {
    status st = ST_OK;
    latent_case cases[] = {{.size = 256, .factor = 4, .channels = 4, .steps = STEPS},
                           {.size = 512, .factor = 8, .channels = 4, .steps = STEPS},
                           {.size = 256, .factor = 1, .channels = 1, .steps = 3},
                           {.size = 512, .factor = 1, .channels = 1, .steps = 1}};
    enum { CASES = sizeof cases / sizeof *cases };
    decode_case decoding;
    json_t *list = json_array();
    for (int i = 0; i < CASES; i++) TRY(measure(c, net, set, engine, &cases[i]));
    TRY(comm_agree(c, comm_rank(c) == 0 ? bench_decode(engine, set->precision, &decoding) : ST_OK));
    if (comm_rank(c) != 0) goto done;
    const double small = cases[0].rate / cases[2].rate, large = cases[1].rate / cases[3].rate;
    if (!as_json) {
        printf("%s %s, engine %s, %d ranks of %d threads, batch %" PRId64
               " of latents, %d of pixels\n",
               named_table_name(&unet_kinds, net), named_table_name(&compute_types, set->precision),
               engine->name, comm_size(c), omp_get_max_threads(), set->batch, comm_size(c));
        print(cases, CASES);
        printf("  latents against pixels: %.1f times the images at 256, %.1f times at 512\n", small,
               large);
        print_decoding(&decoding);
        goto done;
    }
    for (int i = 0; i < CASES; i++) json_array_append_new(list, case_json(&cases[i]));
    json_t *all = json_pack(
        "{s:s, s:s, s:i, s:i, s:I, s:O, s:f, s:f, s:o}", "net", named_table_name(&unet_kinds, net),
        "type", named_table_name(&compute_types, set->precision), "ranks", comm_size(c), "threads",
        omp_get_max_threads(), "batch", (json_int_t)set->batch, "cases", list, "ratio_256", small,
        "ratio_512", large, "decoding", decoding_json(&decoding));
    json_dumpf(all, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(all);
done:
    json_decref(list);
    return st;
}
