/* Encodes captions once for all steps of a sampler. */
#include "pipeline/common/denoiser_text.h"

#include "io/alloc.h"
#include "pipeline/common/text_model.h"
#include "pipeline/data/slice_caption.h"

#include <stdlib.h>

/* States of sentences, and their masks. */
typedef struct sentences {
    float *states, *mask; /* [n][values], [n][TEXT_SENTENCE] */
} sentences;

struct denoiser_text {
    text_model *model;
    captioner *captions;
    int64_t values;  /* of the states of a sentence */
    int32_t *tokens; /* [batch][TEXT_SENTENCE] */
    sentences own, none, negative;
};

static status encode(denoiser_text *t, int64_t count, sentences *to) {
    return text_model_states(t->model, t->tokens, count, to->states, to->mask);
}

static status sentences_alloc(const denoiser_text *t, int64_t n, sentences *out) {
    status st = ST_OK;
    TRY(array_alloc(&out->states, n * t->values, sizeof(float), "captions"));
    TRY(array_alloc(&out->mask, n * TEXT_SENTENCE, sizeof(float), "captions"));
done:
    return st;
}

static void sentences_free(sentences *s) {
    free(s->states);
    free(s->mask);
}

/* A text that all slices share. */
static status encode_text(denoiser_text *t, const char *text, sentences *out) {
    status st = ST_OK;
    TRY(sentences_alloc(t, 1, out));
    text_model_sentence(t->model, text, t->tokens);
    TRY(encode(t, 1, out));
done:
    return st;
}

status denoiser_text_open(const stage_context *stage, const label_set *labels, int64_t batch,
                          denoiser_text **out) {
    status st = ST_OK;
    denoiser_text *t = NULL;
    *out = NULL;
    TRY(array_alloc(&t, 1, sizeof *t, "captions"));
    TRY(text_model_open(stage, batch, &t->model));
    TRY(captioner_open(stage->study, labels, NULL, &t->captions));
    t->values = text_model_values(t->model);
    TRY(array_alloc(&t->tokens, batch * TEXT_SENTENCE, sizeof *t->tokens, "captions"));
    TRY(sentences_alloc(t, batch, &t->own));
    TRY(encode_text(t, "", &t->none));
    TRY(encode_text(t, stage->study->generate.negative, &t->negative));
    *out = t;
    t = NULL;
done:
    denoiser_text_close(t);
    return st;
}

void denoiser_text_close(denoiser_text *t) {
    if (!t) return;
    text_model_close(t->model);
    captioner_close(t->captions);
    sentences_free(&t->own);
    sentences_free(&t->none);
    sentences_free(&t->negative);
    free(t->tokens);
    free(t);
}

status denoiser_text_set(denoiser_text *t, const slice_sample *conditions, const uint64_t *index,
                         int64_t count) {
    status st = ST_OK;
    char made[CAPTION_SIZE];
    for (int64_t b = 0; b < count; b++) {
        const slice_sample *c = &conditions[b];
        if (!c->caption)
            TRY(captioner_write(t->captions, c, index[b], CAPTION_GENERATE, false, made));
        text_model_sentence(t->model, c->caption ? c->caption : made,
                            t->tokens + b * TEXT_SENTENCE);
    }
    TRY(encode(t, count, &t->own));
done:
    return st;
}

void denoiser_text_fill(const denoiser_text *t, const denoiser_inputs *in, int64_t b, int64_t k,
                        text_choice which) {
    const sentences *from = which == TEXT_OWN    ? &t->own
                            : which == TEXT_NONE ? &t->none
                                                 : &t->negative;
    const int64_t at = which == TEXT_OWN ? k : 0;
    denoiser_fill_text(in, b, from->states + at * t->values, from->mask + at * TEXT_SENTENCE);
}
