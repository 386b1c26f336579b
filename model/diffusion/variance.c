/* The table of variances of the reverse process. */
#include "model/diffusion/variance.h"

#include <math.h>

static double small(variance_range r, double output) {
    (void)output;
    return r.log_small;
}

static double large(variance_range r, double output) {
    (void)output;
    return r.log_large;
}

static double learned(variance_range r, double output) {
    return r.log_small + (output + 1) / 2 * (r.log_large - r.log_small);
}

static const struct row {
    const char *name;
    double (*log)(variance_range r, double output);
} TABLE[] = {[VARIANCE_FIXED_SMALL] = {"fixed-small", small},
             [VARIANCE_FIXED_LARGE] = {"fixed-large", large},
             [VARIANCE_LEARNED] = {"learned", learned}};

const named_table variance_kinds = NAMED_TABLE("variance", TABLE);

variance_range variance_range_of(const schedule *s, int64_t t, int64_t to) {
    double a, b, smaller, larger = 1 - schedule_alpha_bar(s, t) / schedule_alpha_bar(s, to);
    if (to == t - 1) larger = s->beta[t - 1];
    if (to > 0)
        schedule_posterior(s, t, to, &a, &b, &smaller);
    else if (s->steps > 1)
        schedule_posterior(s, 2, 1, &a, &b, &smaller);
    else
        smaller = larger;
    return (variance_range){log(smaller), log(larger)};
}

double variance_log(variance_kind kind, variance_range range, double output) {
    return TABLE[kind].log(range, output);
}
