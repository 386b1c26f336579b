/* Integer arithmetic of counts and sizes. Local. */
#ifndef CTAUG_MODEL_NN_INT_MATH_H
#define CTAUG_MODEL_NN_INT_MATH_H

#include <stdint.h>

static inline int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t max_i64(int64_t a, int64_t b) { return a > b ? a : b; }
/* n >= 0 rounded up to a multiple of unit. */
static inline int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

/* Scratch and packed weights begin at cache lines. */
enum { CACHE_LINE = 64 };
/* Bytes rounded up to whole cache lines. */
static inline int64_t round_up_to_cache_line(int64_t bytes) { return round_up(bytes, CACHE_LINE); }

#endif
