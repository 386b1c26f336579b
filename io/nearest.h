/* Edit distance between words: a typing error in a key or verb is answered with the nearest known
 * one. */
#ifndef CTAUG_IO_NEAREST_H
#define CTAUG_IO_NEAREST_H

#include <stdbool.h>

/* Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbouring
 * characters that turn `a` into `b`, ignoring case. Only the first 63 bytes of each word count.
 * Local. */
int edit_distance(const char *a, const char *b);

/* Whether `distance` is small enough for a typing error in `word`. Local. */
bool edit_is_typo(int distance, const char *word);

#endif
