/* Ranks of a sample; equal values share the mean of their ranks (midranks). */
#ifndef CTAUG_MODEL_METRIC_MIDRANK_H
#define CTAUG_MODEL_METRIC_MIDRANK_H

#include "io/status.h"

#include <stdint.h>

/* rank[n]: the rank of each value, from 1. *ties: the sum of t^3 - t over the groups of t equal
 * values. NAN is not allowed. Local. */
status midranks(const double *value, int64_t n, double *rank, double *ties);

#endif
