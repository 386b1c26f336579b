/* Measures and scales the numbers. */
#include "pipeline/data/slice_numbers.h"

#include <math.h>

int64_t slice_numbers_count(int64_t labels) { return NUMBER_SIZES + labels - 1; }

status slice_numbers_measure(captioner *c, const study *s, int64_t labels,
                             const slice_sample *slice, double *value) {
    status st = ST_OK;
    int64_t pixels[LABELS_MAX] = {0};
    caption_facts facts;
    TRY(captioner_facts(c, slice, &facts));
    value[NUMBER_SPACING] = facts.spacing > 0 ? facts.spacing : (double)NAN;
    value[NUMBER_NOISE] = facts.noise > 0 ? facts.noise : (double)NAN;
    const scan_traits *traits = &slice->traits;
    value[NUMBER_KERNEL] = traits->kernel ? traits->kernel == KERNEL_SHARP : (double)NAN;
    for (int part = BODY_HEAD; part < BODY_PARTS; part++)
        value[NUMBER_BODY + part - BODY_HEAD] =
            traits->body ? (int)traits->body == part : (double)NAN;
    for (int64_t i = 0; i < s->data.size * s->data.size; i++)
        if (slice->labels[i] < labels) pixels[slice->labels[i]]++;
    for (int64_t k = 1; k < labels; k++)
        value[NUMBER_SIZES + k - 1] =
            pixels[k] > 0 ? 2 * (double)slice->spacing * sqrt((double)pixels[k] / M_PI)
                          : (double)NAN;
done:
    return st;
}

void slice_numbers_drop(double *value, int64_t count, double share, rng_stream *r) {
    bool dropped = false;
    for (int64_t i = 0; i < count; i++) {
        if (i <= NUMBER_BODY || i >= NUMBER_SIZES) dropped = rng_uniform(r) < share;
        if (dropped) value[i] = (double)NAN;
    }
}

void slice_numbers_write(const double *value, int64_t count, float *to) {
    for (int64_t i = 0; i < count; i++) {
        const bool known = !isnan(value[i]);
        const double scaled = i == NUMBER_SPACING ? log(value[i])
                              : i == NUMBER_NOISE ? log1p(value[i]) / 4
                              : i < NUMBER_SIZES  ? value[i]
                                                  : log1p(value[i]) / 5;
        to[2 * i] = known ? (float)scaled : 0;
        to[2 * i + 1] = known;
    }
}
