/* Streams of Philox words: word `at` of a stream is word at % 4 of block at / 4, so that any
 * position can be computed directly. Single draws recompute their block; the fill functions compute
 * each block once. */
#include "model/rng.h"

#include <Random123/philox.h>
#include <math.h>

enum { BLOCK = 4 };

/* First block of the normals: they use the upper half of the block numbers. */
static const uint32_t NORMAL_BLOCKS = UINT32_C(1) << 31;

static const double TWO_PI = 6.283185307179586477;

static philox4x32_ctr_t philox(const uint32_t key[2], uint32_t c0, uint32_t c1, uint32_t c2,
                               uint32_t c3) {
    philox4x32_ctr_t counter = {{c0, c1, c2, c3}};
    philox4x32_key_t k = {{key[0], key[1]}};
    return philox4x32(counter, k);
}

/* The block that holds position `at`; first_block: 0 or NORMAL_BLOCKS. */
static philox4x32_ctr_t block_of(const rng_stream *r, uint64_t at, uint32_t first_block) {
    uint32_t block = ((uint32_t)(at / BLOCK) & (NORMAL_BLOCKS - 1)) | first_block;
    return philox(r->key, block, (uint32_t)r->index, (uint32_t)(r->index >> 32), r->step);
}

rng_stream rng_open(uint64_t seed, rng_purpose purpose, uint64_t index, uint32_t step) {
    uint32_t words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    philox4x32_ctr_t mixed = philox(words, (uint32_t)purpose, 0, 0, 0);
    return (rng_stream){.key = {mixed.v[0], mixed.v[1]}, .step = step, .index = index};
}

uint32_t rng_u32(rng_stream *r) {
    uint64_t at = r->at++;
    return block_of(r, at, 0).v[at % BLOCK];
}

double rng_uniform(rng_stream *r) { return rng_u32(r) * 0x1p-32; }

double rng_between(rng_stream *r, double a, double b) {
    double x = a + (b - a) * rng_uniform(r);
    return x < b ? x : a; /* rounding may reach b */
}

/* Rejects values below 2^64 mod n, so that every remainder is equally frequent. */
uint64_t rng_below(rng_stream *r, uint64_t n) {
    uint64_t reject = -n % n;
    for (;;) {
        uint64_t low = rng_u32(r);
        uint64_t x = (uint64_t)rng_u32(r) << 32 | low;
        if (x >= reject) return x % n;
    }
}

/* Two normals from two words (Box & Muller 1958). The first uniform lies in (0, 1], which avoids
 * log(0). */
static void box_muller(uint32_t first, uint32_t second, double out[2]) {
    double radius = sqrt(-2.0 * log(((double)first + 1.0) * 0x1p-32));
    double angle = TWO_PI * (second * 0x1p-32);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

/* The normals at positions 2k and 2k + 1 are the pair computed from words 2k and 2k + 1. */
double rng_normal(rng_stream *r) {
    uint64_t at = r->at++;
    philox4x32_ctr_t block = block_of(r, at, NORMAL_BLOCKS);
    uint64_t pair = at % BLOCK & ~UINT64_C(1);
    double out[2];
    box_muller(block.v[pair], block.v[pair + 1], out);
    return out[at % 2];
}

void rng_fill_normal(rng_stream *r, float *out, int64_t n) {
    int64_t i = 0;
    for (; i < n && r->at % BLOCK != 0; i++) out[i] = (float)rng_normal(r);
    for (; i + BLOCK <= n; i += BLOCK) {
        philox4x32_ctr_t block = block_of(r, r->at, NORMAL_BLOCKS);
        for (int pair = 0; pair < BLOCK; pair += 2) {
            double two[2];
            box_muller(block.v[pair], block.v[pair + 1], two);
            out[i + pair] = (float)two[0];
            out[i + pair + 1] = (float)two[1];
        }
        r->at += BLOCK;
    }
    for (; i < n; i++) out[i] = (float)rng_normal(r);
}

static float truncated_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

void rng_fill_uniform(rng_stream *r, float *out, int64_t n) {
    int64_t i = 0;
    for (; i < n && r->at % BLOCK != 0; i++) out[i] = truncated_uniform(rng_u32(r));
    for (; i + BLOCK <= n; i += BLOCK) {
        philox4x32_ctr_t block = block_of(r, r->at, 0);
        for (int k = 0; k < BLOCK; k++) out[i + k] = truncated_uniform(block.v[k]);
        r->at += BLOCK;
    }
    for (; i < n; i++) out[i] = truncated_uniform(rng_u32(r));
}
