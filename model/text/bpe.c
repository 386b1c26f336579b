/* The tokens, encoding and decoding, and their text. Learning is in bpe_learn.c. */
#include "model/text/bpe_private.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

status bpe_create(bpe **out) {
    status st;
    bpe *b = NULL;
    *out = NULL;
    TRY(array_alloc(&b, 1, sizeof *b, "tokens"));
    TRY(array_alloc(&b->token, BPE_VOCABULARY_MAX, sizeof *b->token, "tokens"));
    TRY(array_alloc(&b->sorted, BPE_VOCABULARY_MAX, sizeof *b->sorted, "tokens"));
    b->count = BPE_FIRST;
    for (int i = 0; i < BPE_BEGIN; i++)
        b->token[i] = (bpe_token){.bytes = {(uint8_t)i}, .length = 1};
    *out = b;
    b = NULL;
done:
    bpe_free(b);
    return st;
}

void bpe_free(bpe *b) {
    if (!b) return;
    free(b->token);
    free(b->sorted);
    free(b);
}

int bpe_vocabulary(const bpe *b) { return b->count; }

/* The place of a pair among the sorted ones: that of the first that is not before it. */
static int place_of(const bpe *b, int32_t left, int32_t right) {
    int low = 0, high = b->count - BPE_FIRST;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        const bpe_token *t = &b->token[b->sorted[middle]];
        if (t->left < left || (t->left == left && t->right < right))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The token of a pair; -1: none. */
static int32_t find(const bpe *b, int32_t left, int32_t right) {
    const int at = place_of(b, left, right);
    if (at == b->count - BPE_FIRST) return -1;
    const bpe_token *t = &b->token[b->sorted[at]];
    return t->left == left && t->right == right ? b->sorted[at] : -1;
}

bool bpe_add(bpe *b, int32_t left, int32_t right) {
    const int pairs = b->count - BPE_FIRST;
    if (b->count == BPE_VOCABULARY_MAX || left >= b->count || right >= b->count) return false;
    const bpe_token *l = &b->token[left], *r = &b->token[right];
    if (l->length == 0 || r->length == 0 || l->length + r->length > BPE_CHUNK) return false;
    if (find(b, left, right) >= 0) return false;
    const int at = place_of(b, left, right);
    memmove(&b->sorted[at + 1], &b->sorted[at], (size_t)(pairs - at) * sizeof *b->sorted);
    b->sorted[at] = b->count;
    bpe_token *t = &b->token[b->count++];
    *t = (bpe_token){.left = left, .right = right, .length = l->length + r->length};
    memcpy(t->bytes, l->bytes, (size_t)l->length);
    memcpy(t->bytes + l->length, r->bytes, (size_t)r->length);
    return true;
}

typedef enum byte_kind { LETTER, DIGIT, BLANK, OTHER } byte_kind;

static byte_kind kind_of(char c) {
    const unsigned char u = (unsigned char)c, lower = u | 0x20;
    if (u >= 0x80 || (lower >= 'a' && lower <= 'z')) return LETTER;
    if (u >= '0' && u <= '9') return DIGIT;
    return u == ' ' ? BLANK : OTHER;
}

int bpe_chunk(bpe_text text) {
    const int blank = text.at[0] == ' ';
    if (text.bytes == blank) return blank;
    const byte_kind kind = kind_of(text.at[blank]);
    int n = blank;
    if (kind == BLANK) return blank;
    while (n < text.bytes && n - blank < BPE_CHUNK - 1 && kind_of(text.at[n]) == kind) n++;
    return n;
}

int bpe_merge(int32_t *tokens, int n, int32_t left, int32_t right, int32_t merged) {
    int to = 0;
    for (int i = 0; i < n; to++) {
        const bool pair = i + 1 < n && tokens[i] == left && tokens[i + 1] == right;
        tokens[to] = pair ? merged : tokens[i];
        i += pair ? 2 : 1;
    }
    return to;
}

/* Merges the n tokens of a chunk; returns how many are left. */
static int merge_chunk(const bpe *b, int32_t *tokens, int n) {
    for (;;) {
        int32_t first = -1;
        for (int i = 0; i + 1 < n; i++) {
            const int32_t t = find(b, tokens[i], tokens[i + 1]);
            if (t >= 0 && (first < 0 || t < first)) first = t;
        }
        if (first < 0) return n;
        n = bpe_merge(tokens, n, b->token[first].left, b->token[first].right, first);
    }
}

/* Writes at most `room` tokens. */
static int64_t encode(const bpe *b, bpe_text text, int64_t room, int32_t *tokens) {
    int64_t count = 0;
    while (text.bytes > 0 && count < room) {
        int32_t chunk[BPE_CHUNK];
        const int bytes = bpe_chunk(text);
        for (int i = 0; i < bytes; i++) chunk[i] = (uint8_t)text.at[i];
        const int n = merge_chunk(b, chunk, bytes);
        for (int i = 0; i < n && count < room; i++) tokens[count++] = chunk[i];
        text.at += bytes;
        text.bytes -= bytes;
    }
    return count;
}

int64_t bpe_encode(const bpe *b, bpe_text text, int32_t *tokens) {
    return encode(b, text, text.bytes, tokens);
}

int64_t bpe_sentence(const bpe *b, bpe_text text, int64_t length, int32_t *tokens) {
    const int64_t n = encode(b, text, length - 2, tokens + 1);
    tokens[0] = BPE_BEGIN;
    tokens[n + 1] = BPE_END;
    for (int64_t i = n + 2; i < length; i++) tokens[i] = BPE_PAD;
    return n + 2;
}

status bpe_decode(const bpe *b, const int32_t *tokens, int64_t n, char **text, int64_t *bytes) {
    int64_t used = 0;
    *text = NULL;
    for (int64_t i = 0; i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= b->count)
            return status_fail(ST_INPUT, "token %" PRId32 " does not exist: there are %d",
                               tokens[i], b->count);
        used += b->token[tokens[i]].length;
    }
    status st = array_alloc(text, used + 1, 1, "a text");
    if (st != ST_OK) return st;
    *bytes = used;
    char *to = *text;
    for (int64_t i = 0; i < n; i++) {
        const bpe_token *t = &b->token[tokens[i]];
        memcpy(to, t->bytes, (size_t)t->length);
        to += t->length;
    }
    return ST_OK;
}

status bpe_write(const bpe *b, char **text, int64_t *bytes) {
    enum { LINE = 16 }; /* "65535 65535\n", and "bpe 1 65536\n" */
    status st = array_alloc(text, (int64_t)(b->count - BPE_FIRST + 1) * LINE, 1, "tokens");
    if (st != ST_OK) return st;
    char *at = *text;
    at += snprintf(at, LINE, "bpe 1 %d\n", b->count - BPE_FIRST);
    for (int i = BPE_FIRST; i < b->count; i++)
        at += snprintf(at, LINE, "%" PRId32 " %" PRId32 "\n", b->token[i].left, b->token[i].right);
    *bytes = at - *text;
    return ST_OK;
}

/* Reads digits and the character behind them; -1 if that is another or the number is too large. */
static int32_t take_number(const char **text, char behind) {
    int32_t value = 0;
    const char *at = *text;
    for (; *at >= '0' && *at <= '9'; at++) {
        value = 10 * value + (*at - '0');
        if (value > BPE_VOCABULARY_MAX) return -1;
    }
    if (at == *text || *at != behind) return -1;
    *text = at + 1;
    return value;
}

status bpe_read(const char *text, bpe **out) {
    status st;
    static const char head[] = "bpe 1 ";
    bpe *b = NULL;
    *out = NULL;
    if (strncmp(text, head, strlen(head)) != 0)
        TRY(status_fail(ST_INPUT, "tokens: line 1 is not \"bpe 1 N\""));
    text += strlen(head);
    const int32_t pairs = take_number(&text, '\n');
    if (pairs < 0) TRY(status_fail(ST_INPUT, "tokens: line 1 is not \"bpe 1 N\""));
    TRY(bpe_create(&b));
    for (int32_t i = 0; i < pairs; i++) {
        const int32_t left = take_number(&text, ' ');
        const int32_t right = left < 0 ? -1 : take_number(&text, '\n');
        if (right < 0 || !bpe_add(b, left, right))
            TRY(status_fail(ST_INPUT, "tokens: line %" PRId32 " is no pair of tokens before it",
                            i + 2));
    }
    if (*text) TRY(status_fail(ST_INPUT, "tokens: there is text behind the last line"));
    *out = b;
    b = NULL;
done:
    bpe_free(b);
    return st;
}
