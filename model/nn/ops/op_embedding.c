/* Tokens to vectors: a row of a table for each token, plus a learnt vector for its place (Radford
 * et al. 2018, eq. 2). */
#include "model/nn/op.h"

#include <inttypes.h>

/* Columns of the tables that a thread adds to at a time. */
enum { COLUMNS = 32 };

static status embedding_forward(op_run *r) {
    const int64_t width = r->out.shape[3], places = r->out.shape[1] * r->out.shape[2];
    const int64_t rows = r->op->set.rows, n = r->batch * places;
    const float *tokens = r->in[0].at;
    float *y = r->out.at;
    for (int64_t t = 0; t < n; t++)
        if (!(tokens[t] >= 0 && tokens[t] < (float)rows))
            return status_fail(ST_INPUT, "%s: token %g, but there are only %" PRId64, r->op->name,
                               (double)tokens[t], rows);
#pragma omp parallel for schedule(static)
    for (int64_t t = 0; t < n; t++) {
        const float *row = r->param[0] + (int64_t)tokens[t] * width;
        const float *place = r->param[1] + t % places * width;
        for (int64_t k = 0; k < width; k++) y[t * width + k] = row[k] + place[k];
    }
    return ST_OK;
}

/* Each thread adds to columns of its own, in the order of the tokens. */
static status embedding_backward(op_run *r) {
    const int64_t width = r->out.shape[3], places = r->out.shape[1] * r->out.shape[2];
    const float *tokens = r->in[0].at, *dy = r->grad_out;
#pragma omp parallel for schedule(static)
    for (int64_t first = 0; first < width; first += COLUMNS) {
        const int64_t end = first + COLUMNS < width ? first + COLUMNS : width;
        for (int64_t t = 0; t < r->batch * places; t++) {
            float *row = r->grad_param[0] + (int64_t)tokens[t] * width;
            float *place = r->grad_param[1] + t % places * width;
            for (int64_t k = first; k < end; k++) {
                row[k] += dy[t * width + k];
                place[k] += dy[t * width + k];
            }
        }
    }
    return ST_OK;
}

static const op_kind embedding_kind = {.name = "embedding",
                                       .backward_reads = BIT_IN0,
                                       .forward = embedding_forward,
                                       .backward = embedding_backward};

node graph_embedding(graph *g, const char *name, node tokens, int64_t rows, int64_t width) {
    const graph_op *from = graph_value(g, tokens, name);
    if (!from) return NODE_NONE;
    if (g->frozen) return graph_fault(g, "%s: only convolutions can be frozen", name);
    if (from->shape[2] != 1) return graph_fault(g, "%s: a token is one value", name);
    if (rows < 1 || rows > EMBEDDING_ROWS_MAX)
        return graph_fault(g, "%s: %" PRId64 " tokens are not in 1..%d", name, rows,
                           EMBEDDING_ROWS_MAX);
    const int64_t places = from->shape[0] * from->shape[1];
    graph_op op = {.kind = &embedding_kind,
                   .in = {tokens},
                   .inputs = 1,
                   .shape = {from->shape[0], from->shape[1], width},
                   .set = {.rows = rows}};
    graph_name(g, &op, name);
    /* As large as what normed layers add to it: the sum goes on saying which token it is of. */
    graph_param(g, &op, "weight", 2, (int64_t[]){rows, width}, PARAM_UNIFORM, 1, false);
    graph_param(g, &op, "place", 2, (int64_t[]){places, width}, PARAM_UNIFORM, width, false);
    return graph_append(g, &op);
}
