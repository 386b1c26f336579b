/* Learning of byte pairs: each chunk that occurs is kept once with its number; for each new token
 * the pairs of all of them are counted in a hash table. */
#include "model/text/bpe_private.h"

#include "io/alloc.h"

#include <string.h>

/* A chunk as tokens, and how often it occurs. */
typedef struct word {
    int32_t *tokens;
    int length;
    int64_t times;
} word;

typedef struct pair_count {
    int32_t left, right;
    int64_t times; /* 0: a free place */
} pair_count;

typedef struct learner {
    bpe_text *chunks; /* of all texts */
    int64_t chunk_count;
    word *words;
    int64_t word_count;
    int32_t *tokens;    /* of all words */
    pair_count *counts; /* [places]: open addressing */
    int64_t places;     /* a power of two, more than twice the pairs */
} learner;

static int by_bytes(const void *left, const void *right) {
    const bpe_text *a = left, *b = right;
    const int64_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
    const int order = memcmp(a->at, b->at, (size_t)common);
    return order ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* Cuts all texts; the list of chunks is sorted. */
static status cut(learner *l, const bpe_text *texts, int64_t n) {
    int64_t total = 0;
    for (int pass = 0; pass < 2; pass++) {
        l->chunk_count = 0;
        for (int64_t i = 0; i < n; i++)
            for (bpe_text rest = texts[i]; rest.bytes > 0;) {
                const int bytes = bpe_chunk(rest);
                if (pass == 1) l->chunks[l->chunk_count] = (bpe_text){rest.at, bytes};
                l->chunk_count++;
                rest.at += bytes;
                rest.bytes -= bytes;
            }
        total = l->chunk_count;
        if (pass == 1) break;
        status st = array_alloc(&l->chunks, total, sizeof *l->chunks, "texts");
        if (st != ST_OK) return st;
    }
    qsort(l->chunks, (size_t)total, sizeof *l->chunks, by_bytes);
    return ST_OK;
}

/* Makes the words, and the table for their pairs. */
static status make_words(learner *l) {
    status st;
    int64_t bytes = 0, kept = 0;
    for (int64_t i = 0; i < l->chunk_count; i++)
        if (i == 0 || by_bytes(&l->chunks[i - 1], &l->chunks[i]) != 0) {
            l->word_count++;
            bytes += l->chunks[i].bytes;
        }
    TRY(array_alloc(&l->words, l->word_count, sizeof *l->words, "words"));
    TRY(array_alloc(&l->tokens, bytes, sizeof *l->tokens, "words"));
    int32_t *at = l->tokens;
    for (int64_t i = 0; i < l->chunk_count; i++) {
        const bpe_text *c = &l->chunks[i];
        if (i == 0 || by_bytes(&l->chunks[i - 1], c) != 0) {
            l->words[kept++] = (word){.tokens = at, .length = (int)c->bytes};
            for (int64_t k = 0; k < c->bytes; k++) *at++ = (uint8_t)c->at[k];
        }
        l->words[kept - 1].times++;
    }
    for (l->places = 64; l->places <= 2 * bytes;) l->places *= 2;
    TRY(array_alloc(&l->counts, l->places, sizeof *l->counts, "pairs"));
done:
    return st;
}

/* The place of a pair in the table: its own or a free one. */
static pair_count *place_of(learner *l, int32_t left, int32_t right) {
    uint64_t hash = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9e3779b97f4a7c15u;
    for (hash ^= hash >> 32;; hash++) {
        pair_count *p = &l->counts[hash & (uint64_t)(l->places - 1)];
        if (p->times == 0 || (p->left == left && p->right == right)) return p;
    }
}

/* Whether a is taken before b. */
static bool is_before(const pair_count *a, const pair_count *b) {
    if (a->times != b->times) return a->times > b->times;
    return a->left != b->left ? a->left < b->left : a->right < b->right;
}

/* The pair that becomes the next token; times is 0 if there is none. */
static pair_count choose(learner *l) {
    pair_count best = {0};
    memset(l->counts, 0, (size_t)l->places * sizeof *l->counts);
    for (int64_t w = 0; w < l->word_count; w++) {
        const word *from = &l->words[w];
        for (int i = 0; i + 1 < from->length; i++) {
            pair_count *p = place_of(l, from->tokens[i], from->tokens[i + 1]);
            *p = (pair_count){from->tokens[i], from->tokens[i + 1], p->times + from->times};
        }
    }
    for (int64_t i = 0; i < l->places; i++)
        if (l->counts[i].times > 0 && is_before(&l->counts[i], &best)) best = l->counts[i];
    return best;
}

status bpe_learn(const bpe_text *texts, int64_t n, int vocabulary, bpe **out) {
    status st;
    learner l = {0};
    bpe *b = NULL;
    *out = NULL;
    if (vocabulary < BPE_FIRST || vocabulary > BPE_VOCABULARY_MAX)
        TRY(status_fail(ST_USAGE, "a vocabulary of %d tokens is not in %d..%d", vocabulary,
                        BPE_FIRST, BPE_VOCABULARY_MAX));
    TRY(bpe_create(&b));
    TRY(cut(&l, texts, n));
    TRY(make_words(&l));
    while (b->count < vocabulary) {
        const pair_count best = choose(&l);
        if (best.times < 2 || !bpe_add(b, best.left, best.right)) break;
        for (int64_t w = 0; w < l.word_count; w++)
            l.words[w].length = bpe_merge(l.words[w].tokens, l.words[w].length, best.left,
                                          best.right, b->count - 1);
    }
    *out = b;
    b = NULL;
done:
    bpe_free(b);
    free(l.chunks);
    free(l.words);
    free(l.tokens);
    free(l.counts);
    return st;
}
