/* The text encoder of a study (model.text: on) in use: sentences become the states that the
 * denoiser attends to (model/net/unet.h). The stage `text` trains and publishes it
 * (pipeline/text/text.c); from there on it stays as it is. All are Local. */
#ifndef CTAUG_PIPELINE_COMMON_TEXT_MODEL_H
#define CTAUG_PIPELINE_COMMON_TEXT_MODEL_H

#include "model/net/text_encoder.h"
#include "model/text/bpe.h"
#include "pipeline/common/published.h"

/* The published encoder, <out>/text, and its file of tokens (model/text/bpe.h). */
#define TEXT_KIND "text"
#define TEXT_TOKENS "tokens.bpe"
extern const published_network text_published;

enum { TEXT_SENTENCE = 96 /* tokens of a sentence; longer ones are cut */ };

/* The tokens of the published encoder, for bpe_free(). ST_INPUT if it is not there. */
status text_tokens_read(const stage_context *stage, bpe **out);

/* Whether a text of fewer than CAPTION_SIZE bytes has more tokens than a sentence: its end is cut
 * off when it is encoded. */
bool text_is_cut(const bpe *tokens, const char *text);

typedef struct text_model text_model;

/* The published one of this study and its store, for up to `batch` sentences at once. ST_INPUT if
 * it is not there: ctaug text has to run first. stage must outlive *out. */
status text_model_open(const stage_context *stage, int64_t batch, text_model **out);
void text_model_close(text_model *t);

/* Values of the states of a sentence: TEXT_SENTENCE * width of the encoder. */
int64_t text_model_values(const text_model *t);

/* The tokens [TEXT_SENTENCE] of a text; "" is what stands for none. Returns how many are no pads.
 */
int64_t text_model_sentence(const text_model *t, const char *text, int32_t *tokens);

/* states[count][text_model_values()] and mask[count][TEXT_SENTENCE] (1: a token, 0: a pad) of
 * count <= batch sentences tokens[count][TEXT_SENTENCE]. The states of a sentence do not depend on
 * the others. */
status text_model_states(text_model *t, const int32_t *tokens, int64_t count, float *states,
                         float *mask);

/* Writes a sentence to the inputs of a text encoder: tokens and mask [TEXT_SENTENCE]. */
void text_model_fill(const int32_t *sentence, float *tokens, float *mask);

#endif
