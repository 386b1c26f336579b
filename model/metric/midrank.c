/* Ranks by sorting the values together with their positions. */
#include "model/metric/midrank.h"
#include "io/alloc.h"

typedef struct entry {
    double value;
    int64_t at;
} entry;

static int by_value(const void *a, const void *b) {
    double x = ((const entry *)a)->value, y = ((const entry *)b)->value;
    return (x > y) - (x < y);
}

status midranks(const double *value, int64_t n, double *rank, double *ties) {
    status st = ST_OK;
    entry *sorted = NULL;
    *ties = 0;
    TRY(array_alloc(&sorted, n, sizeof *sorted, "ranks"));
    for (int64_t i = 0; i < n; i++) sorted[i] = (entry){value[i], i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && sorted[to].value == sorted[from].value;) to++;
        double t = (double)(to - from);
        *ties += t * t * t - t;
        for (int64_t i = from; i < to; i++) rank[sorted[i].at] = 0.5 * (double)(from + 1 + to);
    }
done:
    free(sorted);
    return st;
}
