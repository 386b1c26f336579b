/* Text from outside (labels, file names, attributes) made safe for a terminal and for tables. */
#ifndef CTAUG_IO_PRINTABLE_H
#define CTAUG_IO_PRINTABLE_H

#include <stddef.h>

/* Copies text to out: control characters (C0, DEL, C1), bytes that are not UTF-8, and the Unicode
 * characters that reorder or hide text become escapes "\x1b", "\u202e"; "\n" and "\t" too unless
 * `lines`. Cut at size - 1 bytes, never inside an escape or a character. Returns the length. Local.
 */
size_t printable(const char *text, int lines, char *out, size_t size);

#endif
