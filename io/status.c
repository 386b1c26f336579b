/* The message of the last failure: one buffer for each thread. */
#include "io/status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[1024];

status status_fail(status code, const char *format, ...) {
    /* Formatted into a second buffer first: callers pass status_message() itself as an argument. */
    char text[sizeof message];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    snprintf(message, sizeof message, "%s", text);
    return code;
}

status status_memory(const char *what, int64_t bytes) {
    return status_fail(ST_INTERNAL, "out of memory: %" PRId64 " bytes for %s", bytes, what);
}

const char *status_message(void) { return message; }
