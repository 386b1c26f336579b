/* The text of a message without its strings, which may be paths and labels, for events.jsonl. */
#ifndef CTAUG_IO_LOG_REDACTED_H
#define CTAUG_IO_LOG_REDACTED_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* As vsnprintf(), but each string is printed as "...". Conversions d, i, u, x, X, o, c, s and those
 * of doubles, with flags, digits and l, ll, z, j; no "*". Local. */
void log_redacted(const char *format, va_list *list, char *out, size_t size);

#endif
