/* Which known word did the user mean? Typing errors in keys and verbs are answered with the
 * nearest known one. */
#ifndef CTAUG_IO_NEAREST_H
#define CTAUG_IO_NEAREST_H

#include <stdbool.h>

/* Letters to add, drop, change or swap with their neighbour to make `b` of `a` (optimal string
 * alignment), blind to case; only the first 63 bytes of each count. */
int edit_distance(const char *a, const char *b);

/* Whether `distance` is small enough to be a typing error in a word as long as `word`. */
bool edit_is_near(int distance, const char *word);

#endif
