/* Power iteration, division by sigma, and the gradient through it. */
#include "model/net/spectral.h"

#include "io/alloc.h"

#include <math.h>
#include <string.h>

/* A normalised weight, as a matrix of rows x columns. */
typedef struct matrix {
    int64_t at, u; /* offsets of W and u in the flat buffer */
    int64_t rows, columns;
    float *kept; /* [rows * columns]: W */
    double *v;   /* [columns] */
    double sigma;
} matrix;

struct spectral {
    params *params;
    matrix *list;
    int64_t count;
    double *s; /* [the most rows] */
};

/* The weight of parameter `index`, a u: two before it. */
static status open_matrix(const params *p, int64_t index, matrix *m) {
    status st = ST_OK;
    const param *u = &p->list[index], *w = &p->list[index - 2];
    m->at = w->offset;
    m->u = u->offset;
    m->rows = u->count;
    m->columns = w->count / u->count;
    TRY(array_alloc(&m->kept, w->count, sizeof *m->kept, "spectral normalisation"));
    TRY(array_alloc(&m->v, m->columns, sizeof *m->v, "spectral normalisation"));
done:
    return st;
}

status spectral_create(params *p, spectral **out) {
    status st = ST_OK;
    spectral *s = NULL;
    int64_t most = 1;
    *out = NULL;
    TRY(array_alloc(&s, 1, sizeof *s, "spectral normalisation"));
    s->params = p;
    TRY(array_alloc(&s->list, p->count, sizeof *s->list, "spectral normalisation"));
    for (int64_t i = 0; i < p->count; i++) {
        if (p->list[i].init != PARAM_DIRECTION) continue;
        matrix *m = &s->list[s->count++];
        TRY(open_matrix(p, i, m));
        if (m->rows > most) most = m->rows;
    }
    TRY(array_alloc(&s->s, most, sizeof *s->s, "spectral normalisation"));
    *out = s;
    s = NULL;
done:
    spectral_destroy(s);
    return st;
}

void spectral_destroy(spectral *s) {
    if (!s) return;
    for (int64_t i = 0; s->list && i < s->count; i++) {
        free(s->list[i].kept);
        free(s->list[i].v);
    }
    free(s->list);
    free(s->s);
    free(s);
}

/* The norm of a vector, at least 1e-12 as in PyTorch, so that a weight of zeros stays zero. */
static double length(const double *x, int64_t n) {
    const double least = 1e-12;
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    double norm = sqrt(square);
    return norm > least ? norm : least;
}

/* Sets v, u and sigma of a matrix from W and the previous u. s [rows]: scratch. */
static void iterate(matrix *m, const float *w, float *u, double *s) {
    memset(m->v, 0, (size_t)m->columns * sizeof *m->v);
    for (int64_t r = 0; r < m->rows; r++)
        for (int64_t c = 0; c < m->columns; c++)
            m->v[c] += (double)u[r] * (double)w[r * m->columns + c];
    double norm = length(m->v, m->columns);
    for (int64_t c = 0; c < m->columns; c++) m->v[c] /= norm;
    for (int64_t r = 0; r < m->rows; r++) {
        s[r] = 0;
        for (int64_t c = 0; c < m->columns; c++) s[r] += (double)w[r * m->columns + c] * m->v[c];
    }
    m->sigma = length(s, m->rows);
    for (int64_t r = 0; r < m->rows; r++) u[r] = (float)(s[r] / m->sigma);
}

void spectral_apply(spectral *s) {
    for (int64_t i = 0; i < s->count; i++) {
        matrix *m = &s->list[i];
        float *w = s->params->value + m->at;
        const int64_t n = m->rows * m->columns;
        iterate(m, w, s->params->value + m->u, s->s);
        memcpy(m->kept, w, (size_t)n * sizeof *w);
        for (int64_t k = 0; k < n; k++) w[k] = (float)((double)w[k] / m->sigma);
    }
}

void spectral_restore(spectral *s) {
    for (int64_t i = 0; i < s->count; i++) {
        matrix *m = &s->list[i];
        float *w = s->params->value + m->at, *grad = s->params->grad + m->at;
        const float *u = s->params->value + m->u;
        const int64_t n = m->rows * m->columns;
        double along = 0;
        for (int64_t k = 0; k < n; k++) along += (double)grad[k] * (double)w[k];
        for (int64_t r = 0; r < m->rows; r++)
            for (int64_t c = 0; c < m->columns; c++) {
                float *g = &grad[r * m->columns + c];
                *g = (float)(((double)*g - along * (double)u[r] * m->v[c]) / m->sigma);
            }
        memcpy(w, m->kept, (size_t)n * sizeof *w);
    }
}
