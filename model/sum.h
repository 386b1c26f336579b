/* Sums in a fixed binary tree, for results that do not depend on the number of ranks.
 *
 * x0..x7 are summed as ((x0+x1)+(x2+x3))+((x4+x5)+(x6+x7)). If all counts are powers of two, the
 * tree over all summands is the tree over ranks of the trees within ranks, and both give the same
 * bits. For other counts the left subtree holds the largest power of two below the count.
 */
#ifndef CTAUG_MODEL_SUM_H
#define CTAUG_MODEL_SUM_H

#include "io/status.h"

#include <stdint.h>

/* out = sum of `count` >= 1 arrays of n floats; out may be one of them. Local. */
void tree_sum(const float *const *x, int count, int64_t n, float *out);

/* The sum of `count` >= 0 numbers; 0 if count is 0. Local. */
double tree_sum_f64(const double *x, int64_t count);

/* The tree sum of arrays that become available one after the other. Level k holds the sum of 2^k
 * arrays until a second one of that size is complete, like bit k of a binary counter. */
typedef struct sum_stack sum_stack;

/* For up to `max_arrays` arrays (a power of two) of n floats. The caller destroys it. Local. */
status sum_stack_create(int64_t n, int64_t max_arrays, sum_stack **out);
void sum_stack_destroy(sum_stack *s);

/* Forgets what was pushed. Local. */
void sum_stack_clear(sum_stack *s);
/* Adds array x to the tree and fills x with zeros. Local. */
void sum_stack_push(sum_stack *s, float *x);
/* Adds the pushed arrays to floats [at, at + n) of x. x is the last array: the number pushed plus
 * one is a power of two. Local. */
void sum_stack_add_to(const sum_stack *s, float *x, int64_t at, int64_t n);

#endif
