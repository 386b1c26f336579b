/* Opens the published text encoder and runs it. */
#include "pipeline/common/text_model.h"

#include "io/alloc.h"
#include "model/net/image_text.h"
#include "model/nn/plan.h"
#include "model/text/grammar.h"
#include "pipeline/common/fingerprint.h"

#include <stdlib.h>
#include <string.h>

struct text_model {
    bpe *tokens;
    text_encoder_config config;
    graph *graph;
    params *params;
    plan *plan;
    node states;
    int64_t batch;
};

const published_network text_published = {TEXT_KIND, "text encoder", "text", fingerprint_of_text};

status text_tokens_read(const stage_context *stage, bpe **out) {
    status st = ST_OK;
    char path[PATH_SIZE], *text = NULL;
    int64_t bytes = 0;
    *out = NULL;
    TRY(published_file(stage, &text_published, TEXT_TOKENS, path));
    TRY(file_read(path, INT64_C(1) << 24, &text, &bytes));
    TRY(bpe_read(text, out));
done:
    free(text);
    return st;
}

bool text_is_cut(const bpe *tokens, const char *text) {
    int32_t scratch[CAPTION_SIZE];
    return bpe_encode(tokens, (bpe_text){text, (int64_t)strlen(text)}, scratch) > TEXT_SENTENCE - 2;
}

status text_model_open(const stage_context *stage, int64_t batch, text_model **out) {
    status st = ST_OK;
    text_model *t = NULL;
    char path[PATH_SIZE];
    *out = NULL;
    TRY(array_alloc(&t, 1, sizeof *t, "a text encoder"));
    t->batch = batch;
    TRY(text_tokens_read(stage, &t->tokens));
    t->config = text_encoder_default(bpe_vocabulary(t->tokens), IMAGE_TEXT_WIDTH);
    TRY(graph_create(&t->graph));
    t->states = text_encoder_build(t->graph, &t->config).states;
    TRY(params_create(t->graph, &t->params));
    const plan_options options = {.engine = stage->engine,
                                  .batch = batch,
                                  .compute = TYPE_F32,
                                  .outputs = &t->states,
                                  .output_count = 1};
    TRY(plan_create(t->graph, t->params, &options, &t->plan));
    TRY(published_file(stage, &text_published, PUBLISHED_PARAMETERS, path));
    TRY(published_parameters(path, t->params));
    plan_params_changed(t->plan);
    *out = t;
    t = NULL;
done:
    text_model_close(t);
    return st;
}

void text_model_close(text_model *t) {
    if (!t) return;
    bpe_free(t->tokens);
    plan_destroy(t->plan);
    params_destroy(t->params);
    graph_destroy(t->graph);
    free(t);
}

int64_t text_model_values(const text_model *t) { return t->config.tokens * t->config.width; }

int64_t text_model_sentence(const text_model *t, const char *text, int32_t *tokens) {
    return bpe_sentence(t->tokens, (bpe_text){text, (int64_t)strlen(text)}, TEXT_SENTENCE, tokens);
}

void text_model_fill(const int32_t *sentence, float *tokens, float *mask) {
    for (int64_t i = 0; i < TEXT_SENTENCE; i++) {
        tokens[i] = (float)sentence[i];
        mask[i] = sentence[i] != BPE_PAD;
    }
}

status text_model_states(text_model *t, const int32_t *tokens, int64_t count, float *states,
                         float *mask) {
    status st = ST_OK;
    tensor in, in_mask;
    TRY(plan_input(t->plan, "tokens", &in));
    TRY(plan_input(t->plan, "mask", &in_mask));
    for (int64_t b = 0; b < t->batch; b++) /* slots beyond count repeat the last sentence */
        text_model_fill(tokens + (b < count ? b : count - 1) * TEXT_SENTENCE,
                        (float *)in.at + b * TEXT_SENTENCE,
                        (float *)in_mask.at + b * TEXT_SENTENCE);
    TRY(plan_forward(t->plan, NULL));
    memcpy(mask, in_mask.at, (size_t)(count * TEXT_SENTENCE) * sizeof *mask);
    memcpy(states, plan_output(t->plan, t->states).at,
           (size_t)(count * text_model_values(t)) * sizeof *states);
done:
    return st;
}
