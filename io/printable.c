/* A walk over UTF-8 (RFC 3629) that escapes what could move a cursor, or reorder or hide text. */
#include "io/printable.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Bytes of the character at s and its code point; 0 if it is not valid UTF-8. */
static size_t decode(const unsigned char *s, uint32_t *code) {
    static const uint32_t lowest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = s[0] < 0x80         ? 1
               : (s[0] >> 5) == 6  ? 2
               : (s[0] >> 4) == 14 ? 3
               : (s[0] >> 3) == 30 ? 4
                                   : 0;
    if (n == 0) return 0;
    *code = n == 1 ? s[0] : s[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0; /* also the end of the text */
        *code = *code << 6 | (s[i] & 0x3f);
    }
    if (*code < lowest[n] || *code > 0x10ffff || (*code >= 0xd800 && *code <= 0xdfff)) return 0;
    return n;
}

/* Controls of direction and joining, separators of lines, and tags. */
static int is_hidden(uint32_t c) {
    return (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe007f);
}

size_t printable(const char *text, int lines, char *out, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    size_t used = 0;
    if (size == 0) return 0;
    while (*s) {
        char piece[16];
        uint32_t code = 0;
        size_t n = decode(s, &code), length;
        const int line = lines && (code == '\n' || code == '\t');
        if (n == 0 || (n == 1 && !line && (code < 0x20 || code == 0x7f))) {
            n = 1;
            length = (size_t)snprintf(piece, sizeof piece, "\\x%02x", *s);
        } else if ((code >= 0x80 && code < 0xa0) || is_hidden(code)) {
            length = (size_t)snprintf(piece, sizeof piece, "\\u%04x", (unsigned)code);
        } else {
            memcpy(piece, s, length = n);
        }
        if (used + length >= size) break;
        memcpy(out + used, piece, length);
        used += length;
        s += n;
    }
    out[used] = '\0';
    return used;
}
