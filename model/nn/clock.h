/* The clock of benchmarks and profiles. Private to model/nn. */
#ifndef CTAUG_MODEL_NN_CLOCK_H
#define CTAUG_MODEL_NN_CLOCK_H

#include <time.h>

/* Seconds of a monotonic clock with an arbitrary origin. */
static inline double monotonic_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
