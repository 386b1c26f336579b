/* The diagonal Gaussian whose moments an encoder predicts: means, then log-variances, as channels
 * [h, w, 2z]. A log-variance is clamped to -30..20, so that its exponential is finite; beyond the
 * ends its gradient is 0, at them it is not. */
#ifndef CTAUG_MODEL_NN_OPS_GAUSSIAN_H
#define CTAUG_MODEL_NN_OPS_GAUSSIAN_H

#include <stdbool.h>

typedef struct log_variance {
    float value;
    bool inside; /* the gradient passes */
} log_variance;

static inline log_variance clamped_log_variance(float x) {
    const float low = -30, high = 20;
    if (x < low) return (log_variance){low, false};
    if (x > high) return (log_variance){high, false};
    return (log_variance){x, true};
}

#endif
