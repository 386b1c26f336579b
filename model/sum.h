/* Sums in one fixed binary tree: x0..x7 as ((x0+x1)+(x2+x3))+((x4+x5)+(x6+x7)), wherever the
 * numbers come from. The tree over all numbers is the tree over ranks of the trees within ranks as
 * long as all counts are powers of two; so is the sum, to the bit. Other counts split off the
 * largest power of two below.
 */
#ifndef CTAUG_MODEL_SUM_H
#define CTAUG_MODEL_SUM_H

#include "io/status.h"

#include <stdint.h>

/* The sum of `count` >= 1 arrays of n floats, into out, which may be one of them. Local. */
void tree_sum(const float *const *x, int count, int64_t n, float *out);

double tree_sum_f64(const double *x, int64_t count); /* 0 of none */

/* The tree over arrays that come one after the other in the same memory: sums of 1, 2, 4, ... of
 * them wait for their partner, as the bits of a counter do. */
typedef struct sum_stack sum_stack;

/* For up to `most` arrays (a power of two) of n floats. Local. */
status sum_stack_create(int64_t n, int64_t most, sum_stack **out);
void sum_stack_destroy(sum_stack *s);

void sum_stack_clear(sum_stack *s);
/* Takes x over and leaves zeros in it. */
void sum_stack_push(sum_stack *s, float *x);
/* Adds all that was pushed to floats [at, at + n) of x, the last of a power of two of arrays. */
void sum_stack_add_to(const sum_stack *s, float *x, int64_t at, int64_t n);

#endif
