/* Small arithmetic of counts. Private to model/nn. Local. */
#ifndef CTAUG_MODEL_NN_COUNTS_H
#define CTAUG_MODEL_NN_COUNTS_H

#include <stdint.h>

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }
/* n >= 0 rounded up to whole units. */
static inline int64_t up_to(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

#endif
