/* Holm's step-down adjustment of p-values for several tests (Holm 1979): the i-th smallest of m
 * p-values becomes the largest of (m - j + 1) p_j over j <= i, at most 1. A test whose adjusted
 * value is at most alpha is significant with a family-wise error of alpha. */
#ifndef CTAUG_MODEL_METRIC_HOLM_H
#define CTAUG_MODEL_METRIC_HOLM_H

#include "io/status.h"

#include <stdint.h>

/* adjusted[m] of p[m]. NAN stays NAN and does not count as a test. Local. */
status holm_adjust(const double *p, int64_t m, double *adjusted);

#endif
