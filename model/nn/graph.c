/* The graph of a network: growing lists of ops and of their parameters, and the functions that the
 * builders in ops/op_*.c share. */
#include "model/nn/op.h"

#include "io/alloc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

status graph_create(graph **out) { return array_alloc(out, 1, sizeof(graph), "a graph"); }

void graph_destroy(graph *g) {
    if (!g) return;
    free(g->ops);
    free(g->params);
    free(g);
}

status graph_check(const graph *g) {
    return g->fault == ST_OK ? ST_OK : status_fail(g->fault, "network: %s", g->message);
}

node graph_fault(graph *g, const char *format, ...) {
    if (g->fault != ST_OK) return NODE_NONE;
    g->fault = ST_USAGE;
    va_list list;
    va_start(list, format);
    vsnprintf(g->message, sizeof g->message, format, list);
    va_end(list);
    return NODE_NONE;
}

const graph_op *graph_value(graph *g, node x, const char *reader) {
    if (g->fault != ST_OK) return NULL;
    if (x < 0 || x >= g->count) {
        graph_fault(g, "%s reads node %d, which does not exist", reader, (int)x);
        return NULL;
    }
    if (g->ops[x].type != TYPE_F32) {
        graph_fault(g, "%s reads %s, which is not of type f32", reader, g->ops[x].name);
        return NULL;
    }
    return &g->ops[x];
}

/* Makes room for one more element in *list, a pointer to elements of `size`; doubles the list when
 * it is full. */
static bool grow(graph *g, void *list, int32_t count, int32_t *room, size_t size) {
    if (count < *room) return true;
    int32_t wanted = *room ? 2 * *room : 64;
    void *old = NULL;
    memcpy(&old, list, sizeof old);
    void *grown = realloc(old, (size_t)wanted * size);
    if (!grown) {
        graph_fault(g, "out of memory for %d entries", wanted);
        g->fault = ST_INTERNAL;
        return false;
    }
    memcpy(list, &grown, sizeof grown);
    *room = wanted;
    return true;
}

node graph_append(graph *g, graph_op *op) {
    for (int a = 0; a < 3; a++)
        if (op->shape[a] < 1)
            return graph_fault(g, "%s would have an empty result", op->kind->name);
    if (g->fault != ST_OK || !grow(g, &g->ops, g->count, &g->room, sizeof *g->ops))
        return NODE_NONE;
    op->first_param = g->param_count - op->params;
    op->block = g->block;
    g->ops[g->count] = *op;
    return g->count++;
}

void graph_name(graph *g, graph_op *op, const char *name) {
    /* 8: ".weight" and the final 0. */
    if (strlen(name) + 8 > sizeof op->name) graph_fault(g, "the layer name %s is too long", name);
    snprintf(op->name, sizeof op->name, "%s", name);
}

void graph_param(graph *g, graph_op *op, const char *suffix, int rank, const int64_t *shape,
                 param_init init, int64_t fan_in, bool decay) {
    if (g->fault != ST_OK) return;
    if (!grow(g, &g->params, g->param_count, &g->param_room, sizeof *g->params)) return;
    param *p = &g->params[g->param_count];
    *p = (param){.rank = rank,
                 .offset = g->total,
                 .count = 1,
                 .init = init,
                 .fan_in = fan_in,
                 .decay = decay && !g->frozen,
                 .frozen = g->frozen};
    snprintf(p->name, sizeof p->name, "%.*s.%s", PARAM_NAME - 16, op->name, suffix);
    for (int i = 0; i < g->param_count; i++)
        if (strcmp(g->params[i].name, p->name) == 0) {
            graph_fault(g, "two parameters are called %s", p->name);
            return;
        }
    for (int a = 0; a < rank; a++) {
        p->shape[a] = shape[a];
        if (!size_mul(p->count, shape[a], &p->count) || p->count < 1) {
            graph_fault(g, "parameter %s is empty or too large", p->name);
            return;
        }
    }
    if (!size_add(g->total, p->count, &g->total)) graph_fault(g, "too many parameters");
    g->param_count++;
    op->params++;
}

void graph_block(graph *g) { g->block++; }

void graph_freeze(graph *g, bool on) { g->frozen = on; }

void graph_given(graph *g, bool on) { g->given = on; }

bool graph_given_at(const graph *g, int i, graph_given_norm *out) {
    int32_t at = 0;
    while (at < g->count && (!g->ops[at].set.given || i-- > 0)) at++;
    if (at == g->count) return false;
    const graph_op *op = &g->ops[at];
    *out = (graph_given_norm){op->in[0], g->ops[op->in[op->inputs - 1]].name, op->set.groups};
    return true;
}

void graph_shape(const graph *g, node x, int64_t shape[4]) {
    shape[0] = 1;
    for (int a = 0; a < 3; a++) shape[a + 1] = x >= 0 && x < g->count ? g->ops[x].shape[a] : 0;
}

static const op_kind input_kind = {.name = "input"};

node graph_input(graph *g, const char *name, tensor_type type, int64_t h, int64_t w, int64_t c) {
    graph_op op = {.kind = &input_kind, .type = type, .shape = {h, w, c}};
    graph_name(g, &op, name);
    return graph_append(g, &op);
}
