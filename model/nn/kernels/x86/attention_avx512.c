/* Attention of one head with AVX512_BF16 and with AMX, by the algorithms of attention_plain.c (Dao
 * et al. 2022, algorithms 1 and 4). Every product is computed by the micro-kernel of
 * product_avx512.h or, for bf16 with AMX, by two AMX tiles of the same size.
 *
 * Operands are packed in the micro-kernel's units of 32 bits, in one of three layouts:
 *
 *   rows    [tokens, width]            as in the activations: a unit holds neighbours in the width
 *   across  [units of width, tokens]   rows transposed, unit by unit
 *   down    [units of tokens, width]   in bf16 a unit holds two tokens; in f32 the same as rows
 *
 * Width and tokens are padded with zeros to multiples of 32. The probabilities of keys past the end
 * are set to zero. Queries past the end have zeros in dy.
 */
#include "model/nn/kernels/x86/amx.h"
#include "model/nn/kernels/attention_head.h"
#include "model/nn/kernels/activations.h"
#include "model/nn/int_math.h"
#include "model/nn/kernels/x86/product_avx512.h"

#include <math.h>

/* The tiles of scores: 8 queries by FORWARD_KEYS keys forward, QUERIES by KEYS backward. GAP units
 * after each row keep rows from mapping to the same cache sets. */
enum { FORWARD_KEYS = 256, QUERIES = 64, KEYS = 128, GAP = 16 };
enum { TRANSPOSED_ROW = QUERIES / 2 + GAP, TRANSPOSED = KEYS * TRANSPOSED_ROW };

static int64_t padded(int64_t n) { return round_up(n, COLUMNS); }

/* micro_kernel() for bf16 with AMX tiles, with a_step 1. k is a multiple of 16. */
TARGET_AMX static void multiply_amx(const unit *a, int64_t a_row, const unit *b, int64_t b_step,
                                    int64_t k, bool add, float *c, int64_t c_row) {
    const int64_t a_bytes = a_row * 4, b_bytes = b_step * 4, c_bytes = c_row * 4;
    TILES_SETTLED();
    if (add) {
        _tile_loadd(0, c, c_bytes);
        _tile_loadd(1, c + TILE, c_bytes);
    } else {
        _tile_zero(0);
        _tile_zero(1);
    }
    for (int64_t i = 0; i < k; i += TILE) {
        _tile_loadd(2, a + i, a_bytes);
        _tile_loadd(3, b + i * b_step, b_bytes);
        _tile_loadd(4, b + i * b_step + TILE, b_bytes);
        _tile_dpbf16ps(0, 2, 3);
        _tile_dpbf16ps(1, 2, 4);
    }
    _tile_stored(0, c, c_bytes);
    _tile_stored(1, c + TILE, c_bytes);
    TILES_SETTLED();
}

TARGET_AMX static void begin(const head *h) {
    if (h->tiles) tiles_begin((const uint8_t[8]){ROWS, ROWS, ROWS, TILE, TILE});
}

TARGET_AMX static void end(const head *h) {
    if (h->tiles) _tile_release();
}

/* micro_kernel() for the type of the head, with AMX tiles if it has them. */
TARGET_AVX512_BF16 static void multiply(const head *h, const unit *a, int64_t a_row, int64_t a_step,
                                        const unit *b, int64_t b_step, int64_t k, bool add,
                                        float *c, int64_t c_row) {
    if (h->tiles)
        multiply_amx(a, a_row, b, b_step, k, add, c, c_row);
    else if (h->type == TYPE_BF16)
        micro_kernel(TYPE_BF16, a, a_row, a_step, b, b_step, k, add, c, c_row);
    else
        micro_kernel(TYPE_F32, a, a_row, a_step, b, b_step, k, add, c, c_row);
}

/* The padded sizes of a head. */
typedef struct sizes {
    int64_t tokens, width; /* multiples of 32 */
    int64_t pair;          /* elements of a unit: 1 in f32, 2 in bf16 */
    int64_t row;           /* units of a row of a packed operand */
    int64_t floats;        /* of sums [tokens, width]; units of a packed operand, at most */
} sizes;

static sizes sizes_of(int64_t tokens, int64_t width, tensor_type type) {
    sizes z = {.tokens = padded(tokens), .width = padded(width), .pair = type == TYPE_BF16 ? 2 : 1};
    z.row = z.width / z.pair;
    z.floats = z.tokens * z.width;
    return z;
}

/* ---- packing ---- */

/* rows from x, token 0 of q, k, v or dy, whose tokens are `stride` elements apart. */
TARGET_AVX512_BF16 static void pack_rows(const head *a, const sizes *z, const void *x,
                                         int64_t stride, unit *rows) {
    const int64_t bytes = a->width * tensor_element_bytes(a->type),
                  step = stride * tensor_element_bytes(a->type);
    const char *from = x;
    for (int64_t t = 0; t < a->tokens; t++, rows += z->row, from += step) {
        for (int64_t u = 0; u < z->row; u += LANES) {
            int64_t left = bytes - u * 4;
            __mmask64 some = left >= 64 ? ~0ull : left > 0 ? (1ull << left) - 1 : 0;
            _mm512_store_si512(rows + u, _mm512_maskz_loadu_epi8(some, from + u * 4));
        }
    }
    memset(rows, 0, (size_t)((z->tokens - a->tokens) * z->row) * sizeof *rows);
}

/* Four units each of the rows 0, 4, 8 and 12 of `rows`, in the four quarters of a vector. */
INLINE_AVX512_BF16 __m512 four_rows(const unit *rows, int64_t row) {
    __m512 v = _mm512_castps128_ps512(_mm_loadu_ps((const void *)rows));
    v = _mm512_insertf32x4(v, _mm_loadu_ps((const void *)(rows + 4 * row)), 1);
    v = _mm512_insertf32x4(v, _mm_loadu_ps((const void *)(rows + 8 * row)), 2);
    return _mm512_insertf32x4(v, _mm_loadu_ps((const void *)(rows + 12 * row)), 3);
}

/* across from rows: 16 tokens by 4 units at a time, a 4 x 4 transpose per quarter of a vector. */
TARGET_AVX512_BF16 static void pack_across(const sizes *z, const unit *rows, unit *across) {
    for (int64_t t = 0; t < z->tokens; t += LANES) {
        for (int64_t u = 0; u < z->row; u += 4) {
            const unit *from = rows + t * z->row + u;
            __m512 r0 = four_rows(from, z->row), r1 = four_rows(from + z->row, z->row);
            __m512 r2 = four_rows(from + 2 * z->row, z->row);
            __m512 r3 = four_rows(from + 3 * z->row, z->row);
            __m512d low01 = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1));
            __m512d low23 = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
            __m512d high01 = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1));
            __m512d high23 = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
            unit *to = across + u * z->tokens + t;
            _mm512_store_pd(to, _mm512_unpacklo_pd(low01, low23));
            _mm512_store_pd(to + z->tokens, _mm512_unpackhi_pd(low01, low23));
            _mm512_store_pd(to + 2 * z->tokens, _mm512_unpacklo_pd(high01, high23));
            _mm512_store_pd(to + 3 * z->tokens, _mm512_unpackhi_pd(high01, high23));
        }
    }
}

/* down from rows of bf16. */
TARGET_AVX512_BF16 static void pack_down(const sizes *z, const unit *rows, unit *down) {
    for (int64_t t = 0; t < z->tokens; t += 2, rows += 2 * z->row, down += z->width) {
        for (int64_t e = 0; e < z->width; e += LANES) {
            __m256i one = _mm256_load_si256((const __m256i *)(rows + e / 2));
            __m256i two = _mm256_load_si256((const __m256i *)(rows + z->row + e / 2));
            _mm512_store_si512(down + e, interleave16(one, two));
        }
    }
}

/* Elements [at, at + n) of y = sums times factor. */
INLINE_AVX512_BF16 void write_row(tensor_type type, const float *sums, int64_t n, float factor,
                                  void *y, int64_t at) {
    for (int64_t e = 0; e < n; e += LANES) {
        __m512 v = _mm512_mul_ps(_mm512_load_ps(sums + e), _mm512_set1_ps(factor));
        store16(type, y, at + e, false, first_lanes(n - e), v);
    }
}

/* `rows` rows of y, `stride` elements apart, = sums [rows, width] times factor. */
TARGET_AVX512_BF16 static void write_rows(const head *a, const sizes *z, const float *sums,
                                          int64_t rows, float factor, void *y, int64_t stride) {
    for (int64_t t = 0; t < rows; t++) {
        if (a->type == TYPE_BF16)
            write_row(TYPE_BF16, sums + t * z->width, a->width, factor, y, t * stride);
        else
            write_row(TYPE_F32, sums + t * z->width, a->width, factor, y, t * stride);
    }
}

/* ---- forward ---- */

typedef struct forward {
    sizes z;
    unit *q, *k_across, *v_down;
    float *score, *sum; /* [8, FORWARD_KEYS + GAP], [8, width] */
    unit *p;            /* [8, units of FORWARD_KEYS + GAP] */
    unit *spare;        /* rows */
} forward;

static forward forward_of(const head *a) {
    forward f = {.z = sizes_of(a->tokens, a->width, a->type)};
    unit *at = a->scratch;
    f.q = at, at += f.z.floats;
    f.k_across = at, at += f.z.floats;
    f.v_down = at, at += f.z.floats;
    f.spare = at, at += f.z.floats;
    f.score = (void *)at, at += ROWS * (FORWARD_KEYS + GAP);
    f.p = at, at += ROWS * (FORWARD_KEYS + GAP);
    f.sum = (void *)at;
    return f;
}

static int64_t forward_units(const sizes *z) {
    return 4 * z->floats + 2 * ROWS * (FORWARD_KEYS + GAP) + ROWS * z->width;
}

/* 2^(score scale - max) of 16 keys; zero in lanes outside the mask, unless whole. */
INLINE_AVX512_BF16 __m512 probability(const float *score, __m512 scale, __m512 max, bool whole,
                                      __mmask16 lanes) {
    __m512 p = exp2_of(TYPE_F32, _mm512_fmsub_ps(_mm512_load_ps(score), scale, max));
    return whole ? p : _mm512_maskz_mov_ps(lanes, p);
}

/* The maximum of a row of scores. */
INLINE_AVX512_BF16 float row_max(const float *score, int64_t keys) {
    const int64_t whole = keys / LANES * LANES;
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (int64_t j = 0; j < whole; j += LANES) top = _mm512_max_ps(top, _mm512_load_ps(score + j));
    if (whole < keys)
        top =
            _mm512_mask_max_ps(top, first_lanes(keys - whole), top, _mm512_load_ps(score + whole));
    return _mm512_reduce_max_ps(top);
}

/* p = 2^(score scale - max) for a row of scores, zero past its end; returns the sum. */
INLINE_AVX512_BF16 float row_probabilities(tensor_type type, const float *score, int64_t keys,
                                           float scale, float max, unit *p) {
    const int64_t whole = keys / LANES * LANES;
    const __m512 factor = _mm512_set1_ps(scale), offset = _mm512_set1_ps(max);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t j = 0; j < whole; j += LANES) {
        __m512 x = probability(score + j, factor, offset, true, 0xffff);
        sum = _mm512_add_ps(sum, x);
        store16(type, p, j, true, 0xffff, x);
    }
    for (int64_t j = whole; j < padded(keys); j += LANES) {
        __m512 x =
            probability(score + j, factor, offset, false, first_lanes(j < keys ? keys - j : 0));
        sum = _mm512_add_ps(sum, x);
        store16(type, p, j, true, 0xffff, x);
    }
    return _mm512_reduce_add_ps(sum);
}

/* The state of an online softmax over 8 rows (Milakov & Gimelshein 2018), in powers of 2. */
typedef struct softmax {
    float max[ROWS];    /* of score scale, so far */
    float total[ROWS];  /* sum of 2^(score scale - max) */
    float shrink[ROWS]; /* factor for sums that were computed with the previous max */
} softmax;

/* Adds a tile of scores over `keys` keys to the softmax; p = 2^(score scale - max), zero for keys
 * past the end. Two loops over the rows instead of one, so that rows overlap in the pipeline. */
INLINE_AVX512_BF16 void softmax_tile(tensor_type type, const float *score, int64_t keys,
                                     float scale, softmax *m, unit *p) {
    const int64_t score_row = FORWARD_KEYS + GAP,
                  p_row = type == TYPE_BF16 ? score_row / 2 : score_row;
    float before[ROWS];
    for (int r = 0; r < ROWS; r++) {
        float max = row_max(score + r * score_row, keys) * scale;
        before[r] = m->max[r];
        m->max[r] = max > before[r] ? max : before[r];
    }
    for (int r = 0; r < ROWS; r++) {
        float sum =
            row_probabilities(type, score + r * score_row, keys, scale, m->max[r], p + r * p_row);
        m->shrink[r] = before[r] == -INFINITY ? 0 : exp2f(before[r] - m->max[r]);
        m->total[r] = m->total[r] * m->shrink[r] + sum;
    }
}

INLINE_AVX512_BF16 void scale_row(float *row, int64_t n, float factor) {
    for (int64_t e = 0; e < n; e += LANES)
        _mm512_store_ps(row + e, _mm512_mul_ps(_mm512_load_ps(row + e), _mm512_set1_ps(factor)));
}

/* y and logsum of the queries [first, first + 8). */
TARGET_AVX512_BF16 static void queries_forward(const head *a, const forward *f, int64_t first,
                                               void *y, float *logsum) {
    const sizes *z = &f->z;
    const int64_t score_row = FORWARD_KEYS + GAP, p_row = score_row / z->pair;
    const float scale = a->scale * (float)M_LOG2E;
    softmax m = {.total = {0}};
    for (int r = 0; r < ROWS; r++) m.max[r] = -INFINITY;
    for (int64_t j = 0; j < a->tokens; j += FORWARD_KEYS) {
        int64_t keys = min_i64(FORWARD_KEYS, a->tokens - j);
        for (int64_t i = 0; i < keys; i += COLUMNS)
            multiply(a, f->q + first * z->row, z->row, 1, f->k_across + j + i, z->tokens, z->row,
                     false, f->score + i, score_row);
        if (a->type == TYPE_BF16)
            softmax_tile(TYPE_BF16, f->score, keys, scale, &m, f->p);
        else
            softmax_tile(TYPE_F32, f->score, keys, scale, &m, f->p);
        for (int r = 0; j > 0 && r < ROWS; r++)
            scale_row(f->sum + r * z->width, z->width, m.shrink[r]);
        for (int64_t e = 0; e < z->width; e += COLUMNS)
            multiply(a, f->p, p_row, 1, f->v_down + j / z->pair * z->width + e, z->width,
                     padded(keys) / z->pair, j > 0, f->sum + e, z->width);
    }
    for (int64_t r = 0; r < ROWS && first + r < a->tokens; r++) {
        logsum[first + r] = (m.max[r] + log2f(m.total[r])) * (float)M_LN2;
        write_rows(a, z, f->sum + r * z->width, 1, 1 / m.total[r],
                   activation_at(a->type, y, (first + r) * a->channels), a->channels);
    }
}

static status avx512_forward(const head *a, const void *q, void *y, float *logsum) {
    forward f = forward_of(a);
    const void *k = activation_at(a->type, q, a->channels),
               *v = activation_at(a->type, q, 2 * a->channels);
    pack_rows(a, &f.z, q, 3 * a->channels, f.q);
    pack_rows(a, &f.z, k, 3 * a->channels, f.spare);
    pack_across(&f.z, f.spare, f.k_across);
    if (a->type == TYPE_BF16) {
        pack_rows(a, &f.z, v, 3 * a->channels, f.spare);
        pack_down(&f.z, f.spare, f.v_down);
    } else {
        pack_rows(a, &f.z, v, 3 * a->channels, f.v_down);
    }
    begin(a);
    for (int64_t i = 0; i < a->tokens; i += ROWS) queries_forward(a, &f, i, y, logsum);
    end(a);
    return ST_OK;
}

/* ---- backward ---- */

typedef struct backward {
    sizes z;
    unit *q, *dy, *k; /* rows */
    unit *k_across, *v_across;
    unit *q_down, *k_down, *dy_down;    /* in f32 the rows */
    unit *ds;                           /* [QUERIES, units of KEYS + GAP]; in f32 also ds_down */
    unit *p_down, *ds_down;             /* [units of QUERIES, KEYS + GAP] */
    unit *p_transposed, *ds_transposed; /* with AMX: [KEYS, units of QUERIES + GAP] */
    float *score, *dp;                  /* [8, KEYS + GAP] */
    float *dq, *dk, *dv;                /* [QUERIES, width], [tokens, width] */
    float *logsum, *inner; /* [tokens]: log2 of the softmax sums; sums over keys of p dp */
} backward;

static backward backward_of(const head *a) {
    backward b = {.z = sizes_of(a->tokens, a->width, a->type)};
    const int64_t tile = QUERIES * (KEYS + GAP);
    unit *at = a->scratch;
    unit **const operands[] = {&b.q, &b.dy, &b.k, &b.k_across, &b.v_across};
    unit **const downs[] = {&b.q_down, &b.dy_down, &b.k_down};
    for (int i = 0; i < 5; i++) *operands[i] = at, at += b.z.floats;
    for (int i = 0; i < 3; i++) {
        *downs[i] = *operands[i];
        if (b.z.pair == 2) *downs[i] = at, at += b.z.floats;
    }
    b.p_down = at, at += tile;
    b.ds = b.ds_down = at, at += tile;
    if (b.z.pair == 2) {
        b.ds_down = at, at += tile;
        b.p_transposed = at, at += TRANSPOSED;
        b.ds_transposed = at, at += TRANSPOSED;
    }
    b.score = (void *)at, at += ROWS * (KEYS + GAP);
    b.dp = (void *)at, at += ROWS * (KEYS + GAP);
    b.dq = (void *)at, at += QUERIES * b.z.width;
    b.dk = (void *)at, at += b.z.floats;
    b.dv = (void *)at, at += b.z.floats;
    b.logsum = (void *)at, at += b.z.tokens;
    b.inner = (void *)at;
    return b;
}

static int64_t backward_units(const sizes *z) {
    return (5 + 3 + 2) * z->floats + 3 * QUERIES * (KEYS + GAP) + 2 * TRANSPOSED +
           2 * ROWS * (KEYS + GAP) + QUERIES * z->width + 2 * z->tokens;
}

/* The dot product of elements [at, at + n) of x and y. */
INLINE_AVX512_BF16 float dot(tensor_type type, const void *x, const void *y, int64_t at,
                             int64_t n) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t e = 0; e < n; e += LANES) {
        __mmask16 lanes = first_lanes(n - e);
        sum = _mm512_fmadd_ps(load16(type, x, at + e, false, lanes),
                              load16(type, y, at + e, false, lanes), sum);
    }
    return _mm512_reduce_add_ps(sum);
}

/* Packs q, k, v and dy; computes logsum and inner (= y dy, summed over the width). */
TARGET_AVX512_BF16 static void backward_pack(const head *a, const backward *b, const void *q,
                                             const void *y, const float *logsum, const void *dy) {
    const sizes *z = &b->z;
    pack_rows(a, z, activation_at(a->type, q, 2 * a->channels), 3 * a->channels, b->k);
    pack_across(z, b->k, b->v_across);
    pack_rows(a, z, activation_at(a->type, q, a->channels), 3 * a->channels, b->k);
    pack_across(z, b->k, b->k_across);
    pack_rows(a, z, q, 3 * a->channels, b->q);
    pack_rows(a, z, dy, a->channels, b->dy);
    if (z->pair == 2) {
        pack_down(z, b->k, b->k_down);
        pack_down(z, b->q, b->q_down);
        pack_down(z, b->dy, b->dy_down);
    }
    for (int64_t t = 0; t < z->tokens; t++) {
        b->logsum[t] = t < a->tokens ? logsum[t] * (float)M_LOG2E : 0;
        b->inner[t] = 0;
        if (t < a->tokens && a->type == TYPE_BF16)
            b->inner[t] = dot(TYPE_BF16, y, dy, t * a->channels, a->width);
        else if (t < a->tokens)
            b->inner[t] = dot(TYPE_F32, y, dy, t * a->channels, a->width);
    }
}

/* p and ds of the queries t and t + 1 and the keys [j, j + 16). The queries are rows r and r + 1 of
 * score and dp, and rows `row` and `row` + 1 of p and ds. */
INLINE_AVX512_BF16 void two_queries(tensor_type type, const backward *b, __m512 scale, int64_t r,
                                    int64_t t, int64_t row, int64_t j, bool whole,
                                    __mmask16 lanes) {
    const int64_t stride = KEYS + GAP;
    const float *score = b->score + r * stride + j, *dp = b->dp + r * stride + j;
    __m512 p0 = probability(score, scale, _mm512_set1_ps(b->logsum[t]), whole, lanes);
    __m512 p1 = probability(score + stride, scale, _mm512_set1_ps(b->logsum[t + 1]), whole, lanes);
    __m512 ds0 = _mm512_sub_ps(_mm512_load_ps(dp), _mm512_set1_ps(b->inner[t]));
    __m512 ds1 = _mm512_sub_ps(_mm512_load_ps(dp + stride), _mm512_set1_ps(b->inner[t + 1]));
    ds0 = _mm512_mul_ps(p0, ds0), ds1 = _mm512_mul_ps(p1, ds1);
    if (type == TYPE_BF16) {
        __m512i p = (__m512i)_mm512_cvtne2ps_pbh(p1, p0);
        __m512i ds = (__m512i)_mm512_cvtne2ps_pbh(ds1, ds0);
        unit *to = b->ds + row * stride / 2 + j / 2;
        _mm512_store_si512(b->p_down + row / 2 * stride + j, interleave_halves(p));
        _mm512_store_si512(b->ds_down + row / 2 * stride + j, interleave_halves(ds));
        _mm256_store_si256((__m256i *)to, _mm512_castsi512_si256(ds));
        _mm256_store_si256((__m256i *)(to + stride / 2), _mm512_extracti64x4_epi64(ds, 1));
    } else {
        _mm512_store_ps(b->p_down + row * stride + j, p0);
        _mm512_store_ps(b->p_down + (row + 1) * stride + j, p1);
        _mm512_store_ps(b->ds + row * stride + j, ds0);
        _mm512_store_ps(b->ds + (row + 1) * stride + j, ds1);
    }
}

/* The same for the queries [t, t + 8) and `keys` keys. */
INLINE_AVX512_BF16 void eight_queries(tensor_type type, const backward *b, float scale, int64_t t,
                                      int64_t row, int64_t keys) {
    const int64_t whole = keys / LANES * LANES;
    const __m512 factor = _mm512_set1_ps(scale);
    for (int64_t r = 0; r < ROWS; r += 2) {
        for (int64_t j = 0; j < whole; j += LANES)
            two_queries(type, b, factor, r, t + r, row + r, j, true, 0xffff);
        for (int64_t j = whole; j < padded(keys); j += LANES)
            two_queries(type, b, factor, r, t + r, row + r, j, false,
                        first_lanes(j < keys ? keys - j : 0));
    }
}

/* Transposes p or ds: AMX sums along the rows of its left operand, which are then keys. */
TARGET_AVX512_BF16 static void transpose_down(const unit *down, int64_t pairs, int64_t keys,
                                              unit *to) {
    for (int64_t u = 0; u < pairs; u += TILE)
        for (int64_t c = 0; c < keys; c += TILE) {
            __m512 rows[TILE];
            for (int i = 0; i < TILE; i++)
                rows[i] = _mm512_load_ps(down + (u + i) * (KEYS + GAP) + c);
            transpose16(rows);
            for (int i = 0; i < TILE; i++)
                _mm512_store_ps(to + (c + i) * TRANSPOSED_ROW + u, rows[i]);
        }
}

/* The contributions of queries [first, first + rows) and keys [j, j + keys) to dq of these queries
 * and to dk and dv of these keys. The first keys (j = 0) overwrite dq, the first queries overwrite
 * dk and dv. */
TARGET_AVX512_BF16 static void tile_backward(const head *a, const backward *b, int64_t first,
                                             int64_t rows, int64_t j, int64_t keys) {
    const sizes *z = &b->z;
    const int64_t stride = KEYS + GAP, wide = padded(keys), pairs = rows / z->pair;
    const float scale = a->scale * (float)M_LOG2E;
    for (int64_t i = 0; i < rows; i += ROWS) {
        int64_t t = first + i;
        for (int64_t c = 0; c < wide; c += COLUMNS) {
            multiply(a, b->q + t * z->row, z->row, 1, b->k_across + j + c, z->tokens, z->row, false,
                     b->score + c, stride);
            multiply(a, b->dy + t * z->row, z->row, 1, b->v_across + j + c, z->tokens, z->row,
                     false, b->dp + c, stride);
        }
        if (a->type == TYPE_BF16)
            eight_queries(TYPE_BF16, b, scale, t, i, keys);
        else
            eight_queries(TYPE_F32, b, scale, t, i, keys);
    }
    const unit *p = b->p_down, *ds = b->ds_down;
    int64_t key = 1, step = stride; /* strides from one key and one unit of the sum to the next */
    if (a->tiles) {
        transpose_down(p, pairs, wide, b->p_transposed),
            transpose_down(ds, pairs, wide, b->ds_transposed);
        p = b->p_transposed, ds = b->ds_transposed, key = TRANSPOSED_ROW, step = 1;
    }
    for (int64_t e = 0; e < z->width; e += COLUMNS) {
        int64_t q_at = first / z->pair * z->width + e;
        for (int64_t c = 0; c < wide; c += ROWS) {
            int64_t k_at = (j + c) * z->width + e;
            multiply(a, p + c * key, key, step, b->dy_down + q_at, z->width, pairs, first > 0,
                     b->dv + k_at, z->width);
            multiply(a, ds + c * key, key, step, b->q_down + q_at, z->width, pairs, first > 0,
                     b->dk + k_at, z->width);
        }
        for (int64_t i = 0; i < rows; i += ROWS)
            multiply(a, b->ds + i * stride / z->pair, stride / z->pair, 1,
                     b->k_down + j / z->pair * z->width + e, z->width, wide / z->pair, j > 0,
                     b->dq + i * z->width + e, z->width);
    }
}

static status avx512_backward(const head *a, const void *q, const void *y, const float *logsum,
                              const void *dy, void *dq) {
    backward b = backward_of(a);
    const int64_t stride = 3 * a->channels;
    backward_pack(a, &b, q, y, logsum, dy);
    begin(a);
    for (int64_t i = 0; i < a->tokens; i += QUERIES) {
        for (int64_t j = 0; j < a->tokens; j += KEYS)
            tile_backward(a, &b, i, min_i64(QUERIES, b.z.tokens - i), j,
                          min_i64(KEYS, a->tokens - j));
        write_rows(a, &b.z, b.dq, min_i64(QUERIES, a->tokens - i), a->scale,
                   activation_at(a->type, dq, i * stride), stride);
    }
    end(a);
    write_rows(a, &b.z, b.dk, a->tokens, a->scale, activation_at(a->type, dq, a->channels), stride);
    write_rows(a, &b.z, b.dv, a->tokens, 1, activation_at(a->type, dq, 2 * a->channels), stride);
    return ST_OK;
}

static int64_t avx512_scratch(int64_t tokens, int64_t width, tensor_type type) {
    sizes z = sizes_of(tokens, width, type);
    int64_t forward = forward_units(&z), backward = backward_units(&z);
    return (forward > backward ? forward : backward) * (int64_t)sizeof(unit);
}

const head_kernels head_avx512 = {false, avx512_scratch, avx512_forward, avx512_backward};
const head_kernels head_amx = {true, avx512_scratch, avx512_forward, avx512_backward};
