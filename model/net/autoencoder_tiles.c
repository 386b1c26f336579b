/* The pieces in tiles, and the statistics of their norms. */
#include "model/net/autoencoder_tiles.h"

#include "io/alloc.h"
#include "model/net/blocks.h"
#include "model/nn/int_math.h"

#include <inttypes.h>
#include <string.h>

/* Origins of tiles are multiples of the border, and so of the pixels of a latent and of 2. NORMS:
 * of a piece. */
enum { NORMS = 2 };

struct tiled_decoder {
    autoencoder_config config;
    int64_t tile;
    const params *decoder;
    const kernels *engine;
    tensor_type compute;
    tiled_memory memory;
};

/* A piece while it is decoded. */
typedef struct tiled_piece {
    tiled_decoder *of;
    int64_t size, window; /* pixels of the level and of a tile with its border, along each axis */
    int64_t below_step;   /* pixels of the level a pixel of `below`, along each axis */
    int64_t below_channels;
    const float *below, *latent; /* whole */
    autoencoder_graph graph;
    params *params;
    float given[NORMS][2 * BLOCK_GROUPS];
} tiled_piece;

/* A tile: the window begins at `from`; pixels begin..end are taken from it. */
typedef struct tile_span {
    int64_t from, begin, end;
} tile_span;

status tiled_decoder_open(const autoencoder_config *c, int64_t tile, const params *decoder,
                          const kernels *engine, tensor_type compute, tiled_decoder **out) {
    status st = ST_OK;
    *out = NULL;
    if (tile < 1 || tile % TILES_BORDER != 0)
        TRY(status_fail(ST_INTERNAL, "decoder: tiles of %" PRId64 " pixels", tile));
    TRY(array_alloc(out, 1, sizeof **out, "a decoder in tiles"));
    **out = (tiled_decoder){
        .config = *c, .tile = tile, .decoder = decoder, .engine = engine, .compute = compute};
done:
    return st;
}

void tiled_decoder_close(tiled_decoder *t) { free(t); }

tiled_memory tiled_decoder_memory(const tiled_decoder *t) { return t->memory; }

/* Copies the values of a part of the decoder. */
static status take_values(const params *decoder, params *part) {
    for (int64_t k = 0, i = 0; k < part->count; k++) {
        const param *to = &part->list[k];
        while (i < decoder->count && strcmp(decoder->list[i].name, to->name) != 0) i++;
        if (i == decoder->count || decoder->list[i].count != to->count)
            return status_fail(ST_INTERNAL, "the decoder has no parameter %s", to->name);
        memcpy(part->value + to->offset, decoder->value + decoder->list[i].offset,
               (size_t)to->count * sizeof *part->value);
    }
    return ST_OK;
}

static status open_plan(const tiled_decoder *t, const graph *g, params *p, node output,
                        plan **out) {
    const plan_options options = {.engine = t->engine,
                                  .batch = 1,
                                  .compute = t->compute,
                                  .outputs = &output,
                                  .output_count = 1};
    return plan_create(g, p, &options, out);
}

static status fill(plan *pl, const char *name, const float *from) {
    tensor to;
    const status st = plan_input(pl, name, &to);
    if (st == ST_OK) memcpy(to.at, from, (size_t)tensor_bytes(&to));
    return st;
}

/* The end of level `level`, whole, in *out, which the caller frees; of level 0 the image. */
static status decode_top(tiled_decoder *t, int level, const float *latent, float **out) {
    status st = ST_OK;
    autoencoder_graph graph;
    params *p = NULL;
    plan *pl = NULL;
    *out = NULL;
    TRY(autoencoder_describe_top(&t->config, level, &graph));
    TRY(params_create(graph.g, &p));
    TRY(take_values(t->decoder, p));
    const node end = level == 0 ? graph.image : graph.features;
    TRY(open_plan(t, graph.g, p, end, &pl));
    TRY(fill(pl, "latent", latent));
    TRY(plan_forward(pl, NULL));
    const tensor y = plan_output(pl, end);
    TRY(array_alloc(out, tensor_count(&y), sizeof **out, "a level of the decoder"));
    memcpy(*out, y.at, (size_t)tensor_bytes(&y));
    t->memory.top = plan_arena_bytes(pl);
done:
    plan_destroy(pl);
    params_destroy(p);
    autoencoder_graph_free(&graph);
    return st;
}

static int64_t tiles_of(const tiled_piece *l) { return (l->size + l->of->tile - 1) / l->of->tile; }

static tile_span span_at(const tiled_piece *l, int64_t i) {
    const int64_t tile = l->of->tile, begin = i * tile, last = l->size - l->window;
    return (tile_span){max_i64(0, min_i64(begin - TILES_BORDER, last)), begin,
                       min_i64(begin + tile, l->size)};
}

/* Copies a window of `side` x `side` pixels from a whole one of `size`. */
static void cut(const float *from, int64_t size, int64_t channels, int64_t y, int64_t x,
                int64_t side, float *to) {
    for (int64_t r = 0; r < side; r++)
        memcpy(to + r * side * channels, from + ((y + r) * size + x) * channels,
               (size_t)(side * channels) * sizeof *to);
}

/* Fills the inputs of a tile and runs the plan. */
static status run_tile(const tiled_piece *l, plan *pl, tile_span y, tile_span x) {
    status st = ST_OK;
    const autoencoder_config *c = &l->of->config;
    tensor to;
    TRY(plan_input(pl, "below", &to));
    cut(l->below, l->size / l->below_step, l->below_channels, y.from / l->below_step,
        x.from / l->below_step, l->window / l->below_step, to.at);
    if (l->graph.image != NODE_NONE) {
        TRY(plan_input(pl, "latent", &to));
        cut(l->latent, l->size / c->factor, c->z, y.from / c->factor, x.from / c->factor,
            l->window / c->factor, to.at);
    }
    TRY(plan_forward(pl, NULL));
done:
    return st;
}

/* Creates a plan for a node, with the norms before `given` given. */
static status open_pass(const tiled_piece *l, node output, int given, plan **out) {
    status st = ST_OK;
    graph_given_norm norm;
    TRY(open_plan(l->of, l->graph.g, l->params, output, out));
    for (int i = 0; i < given && graph_given_at(l->graph.g, i, &norm); i++)
        TRY(fill(*out, norm.input, l->given[i]));
    l->of->memory.tile = max_i64(l->of->memory.tile, plan_arena_bytes(*out));
done:
    return st;
}

/* Sums and sums of squares of groups. */
typedef struct group_sums {
    double sum[BLOCK_GROUPS], squares[BLOCK_GROUPS];
} group_sums;

/* Adds what is taken from a tile x [window, window, channels]. */
static void add_tile(const tiled_piece *l, const tensor *x, tile_span rows, tile_span columns,
                     group_sums *to) {
    const int64_t channels = x->shape[3], width = channels / BLOCK_GROUPS;
    for (int64_t r = rows.begin; r < rows.end; r++) {
        for (int64_t k = columns.begin; k < columns.end; k++) {
            const float *at =
                (const float *)x->at + ((r - rows.from) * l->window + k - columns.from) * channels;
            for (int g = 0; g < BLOCK_GROUPS; g++) {
                double sum = 0, squares = 0;
                for (int64_t i = g * width; i < (g + 1) * width; i++) {
                    sum += (double)at[i];
                    squares += (double)at[i] * (double)at[i];
                }
                to->sum[g] += sum;
                to->squares[g] += squares;
            }
        }
    }
}

/* Measures mean and variance of norm i over the whole level. */
static status measure(tiled_piece *l, int i, const graph_given_norm *norm) {
    status st = ST_OK;
    plan *pl = NULL;
    group_sums all = {{0}, {0}};
    TRY(open_pass(l, norm->x, i, &pl));
    const tensor x = plan_output(pl, norm->x);
    for (int64_t y = 0; y < tiles_of(l); y++) {
        for (int64_t k = 0; k < tiles_of(l); k++) {
            const tile_span rows = span_at(l, y), columns = span_at(l, k);
            TRY(run_tile(l, pl, rows, columns));
            add_tile(l, &x, rows, columns, &all);
        }
    }
    const double n = (double)(l->size * l->size * (x.shape[3] / BLOCK_GROUPS));
    for (int g = 0; g < BLOCK_GROUPS; g++) {
        const double mean = all.sum[g] / n, variance = all.squares[g] / n - mean * mean;
        l->given[i][g] = (float)mean;
        l->given[i][BLOCK_GROUPS + g] = variance < 0 ? 0 : (float)variance;
    }
done:
    plan_destroy(pl);
    return st;
}

/* The last pass: writes the end of the piece, or the image, to out [size, size, channels]. */
static status write_piece(tiled_piece *l, int norms, node end, float *out) {
    status st = ST_OK;
    plan *pl = NULL;
    TRY(open_pass(l, end, norms, &pl));
    const tensor x = plan_output(pl, end);
    const int64_t channels = x.shape[3];
    for (int64_t y = 0; y < tiles_of(l); y++) {
        for (int64_t k = 0; k < tiles_of(l); k++) {
            const tile_span rows = span_at(l, y), columns = span_at(l, k);
            TRY(run_tile(l, pl, rows, columns));
            for (int64_t r = rows.begin; r < rows.end; r++)
                memcpy(out + (r * l->size + columns.begin) * channels,
                       (const float *)x.at +
                           ((r - rows.from) * l->window + columns.begin - columns.from) * channels,
                       (size_t)((columns.end - columns.begin) * channels) * sizeof *out);
        }
    }
done:
    plan_destroy(pl);
    return st;
}

/* The end of a piece in *out, which the caller frees, from that of the one before; of the last one
 * the image. */
static status decode_piece(tiled_decoder *t, int level, int piece, const float *below,
                           const float *latent, float **out) {
    status st = ST_OK;
    const autoencoder_config *c = &t->config;
    graph_given_norm norm;
    int norms = 0;
    int64_t side = 0, values = 0;
    tiled_piece l = {.of = t,
                     .size = c->size >> level,
                     .below_step = piece == 0 ? 2 : 1,
                     .below_channels = autoencoder_channels(c, level + (piece == 0)),
                     .below = below,
                     .latent = latent};
    *out = NULL;
    l.window = min_i64(t->tile + 2 * TILES_BORDER, l.size);
    TRY(autoencoder_describe_piece(c, level, piece, l.window, &l.graph));
    TRY(params_create(l.graph.g, &l.params));
    TRY(take_values(t->decoder, l.params));
    for (; graph_given_at(l.graph.g, norms, &norm); norms++) {
        if (norms == NORMS || norm.groups != BLOCK_GROUPS)
            TRY(status_fail(ST_INTERNAL, "decoder: the norms of piece %d of level %d are unknown",
                            piece, level));
        TRY(measure(&l, norms, &norm));
    }
    const bool last = l.graph.image != NODE_NONE;
    if (!size_mul(l.size, l.size, &side) ||
        !size_mul(side, last ? 1 : autoencoder_channels(c, level), &values))
        TRY(status_memory("a level of the decoder", INT64_MAX));
    TRY(array_alloc(out, values, sizeof **out, "a level of the decoder"));
    values += side / (l.below_step * l.below_step) * l.below_channels;
    t->memory.kept = max_i64(t->memory.kept, values * (int64_t)sizeof **out);
    TRY(write_piece(&l, norms, last ? l.graph.image : l.graph.features, *out));
done:
    params_destroy(l.params);
    autoencoder_graph_free(&l.graph);
    return st;
}

status tiled_decoder_run(tiled_decoder *t, const float *latent, float *image) {
    status st = ST_OK;
    const autoencoder_config *c = &t->config;
    float *end = NULL, *below = NULL;
    int top = autoencoder_levels(c) - 1;
    t->memory = (tiled_memory){0};
    while (top > 0 && c->size >> (top - 1) <= t->tile) top--;
    TRY(decode_top(t, top, latent, &end));
    for (int level = top - 1; level >= 0; level--) {
        for (int piece = 0; piece <= c->blocks + (level == 0); piece++) {
            free(below);
            below = end;
            end = NULL;
            TRY(decode_piece(t, level, piece, below, latent, &end));
        }
    }
    memcpy(image, end, (size_t)(c->size * c->size) * sizeof *image);
done:
    free(end);
    free(below);
    return st;
}
