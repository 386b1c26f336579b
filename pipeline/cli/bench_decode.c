/* Times the decoder of the autoencoder on whole slices and in tiles. */
#include "pipeline/cli/bench_decode.h"

#include "io/alloc.h"
#include "io/log.h"
#include "model/net/autoencoder_tiles.h"
#include "pipeline/common/codec.h"
#include "pipeline/study/study.h"

#include <math.h>
#include <string.h>

static status measure_whole(const autoencoder_graph *graph, params *p, const plan_options *options,
                            const float *latent, decode_case *out) {
    status st = ST_OK;
    plan *pl = NULL;
    tensor to;
    TRY(plan_create(graph->g, p, options, &pl));
    TRY(plan_input(pl, "latent", &to));
    memcpy(to.at, latent, (size_t)tensor_bytes(&to));
    TRY(plan_forward(pl, NULL)); /* touches the memory */
    const double start = log_seconds();
    TRY(plan_forward(pl, NULL));
    out->whole_s = log_seconds() - start;
    out->whole_bytes = plan_arena_bytes(pl);
done:
    plan_destroy(pl);
    return st;
}

static status measure_tiles(const autoencoder_config *c, const params *p,
                            const plan_options *options, const float *latent, float *image,
                            decode_case *out) {
    status st = ST_OK;
    tiled_decoder *t = NULL;
    TRY(tiled_decoder_open(c, CODEC_TILE, p, options->engine, options->compute, &t));
    const double start = log_seconds();
    TRY(tiled_decoder_run(t, latent, image));
    out->tiled_s = log_seconds() - start;
    const tiled_memory used = tiled_decoder_memory(t);
    out->tile_bytes = used.tile > used.top ? used.tile : used.top;
    out->kept_bytes = used.kept;
done:
    tiled_decoder_close(t);
    return st;
}

status bench_decode(const kernels *engine, tensor_type compute, decode_case *out) {
    status st = ST_OK;
    study s;
    study_defaults(&s);
    s.autoencode.factor = 8;
    *out = (decode_case){.size = CODEC_TILED};
    const autoencoder_config c = codec_config(&s, out->size);
    const int64_t pixels = c.size * c.size, values = pixels / (c.factor * c.factor) * c.z;
    autoencoder_graph graph;
    params *p = NULL;
    float *latent = NULL, *image = NULL;
    TRY(autoencoder_describe_decoder(&c, &graph));
    TRY(params_create(graph.g, &p));
    params_init(p, 1);
    TRY(array_alloc(&latent, values, sizeof *latent, "a latent"));
    TRY(array_alloc(&image, pixels, sizeof *image, "a slice"));
    for (int64_t i = 0; i < values; i++) latent[i] = (float)sin(0.7 * (double)i);
    const plan_options options = {.engine = engine,
                                  .batch = 1,
                                  .compute = compute,
                                  .outputs = &graph.image,
                                  .output_count = 1};
    TRY(measure_whole(&graph, p, &options, latent, out));
    TRY(measure_tiles(&c, p, &options, latent, image, out));
done:
    params_destroy(p);
    autoencoder_graph_free(&graph);
    free(latent);
    free(image);
    return st;
}
