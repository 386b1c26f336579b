/* The penalty of a regression loss for a difference d, and its slope: |d|, d^2 or Huber(d) (Huber
 * 1964 with delta = 1: d^2 / 2 for |d| <= 1, else |d| - 1/2); and the rounded absolute difference
 * of the losses of images, Huber's with another delta over that delta: d^2 / (2 ROUND) for |d| <=
 * ROUND, else |d| - ROUND / 2. */
#ifndef CTAUG_MODEL_NN_OPS_PENALTY_H
#define CTAUG_MODEL_NN_OPS_PENALTY_H

#include "model/nn/graph.h"

#include <math.h>

/* 50 HU in the numbers of model/hu_map.h. With a sharp tip, pixels that are right already, such as
 * air, resist every change in proportion to its size, and an autoencoder that begins with them
 * right learns nothing. */
static const double ROUND = 0.05;

static inline double rounded(double d) {
    return fabs(d) <= ROUND ? d * d / (2 * ROUND) : fabs(d) - ROUND / 2;
}

static inline float rounded_slope(double d) { return (float)fmin(1, fmax(-1, d / ROUND)); }

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
