/* Byte pairs: the same merges and tokens as an independent implementation (tests/golden/bpe.py),
 * decoding as the inverse of encoding, sentences of fixed length, and tokens as text. */
#include "model/rng.h"
#include "model/text/bpe.h"
#include "tests/golden/bpe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static bpe_text text_of(const char *text) { return (bpe_text){text, (int64_t)strlen(text)}; }

/* Learns the texts of the golden file from number `first` on, and round to the one before it. */
static bpe *learn(int first, int vocabulary) {
    bpe_text texts[GOLDEN_TEXTS];
    bpe *b = NULL;
    for (int i = 0; i < GOLDEN_TEXTS; i++)
        texts[i] = text_of(golden_texts[(first + i) % GOLDEN_TEXTS]);
    assert_int_equal(bpe_learn(texts, GOLDEN_TEXTS, vocabulary, &b), ST_OK);
    return b;
}

static char *written(const bpe *b) {
    char *text = NULL;
    int64_t bytes = 0;
    assert_int_equal(bpe_write(b, &text, &bytes), ST_OK);
    assert_int_equal(strlen(text), bytes);
    return text;
}

/* The pairs are those of the oracle; a smaller vocabulary is a part of it, and the order of the
 * texts changes nothing. */
static void pairs_are_those_of_the_oracle(void **state) {
    (void)state;
    char expected[64 * GOLDEN_MERGES], *at;
    const int counts[] = {GOLDEN_MERGES, 30, 1, 0};
    for (int i = 0; i < 4; i++) {
        const int all = i == 0;
        bpe *b = learn(i, all ? GOLDEN_VOCABULARY : BPE_FIRST + counts[i]);
        assert_int_equal(bpe_vocabulary(b), BPE_FIRST + counts[i]);
        at = expected + sprintf(expected, "bpe 1 %d\n", counts[i]);
        for (int k = 0; k < counts[i]; k++)
            at += sprintf(at, "%d %d\n", golden_merges[2 * k], golden_merges[2 * k + 1]);
        char *text = written(b);
        assert_string_equal(text, expected);
        free(text);
        bpe_free(b);
    }
}

static void tokens_are_those_of_the_oracle(void **state) {
    (void)state;
    bpe *b = learn(0, GOLDEN_VOCABULARY);
    const int *wanted = golden_tokens;
    for (int i = 0; i < GOLDEN_OTHERS; i++) {
        int32_t tokens[512];
        const int64_t n = bpe_encode(b, text_of(golden_others[i]), tokens);
        assert_int_equal(n, golden_counts[i]);
        for (int64_t k = 0; k < n; k++) assert_int_equal(tokens[k], wanted[k]);
        wanted += n;
    }
    bpe_free(b);
}

/* Random strings of all bytes, and of few, which merge often. */
static void decoding_is_the_inverse(void **state) {
    (void)state;
    bpe *b = learn(0, GOLDEN_VOCABULARY);
    rng_stream r = rng_open(1, RNG_CAPTION, 0, 0);
    for (int round = 0; round < 2000; round++) {
        static const char few[] = "a  CTslice 12(";
        char text[300], *back = NULL;
        int32_t tokens[300];
        int64_t bytes = 0;
        const int64_t n = (int64_t)rng_below(&r, sizeof text + 1);
        for (int64_t i = 0; i < n; i++)
            text[i] = round % 2 ? (char)rng_below(&r, 256) : few[rng_below(&r, strlen(few))];
        const int64_t count = bpe_encode(b, (bpe_text){text, n}, tokens);
        assert_true(count <= n);
        assert_int_equal(bpe_decode(b, tokens, count, &back, &bytes), ST_OK);
        assert_int_equal(bytes, n);
        assert_memory_equal(back, text, (size_t)n);
        assert_int_equal(back[n], 0);
        free(back);
    }
    int32_t wrong[] = {65, bpe_vocabulary(b)};
    char *text = NULL;
    int64_t bytes = 0;
    assert_int_equal(bpe_decode(b, wrong, 2, &text, &bytes), ST_INPUT);
    wrong[1] = -1;
    assert_int_equal(bpe_decode(b, wrong, 2, &text, &bytes), ST_INPUT);
    bpe_free(b);
}

static void a_sentence_has_a_fixed_length(void **state) {
    (void)state;
    bpe *b = learn(0, BPE_FIRST);
    int32_t t[8];
    assert_int_equal(bpe_sentence(b, text_of("abc"), 8, t), 5);
    assert_memory_equal(
        t, ((int32_t[]){BPE_BEGIN, 'a', 'b', 'c', BPE_END, BPE_PAD, BPE_PAD, BPE_PAD}), sizeof t);
    assert_int_equal(bpe_sentence(b, text_of("abcdefghij"), 8, t), 8);
    assert_memory_equal(t, ((int32_t[]){BPE_BEGIN, 'a', 'b', 'c', 'd', 'e', 'f', BPE_END}),
                        sizeof t);
    assert_int_equal(bpe_sentence(b, text_of(""), 3, t), 2);
    assert_memory_equal(t, ((int32_t[]){BPE_BEGIN, BPE_END, BPE_PAD}), 3 * sizeof *t);
    assert_int_equal(bpe_sentence(b, text_of("abc"), 2, t), 2);
    assert_memory_equal(t, ((int32_t[]){BPE_BEGIN, BPE_END}), 2 * sizeof *t);
    char *text = NULL;
    int64_t bytes = 0;
    bpe_sentence(b, text_of("xyz"), 8, t);
    assert_int_equal(bpe_decode(b, t, 8, &text, &bytes), ST_OK);
    assert_string_equal(text, "xyz");
    free(text);
    bpe_free(b);
}

static void what_was_written_is_read(void **state) {
    (void)state;
    bpe *b = learn(0, GOLDEN_VOCABULARY), *again = NULL;
    char *text = written(b), *copy;
    assert_int_equal(bpe_read(text, &again), ST_OK);
    copy = written(again);
    assert_string_equal(copy, text);
    for (int i = 0; i < GOLDEN_OTHERS; i++) {
        int32_t tokens[512], same[512];
        const int64_t n = bpe_encode(b, text_of(golden_others[i]), tokens);
        assert_int_equal(bpe_encode(again, text_of(golden_others[i]), same), n);
        assert_memory_equal(tokens, same, (size_t)n * sizeof *same);
    }
    free(text);
    free(copy);
    bpe_free(b);
    bpe_free(again);
}

static void other_text_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } known[] = {
        {"", "line 1"},
        {"bpe 2 0\n", "line 1"},
        {"bpe 1 \n", "line 1"},
        {"bpe 1 99999999999\n", "line 1"},
        {"bpe 1 1\n", "line 2"},
        {"bpe 1 1\n97 98", "line 2"},
        {"bpe 1 1\n97 \n", "line 2"},
        {"bpe 1 1\n97 259\n", "line 2"},       /* of the pair itself */
        {"bpe 1 1\n97 256\n", "line 2"},       /* begin */
        {"bpe 1 2\n97 98\n97 98\n", "line 3"}, /* twice */
        {"bpe 1 1\n-1 98\n", "line 2"},
        {"bpe 1 1\n97 98\n99 100\n", "behind the last"},
        {"bpe 1 7\n97 97\n259 259\n260 260\n261 261\n262 262\n263 263\n264 264\n", "line 8"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        bpe *b = NULL;
        assert_int_equal(bpe_read(known[i].text, &b), ST_INPUT);
        assert_non_null(strstr(status_message(), known[i].says));
        assert_null(b);
    }
}

static void wrong_vocabularies_are_refused(void **state) {
    (void)state;
    const bpe_text text = text_of("aa aa");
    bpe *b = NULL;
    assert_int_equal(bpe_learn(&text, 1, BPE_FIRST - 1, &b), ST_USAGE);
    assert_int_equal(bpe_learn(&text, 1, BPE_VOCABULARY_MAX + 1, &b), ST_USAGE);
    assert_int_equal(bpe_learn(NULL, 0, BPE_VOCABULARY_MAX, &b), ST_OK);
    assert_int_equal(bpe_vocabulary(b), BPE_FIRST);
    bpe_free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pairs_are_those_of_the_oracle),
        cmocka_unit_test(tokens_are_those_of_the_oracle),
        cmocka_unit_test(decoding_is_the_inverse),
        cmocka_unit_test(a_sentence_has_a_fixed_length),
        cmocka_unit_test(what_was_written_is_read),
        cmocka_unit_test(other_text_is_refused),
        cmocka_unit_test(wrong_vocabularies_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
