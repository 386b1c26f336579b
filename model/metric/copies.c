/* Ratios of nearest distances over draws of patients. */
#include "model/metric/copies.h"

#include "io/alloc.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>

/* The minimum of q->nearest over `drawn` of the patients first..first+count-1, drawn by a
 * Fisher-Yates shuffle. list[count]: scratch. */
static double nearest_of(const copy_sides *s, const copy_query *q, int64_t first, int64_t count,
                         uint32_t step, int64_t *list) {
    rng_stream r = rng_open(s->seed, RNG_COPIES, q->volume, step);
    const bool from_here = q->source >= first && q->source < first + count;
    double best = from_here ? q->nearest[q->source] : (double)INFINITY;
    int64_t n = 0;
    for (int64_t p = first; p < first + count; p++)
        if (p != q->itself && p != q->source) list[n++] = p;
    for (int64_t k = 0; k < s->drawn - from_here; k++) {
        const int64_t other = k + (int64_t)rng_below(&r, (uint64_t)(n - k)), swap = list[k];
        list[k] = list[other];
        list[other] = swap;
        best = fmin(best, q->nearest[list[k]]);
    }
    return best;
}

status copy_ratios(const copy_sides *s, const copy_query *q, bool swapped, double *ratio) {
    status st = ST_OK;
    const int64_t larger = s->members > s->others ? s->members : s->others;
    const bool among_members = q->itself >= 0 && q->itself < s->members;
    const bool among_others = q->itself >= s->members;
    int64_t *list = NULL;
    if (s->drawn < 1 || s->drawn > s->members - among_members ||
        s->drawn > s->others - among_others)
        TRY(status_fail(ST_INPUT,
                        "copies: %" PRId64 " patients a side of %" PRId64 " training and %" PRId64
                        " held-out ones",
                        s->drawn, s->members, s->others));
    TRY(array_alloc(&list, larger, sizeof *list, "patients"));
    for (int64_t d = 0; d < s->draws; d++) {
        const uint32_t step = 2 * (uint32_t)d;
        const double members = nearest_of(s, q, 0, s->members, step, list);
        const double others = nearest_of(s, q, s->members, s->others, step + 1, list);
        const double near = swapped ? others : members, far = swapped ? members : others;
        ratio[d] = far > 0 ? near / far : 1; /* equal to a slice of the other side: no copy */
    }
done:
    free(list);
    return st;
}

static int ascending(const void *left, const void *right) {
    const double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double copy_bound(double *ratio, int64_t n, double rate) {
    qsort(ratio, (size_t)n, sizeof *ratio, ascending);
    const int64_t at = (int64_t)(rate * (double)n);
    return ratio[at < n ? at : n - 1];
}

double copy_share(const double *ratio, int64_t n, double bound) {
    int64_t below = 0;
    for (int64_t i = 0; i < n; i++) below += ratio[i] < bound;
    return (double)below / (double)n;
}
