/* Builds the generator of a study and runs it. */
#include "pipeline/common/generator.h"

#include "io/activity.h"
#include "io/alloc.h"

#include <stdio.h>
#include <string.h>

const noise_level generator_level = {.scale = 1};

struct generator {
    unet_config config;
    gan_graph graph;
    params *params;
    plan *plan;
    denoiser_inputs in;
    int64_t batch;
};

status generator_config(const study *s, const label_set *labels, unet_config *out) {
    status st = denoiser_config(s, labels, out);
    out->text = (unet_text){0, 0};
    out->numbers = 0;
    out->dropout = 0;
    out->spread = false;
    out->step_size = false;
    return st;
}

status generator_checkpoints(const stage_context *stage, const char *fingerprint,
                             char generator[PATH_SIZE], char discriminator[PATH_SIZE]) {
    status st = ST_OK;
    char name[64], folder[PATH_SIZE];
    snprintf(name, sizeof name, "gan/%.16s", fingerprint);
    TRY(stage_path(stage, name, folder));
    TRY(path_join(generator, folder, "generator"));
    TRY(path_join(discriminator, folder, "discriminator"));
done:
    return st;
}

status generator_open(const stage_context *stage, const label_set *labels, int64_t batch,
                      generator **out) {
    status st = ST_OK;
    generator *g = NULL;
    *out = NULL;
    TRY(array_alloc(&g, 1, sizeof *g, "the generator"));
    g->batch = batch;
    TRY(generator_config(stage->study, labels, &g->config));
    TRY(gan_describe_generator(&g->config, &g->graph));
    TRY(params_create(g->graph.g, &g->params));
    plan_options options = {.engine = stage->engine,
                            .batch = batch,
                            .compute = stage->precision,
                            .outputs = &g->graph.image,
                            .output_count = 1};
    TRY(plan_create(g->graph.g, g->params, &options, &g->plan));
    TRY(denoiser_inputs_of(stage->study, g->plan, &g->config, &g->in));
    *out = g;
    g = NULL;
done:
    generator_close(g);
    return st;
}

void generator_close(generator *g) {
    if (!g) return;
    plan_destroy(g->plan);
    params_destroy(g->params);
    gan_graph_free(&g->graph);
    free(g);
}

params *generator_params(generator *g) { return g->params; }

int64_t generator_pixels(const generator *g) { return g->config.size * g->config.size; }

void generator_params_changed(generator *g) { plan_params_changed(g->plan); }

status generator_sample(generator *g, const slice_sample *conditions, const float *noise,
                        int64_t count, float *out) {
    int64_t pixels = g->config.size * g->config.size;
    /* Slots beyond count repeat the last slice: the whole batch is always computed, so that the
     * bytes of a slice do not depend on count. */
    for (int64_t b = 0; b < g->batch; b++) {
        int64_t from = b < count ? b : count - 1;
        denoiser_fill(&g->in, b, noise + from * pixels, &generator_level, &conditions[from], true);
    }
    status st = plan_forward(g->plan, NULL);
    activity_progress();
    if (st == ST_OK)
        memcpy(out, plan_output(g->plan, g->graph.image).at,
               (size_t)(count * pixels) * sizeof(float));
    return st;
}
