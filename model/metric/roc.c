/* Items are sorted once. A resample is a weight for each of them, and one pass from the highest
 * score to the lowest gives both numbers. */
#include "model/metric/roc.h"
#include "io/alloc.h"
#include "model/rng.h"

#include <inttypes.h>
#include <math.h>
#include <omp.h>
#include <string.h>

/* The share of negative items may exceed the limit by this much, so that rounding does not decide.
 */
static const double ROUNDING = 1e-9;

/* The numbers of the items: positive ones first. */
typedef struct entry {
    double score;
    int64_t item;
} entry;

static int descending(const void *a, const void *b) {
    double x = ((const entry *)a)->score, y = ((const entry *)b)->score;
    return (x < y) - (x > y);
}

/* All items in *sorted, which the caller frees. */
static status sort_items(const roc_items *items, double fpr, entry **sorted) {
    status st = ST_OK;
    int64_t n = 0;
    *sorted = NULL;
    if (items->positives < 1 || items->negatives < 1 || !(fpr >= 0 && fpr <= 1))
        TRY(status_fail(ST_INPUT,
                        "separation of %" PRId64 " positive and %" PRId64
                        " negative items at a rate of %g: at least 1 of each and a rate of 0 to 1 "
                        "are needed",
                        items->positives, items->negatives, fpr));
    if (!size_add(items->positives, items->negatives, &n)) TRY(status_memory("scores", INT64_MAX));
    TRY(array_alloc(sorted, n, sizeof **sorted, "scores"));
    for (int64_t i = 0; i < n; i++) {
        double score =
            i < items->positives ? items->positive[i] : items->negative[i - items->positives];
        if (isnan(score)) TRY(status_fail(ST_INPUT, "the score of item %" PRId64 " is NaN", i));
        (*sorted)[i] = (entry){score, i};
    }
    qsort(*sorted, (size_t)n, sizeof **sorted, descending);
done:
    return st;
}

/* weight[item]: how often the item counts; the sums of both kinds are those of the items. */
static void sweep(const roc_items *items, const entry *sorted, const double *weight, double fpr,
                  double *auc, double *tpr) {
    int64_t n = items->positives + items->negatives;
    double positives = (double)items->positives, negatives = (double)items->negatives;
    double true_positive = 0, false_positive = 0, wins = 0;
    *tpr = 0;
    for (int64_t from = 0, to; from < n; from = to) {
        double of_positive = 0, of_negative = 0; /* of this score */
        for (to = from; to < n && sorted[to].score == sorted[from].score; to++) {
            int64_t item = sorted[to].item;
            if (item < items->positives)
                of_positive += weight[item];
            else
                of_negative += weight[item];
        }
        wins += of_negative * (true_positive + 0.5 * of_positive);
        true_positive += of_positive;
        false_positive += of_negative;
        if (false_positive / negatives <= fpr + ROUNDING) *tpr = true_positive / positives;
    }
    *auc = wins / (positives * negatives);
}

status roc_scores(const roc_items *items, double fpr, double *auc, double *tpr) {
    status st = ST_OK;
    entry *sorted = NULL;
    double *weight = NULL;
    *auc = *tpr = NAN;
    TRY(sort_items(items, fpr, &sorted));
    int64_t n = items->positives + items->negatives;
    TRY(array_alloc(&weight, n, sizeof *weight, "scores"));
    for (int64_t i = 0; i < n; i++) weight[i] = 1;
    sweep(items, sorted, weight, fpr, auc, tpr);
done:
    free(sorted);
    free(weight);
    return st;
}

/* Draws n of n items with replacement. */
static void draw(uint64_t seed, int64_t resample, uint32_t step, int64_t n, double *weight) {
    rng_stream r = rng_open(seed, RNG_BOOTSTRAP, (uint64_t)resample, step);
    for (int64_t i = 0; i < n; i++) weight[rng_below(&r, (uint64_t)n)]++;
}

status roc_bootstrap(const roc_items *items, double fpr, uint64_t seed, int64_t resamples,
                     double *auc, double *tpr) {
    status st = ST_OK;
    entry *sorted = NULL;
    double *memory = NULL;
    int64_t all = 0;
    if (resamples < 1)
        TRY(status_fail(ST_INPUT, "bootstrap with %" PRId64 " resamples: at least 1 is needed",
                        resamples));
    TRY(sort_items(items, fpr, &sorted));
    int64_t n = items->positives + items->negatives;
    if (!size_mul(n, omp_get_max_threads(), &all)) TRY(status_memory("scores", INT64_MAX));
    TRY(array_alloc(&memory, all, sizeof *memory, "scores"));
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < resamples; i++) {
        double *weight = memory + omp_get_thread_num() * n;
        memset(weight, 0, (size_t)n * sizeof *weight);
        draw(seed, i, 0, items->positives, weight);
        draw(seed, i, 1, items->negatives, weight + items->positives);
        sweep(items, sorted, weight, fpr, &auc[i], &tpr[i]);
    }
done:
    free(sorted);
    free(memory);
    return st;
}
