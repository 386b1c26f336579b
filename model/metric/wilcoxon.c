/* The exact distribution is that of the sum of a random subset of 1..n: how many of the 2^n subsets
 * have each sum follows by adding one rank after the other. Up to n = 50 the counts are exact in
 * f64. */
#include "model/metric/wilcoxon.h"
#include "io/alloc.h"
#include "model/metric/midrank.h"
#include "model/metric/normal.h"

#include <math.h>

enum { EXACT_MAX = 50, SUM_MAX = EXACT_MAX * (EXACT_MAX + 1) / 2 };

/* Two-sided p of the smaller rank sum, of n <= EXACT_MAX differences. */
static double exact_p(int64_t n, double smaller) {
    double subsets[SUM_MAX + 1] = {1}, below = 0;
    int64_t largest = 0;
    for (int64_t rank = 1; rank <= n; rank++) {
        largest += rank;
        for (int64_t sum = largest; sum >= rank; sum--) subsets[sum] += subsets[sum - rank];
    }
    for (int64_t sum = 0; sum <= (int64_t)smaller; sum++) below += subsets[sum];
    return fmin(1, 2 * ldexp(below, -(int)n));
}

/* ties: the sum of t^3 - t over groups of equal absolute values. */
static double normal_p(int64_t n, double smaller, double ties) {
    double count = (double)n, mean = count * (count + 1) / 4;
    double variance = (count * (count + 1) * (2 * count + 1) - ties / 2) / 24;
    double continuity = smaller < mean ? 0.5 : 0; /* towards the mean; `smaller` is not above it */
    return 2 * normal_below(-fabs(smaller - mean + continuity) / sqrt(variance));
}

status wilcoxon_signed_rank(const double *difference, int64_t n, wilcoxon_result *out) {
    status st = ST_OK;
    double *kept = NULL, *size = NULL, *rank = NULL, ties = 0;
    *out = (wilcoxon_result){.p = NAN, .effect = NAN};
    TRY(array_alloc(&kept, n, sizeof *kept, "differences"));
    TRY(array_alloc(&size, n, sizeof *size, "differences"));
    TRY(array_alloc(&rank, n, sizeof *rank, "ranks"));
    for (int64_t i = 0; i < n; i++) {
        if (isnan(difference[i])) continue;
        if (difference[i] == 0) {
            out->zeros++;
            continue;
        }
        kept[out->pairs] = difference[i];
        size[out->pairs++] = fabs(difference[i]);
    }
    TRY(midranks(size, out->pairs, rank, &ties));
    for (int64_t i = 0; i < out->pairs; i++) {
        if (kept[i] > 0)
            out->positive += rank[i];
        else
            out->negative += rank[i];
    }
    double smaller = fmin(out->positive, out->negative);
    if (out->pairs > 0) {
        out->exact = out->pairs <= EXACT_MAX && out->zeros == 0 && ties == 0;
        out->p = out->exact ? exact_p(out->pairs, smaller) : normal_p(out->pairs, smaller, ties);
        out->effect = (out->positive - out->negative) / (out->positive + out->negative);
    } else if (out->zeros > 0) {
        out->p = 1;
        out->effect = 0;
    }
done:
    free(kept);
    free(size);
    free(rank);
    return st;
}
