/* Random streams: Philox against its published vectors, streams read from every position,
 * distributions by their moments. */
#include "model/rng.h"

#include <Random123/philox.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

/* The oracle: Philox4x32-10 as in the paper (Salmon et al. 2011, section 3.3). */
static void philox_paper(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c[4], k[2] = {key[0], key[1]};
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = UINT64_C(0xD2511F53) * c[0], p1 = UINT64_C(0xCD9E8D57) * c[2];
        uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k[0], (uint32_t)p1,
                            (uint32_t)(p0 >> 32) ^ c[3] ^ k[1], (uint32_t)p0};
        memcpy(c, next, sizeof c);
        k[0] += 0x9E3779B9u;
        k[1] += 0xBB67AE85u;
    }
    memcpy(out, c, sizeof c);
}

/* The published known answers of Random123: all zeros, all ones, digits of pi. */
static void known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } vectors[] = {
        {{0}, {0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        uint32_t out[4];
        philox_paper(vectors[i].counter, vectors[i].key, out);
        assert_memory_equal(out, vectors[i].answer, sizeof out);
        philox4x32_ctr_t counter;
        philox4x32_key_t key;
        memcpy(counter.v, vectors[i].counter, sizeof counter.v);
        memcpy(key.v, vectors[i].key, sizeof key.v);
        counter = philox4x32(counter, key);
        assert_memory_equal(counter.v, vectors[i].answer, sizeof counter.v);
    }
}

/* The layout of key and counter that rng.h specifies. A change would change every stored result. */
static void stream_is_philox(void **state) {
    (void)state;
    uint64_t seed = UINT64_C(0x0123456789abcdef), index = UINT64_C(0xfedcba9876543210);
    uint32_t seed_words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t purpose[4] = {RNG_NOISE}, key[4], block[4];
    philox_paper(purpose, seed_words, key);
    rng_stream r = rng_open(seed, RNG_NOISE, index, 77);
    for (uint32_t i = 0; i < 40; i++) {
        uint32_t counter[4] = {i / 4, (uint32_t)index, (uint32_t)(index >> 32), 77};
        philox_paper(counter, key, block);
        assert_int_equal(rng_u32(&r), block[i % 4]);
    }
}

static void fill_equals_single_calls(void **state) {
    (void)state;
    for (uint64_t start = 0; start < 9; start++) {
        for (int64_t n = 0; n < 14; n++) {
            rng_stream single = rng_open(3, RNG_NOISE, 5, 7);
            single.at = start;
            rng_stream filled = single;
            float out[16];
            rng_fill_normal(&filled, out, n);
            for (int64_t i = 0; i < n; i++) {
                float one = (float)rng_normal(&single);
                assert_memory_equal(&one, out + i, sizeof one);
            }
            assert_int_equal(single.at, filled.at);
            rng_fill_uniform(&filled, out, n);
            for (int64_t i = 0; i < n; i++) {
                double one = rng_uniform(&single);
                assert_true(out[i] <= one && one - out[i] < 0x1p-24 && out[i] < 1.0f);
            }
            assert_int_equal(single.at, filled.at);
        }
    }
}

/* Each part of a stream's name changes the stream, and so does the kind of value drawn. */
static void streams_differ(void **state) {
    (void)state;
    rng_stream streams[] = {rng_open(1, RNG_NOISE, 1, 1),
                            rng_open(2, RNG_NOISE, 1, 1),
                            rng_open(UINT64_C(1) << 32 | 1, RNG_NOISE, 1, 1),
                            rng_open(1, RNG_SAMPLE, 1, 1),
                            rng_open(1, RNG_NOISE, 2, 1),
                            rng_open(1, RNG_NOISE, UINT64_C(1) << 32 | 1, 1),
                            rng_open(1, RNG_NOISE, 1, 2)};
    enum { N = sizeof streams / sizeof *streams, DRAWS = 64 };
    uint32_t words[N][DRAWS];
    for (int s = 0; s < N; s++)
        for (int i = 0; i < DRAWS; i++) words[s][i] = rng_u32(&streams[s]);
    for (int s = 0; s < N; s++)
        for (int t = 0; t < s; t++)
            for (int i = 0; i < DRAWS; i++)
                for (int j = 0; j < DRAWS; j++) assert_int_not_equal(words[s][i], words[t][j]);
}

static void moments(void **state) {
    (void)state;
    enum { N = 200000 };
    static float x[N];
    rng_stream r = rng_open(11, RNG_NOISE, 0, 0);
    rng_fill_normal(&r, x, N);
    double m1 = 0, m2 = 0, m4 = 0, lag = 0;
    for (int i = 0; i < N; i++) {
        double square = (double)x[i] * x[i];
        m1 += x[i] / (double)N, m2 += square / N, m4 += square * square / N;
        if (i > 0) lag += (double)x[i] * x[i - 1] / N;
        assert_true(isfinite(x[i]));
    }
    /* Four standard errors of each. */
    assert_true(fabs(m1) < 4 / sqrt(N));
    assert_true(fabs(m2 - 1) < 4 * sqrt(2.0 / N));
    assert_true(fabs(m4 - 3) < 4 * sqrt(96.0 / N));
    assert_true(fabs(lag) < 4 / sqrt(N));

    double u1 = 0, u2 = 0;
    for (int i = 0; i < N; i++) {
        double u = rng_uniform(&r);
        assert_true(u >= 0 && u < 1);
        u1 += u / N, u2 += u * u / N;
    }
    assert_true(fabs(u1 - 0.5) < 4 * sqrt(1.0 / 12 / N));
    assert_true(fabs(u2 - 1.0 / 3) < 4 * sqrt(4.0 / 45 / N));
}

/* A uniform value and the normal value after it share no random bits: they are uncorrelated. */
static void mixed_draws_are_independent(void **state) {
    (void)state;
    enum { N = 100000 };
    double cross = 0, cross_size = 0;
    rng_stream r = rng_open(12, RNG_AUGMENT, 0, 0);
    for (int i = 0; i < N; i++) {
        double u = rng_uniform(&r) - 0.5, z = rng_normal(&r);
        cross += u * z / N;
        cross_size += u * (fabs(z) - 0.7978845608) / N;
    }
    assert_true(fabs(cross) < 4 * sqrt(1.0 / 12 / N));
    assert_true(fabs(cross_size) < 4 * sqrt((1 - 0.6366197724) / 12 / N));
}

static void bounded_integers(void **state) {
    (void)state;
    enum { N = 70000 };
    rng_stream r = rng_open(13, RNG_ORDER, 0, 0);
    int64_t count[7] = {0};
    for (int i = 0; i < N; i++) count[rng_below(&r, 7)]++;
    double chi = 0;
    for (int k = 0; k < 7; k++) chi += pow((double)count[k] - N / 7.0, 2) / (N / 7.0);
    assert_true(chi < 27); /* 6 degrees of freedom, p < 2e-4 */
    /* n = 3 * 2^62: plain remainders would put half of the draws below 2^62. */
    uint64_t large = UINT64_C(3) << 62;
    int below = 0;
    for (int i = 0; i < 3000; i++) {
        uint64_t x = rng_below(&r, large);
        assert_true(x < large);
        below += x < UINT64_C(1) << 62;
    }
    assert_in_range(below, 880, 1120);
    assert_int_equal(rng_below(&r, 1), 0);
    for (int i = 0; i < 1000; i++) {
        double x = rng_between(&r, -2, 3);
        assert_true(x >= -2 && x < 3);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(stream_is_philox),
        cmocka_unit_test(fill_equals_single_calls),
        cmocka_unit_test(streams_differ),
        cmocka_unit_test(moments),
        cmocka_unit_test(mixed_draws_are_independent),
        cmocka_unit_test(bounded_integers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
