/* The tests in the order of their p-values. */
#include "model/metric/holm.h"
#include "io/alloc.h"

#include <math.h>

typedef struct test {
    double p;
    int64_t at;
} test;

static int by_p(const void *a, const void *b) {
    double x = ((const test *)a)->p, y = ((const test *)b)->p;
    return (x > y) - (x < y);
}

status holm_adjust(const double *p, int64_t m, double *adjusted) {
    status st = ST_OK;
    test *sorted = NULL;
    int64_t tests = 0;
    TRY(array_alloc(&sorted, m, sizeof *sorted, "tests"));
    for (int64_t i = 0; i < m; i++) {
        adjusted[i] = NAN;
        if (!isnan(p[i])) sorted[tests++] = (test){p[i], i};
    }
    qsort(sorted, (size_t)tests, sizeof *sorted, by_p);
    double largest = 0;
    for (int64_t i = 0; i < tests; i++) {
        largest = fmax(largest, fmin(1, (double)(tests - i) * sorted[i].p));
        adjusted[sorted[i].at] = largest;
    }
done:
    free(sorted);
    return st;
}
