/* Seals: the SHA-256 of a JSON object inside the object itself, so that a changed file is noticed.
 */
#ifndef CTAUG_IO_SEAL_H
#define CTAUG_IO_SEAL_H

#include "io/file.h"

#include <jansson.h>

/* The SHA-256 of all keys but "seal", in compact sorted form. Local. */
status seal_of(const json_t *object, char hex[SHA256_HEX]);

/* Sets "seal". Local. */
status seal_put(json_t *object);

/* ST_INTEGRITY, naming `path`, unless "seal" is right. hex: the seal. Local. */
status seal_check(const json_t *object, const char *path, char hex[SHA256_HEX]);

/* ST_INTEGRITY, naming `path`, unless the text is the object as json_dumps() writes it with these
 * flags. A seal vouches for values; two texts may have the same value (0.1 and the 17 digits of it,
 * a and its escape). Local. */
status seal_check_text(const json_t *object, size_t flags, const char *text, int64_t bytes,
                       const char *path);

#endif
