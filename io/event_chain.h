/* The chain of events.jsonl: every line holds a hash of itself and of the chain value before it, so
 * that a changed, removed or inserted line is noticed. (A cut-off end is not.)
 */
#ifndef CTAUG_IO_EVENT_CHAIN_H
#define CTAUG_IO_EVENT_CHAIN_H

#include "io/file.h"

#include <jansson.h>

enum { CHAIN_HEX = 17 }; /* 16 digits */

/* Sets event["chain"] and chain, which holds the value of the line before ("" for the first).
 * Local. */
status event_chain_add(json_t *event, char chain[CHAIN_HEX]);

/* The chain value of the last line that has one; "" if there is none or no file. Local. */
status event_chain_last(const char *path, char chain[CHAIN_HEX]);

typedef struct event_chain_report {
    int64_t lines, torn, unchained; /* torn: cut by a full disk; unchained: of an older version */
} event_chain_report;

/* Follows the chain through the file; ST_INTEGRITY naming the first line that breaks it. Local. */
status event_chain_verify(const char *path, event_chain_report *out);

#endif
