/* Tables of named choices: schedules, objectives, samplers. A row is any struct whose first member
 * is its name (const char *); a name that is no row's is answered with the names there are.
 */
#ifndef CTAUG_MODEL_CHOICE_H
#define CTAUG_MODEL_CHOICE_H

#include "io/status.h"

#include <stddef.h>

/* *row = index of the row called `name`; ST_USAGE naming the known ones if none is. `what` is what
 * the message calls the choice. Local. */
status choice_find(const char *what, const char *name, const void *table, int rows, size_t row_size,
                   int *row);

#endif
