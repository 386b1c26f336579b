/* printf() for readers who may not see what the strings say. The conversions are those that the
 * journal's callers use. */
#include "io/log_redacted.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* One conversion, from its "%"; returns what it prints. Strings are consumed and left out. */
static void convert(const char *spec, va_list *list, char *out, size_t size) {
    const char kind = spec[strlen(spec) - 1];
    const bool is_long = strchr(spec, 'l') || strchr(spec, 'z') || strchr(spec, 'j');
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    if (kind == 's') {
        (void)va_arg(*list, const char *);
        snprintf(out, size, "...");
    } else if (strchr("diuxXo", kind) && is_long) {
        snprintf(out, size, spec, va_arg(*list, long));
    } else if (strchr("diuxXoc", kind)) {
        snprintf(out, size, spec, va_arg(*list, int));
    } else {
        snprintf(out, size, spec, va_arg(*list, double));
    }
#pragma GCC diagnostic pop
}

void log_redacted(const char *format, va_list *list, char *out, size_t size) {
    size_t used = 0;
    while (*format && used + 1 < size) {
        char piece[512], spec[32];
        size_t n = strcspn(format, "%");
        if (n > 0) {
            n = n < sizeof piece ? n : sizeof piece - 1;
            memcpy(piece, format, n);
            piece[n] = 0;
        } else if (format[1] == '%') {
            n = 2;
            snprintf(piece, sizeof piece, "%%");
        } else {
            n = 1 + strcspn(format + 1, "diuxXocsfgeEG");
            n += format[n] != 0;
            snprintf(spec, sizeof spec, "%.*s", (int)n, format);
            convert(spec, list, piece, sizeof piece);
        }
        format += n;
        snprintf(out + used, size - used, "%s", piece);
        used += strlen(out + used);
    }
    out[used] = 0;
}
