/* Byte-pair encoding of text (Sennrich et al. 2016, on bytes as in Radford et al. 2019): tokens are
 * the 256 bytes and pairs of tokens that are frequent in the texts that they were learnt on.
 *
 * Text is first cut into chunks, within which pairs are merged: one blank or none, and then as many
 * as there are, but at most 63, of one kind of bytes: letters (A-Z, a-z, 0x80-0xff), digits, or
 * others than these and blanks. A blank before a blank or at the end is a chunk of its own.
 *
 * Learning: the most frequent pair of neighbouring tokens becomes a new token in all chunks, from
 * left to right, until the vocabulary is full or no pair occurs twice. Of equally frequent pairs
 * the one with the smaller left token is taken, then that with the smaller right one: the same
 * texts in any order give the same tokens. Encoding merges the pair that was learnt first, again
 * and again. Every string of bytes can be encoded, and decoding returns it.
 *
 * A sentence for a network has a fixed length: begin, tokens, end, and pads behind it.
 */
#ifndef CTAUG_MODEL_TEXT_BPE_H
#define CTAUG_MODEL_TEXT_BPE_H

#include "io/status.h"

#include <stdint.h>

/* Tokens below BPE_BEGIN are bytes, those from BPE_FIRST on are pairs. */
enum { BPE_BEGIN = 256, BPE_END, BPE_PAD, BPE_FIRST, BPE_VOCABULARY_MAX = 1 << 16 };

typedef struct bpe bpe;

typedef struct bpe_text {
    const char *at; /* any bytes, also 0 */
    int64_t bytes;
} bpe_text;

/* Learns at most `vocabulary` tokens (BPE_FIRST..BPE_VOCABULARY_MAX) from n texts. bpe_free() frees
 * *out. ST_USAGE for another vocabulary. Local. */
status bpe_learn(const bpe_text *texts, int64_t n, int vocabulary, bpe **out);
void bpe_free(bpe *b);

/* Tokens that there are; at most as many as were asked for. Local. */
int bpe_vocabulary(const bpe *b);

/* Writes the tokens of a text to tokens [text.bytes], which is enough, and returns how many there
 * are. Local. */
int64_t bpe_encode(const bpe *b, bpe_text text, int32_t *tokens);

/* Writes a sentence of `length` (2 or more) tokens: begin, the tokens of the text as far as there
 * is room, end, pads. Returns the tokens that are no pads. The text "" is what stands for none.
 * Local. */
int64_t bpe_sentence(const bpe *b, bpe_text text, int64_t length, int32_t *tokens);

/* The text of n tokens, terminated, which the caller frees; begin, end and pads have none.
 * ST_INPUT for a token that does not exist. Local. */
status bpe_decode(const bpe *b, const int32_t *tokens, int64_t n, char **text, int64_t *bytes);

/* The pairs as text, terminated, which the caller frees: a line "bpe 1 N", then for each of the N
 * tokens from BPE_FIRST on a line with its left and its right token. Local. */
status bpe_write(const bpe *b, char **text, int64_t *bytes);

/* Reads what bpe_write() wrote. ST_INPUT naming the line for anything else. Local. */
status bpe_read(const char *text, bpe **out);

#endif
