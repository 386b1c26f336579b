/* The penalty of a regression loss for a difference d, and its slope: |d|, d^2 or Huber(d) (Huber
 * 1964 with delta = 1: d^2 / 2 for |d| <= 1, else |d| - 1/2). */
#ifndef CTAUG_MODEL_NN_OPS_PENALTY_H
#define CTAUG_MODEL_NN_OPS_PENALTY_H

#include "model/nn/graph.h"

#include <math.h>

static inline double penalty(loss_kind kind, double d) {
    switch (kind) {
    case LOSS_L1:
        return fabs(d);
    case LOSS_L2:
        return d * d;
    case LOSS_HUBER:
        return fabs(d) <= 1 ? d * d / 2 : fabs(d) - 0.5;
    }
    return 0;
}

static inline float penalty_slope(loss_kind kind, float d) {
    switch (kind) {
    case LOSS_L1:
        return (float)((d > 0) - (d < 0));
    case LOSS_L2:
        return 2 * d;
    case LOSS_HUBER:
        return d > 1 ? 1 : d < -1 ? -1 : d;
    }
    return 0;
}

#endif
