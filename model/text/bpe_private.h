/* What bpe.c and bpe_learn.c share. */
#ifndef CTAUG_MODEL_TEXT_BPE_PRIVATE_H
#define CTAUG_MODEL_TEXT_BPE_PRIVATE_H

#include "model/text/bpe.h"

#include <stdbool.h>

enum { BPE_CHUNK = 64 /* bytes of a chunk at most */ };

typedef struct bpe_token {
    int32_t left, right; /* of a pair */
    int length;          /* 0: begin, end, pad */
    uint8_t bytes[BPE_CHUNK];
} bpe_token;

struct bpe {
    int count;
    bpe_token *token; /* [BPE_VOCABULARY_MAX] */
    int32_t *sorted;  /* the tokens of pairs by left and right */
};

/* The bytes alone. */
status bpe_create(bpe **out);

/* Adds the pair as the next token; false if it is none of two tokens with bytes, is there already,
 * or too long, or there is no room. */
bool bpe_add(bpe *b, int32_t left, int32_t right);

/* Bytes of the first chunk of a text that is not empty. */
int bpe_chunk(bpe_text text);

/* Replaces the pairs in n tokens, from left to right; returns how many tokens are left. */
int bpe_merge(int32_t *tokens, int n, int32_t left, int32_t right, int32_t merged);

#endif
