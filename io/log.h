/* What a run says: lines for people, events.jsonl for programs, one live progress line with ETA.
 *
 * Rank 0 speaks; on other ranks every call is a no-op except warnings. events.jsonl gets one JSON
 * object a line ({"time": ISO 8601 UTC, "event": name, ...}), appended and never rewritten. On a
 * terminal progress is one live line; elsewhere a line at 0, every 10 % or every 30 s, and 100 %.
 */
#ifndef CTAUG_IO_LOG_H
#define CTAUG_IO_LOG_H

#include "io/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct journal journal;

/* run_directory may be NULL (no events file). speaks: this is rank 0. Local. */
status log_open(const char *run_directory, bool speaks, journal **out);
void log_close(journal *j);

void log_info(journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Also kept as event "warning". */
void log_warning(journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends an event; steals `fields` (an object or NULL). A failed write is a warning, once. */
void log_event(journal *j, const char *name, json_t *fields);

/* A number for json_pack's "o": JSON has no NaN, what is not finite becomes null. New reference. */
json_t *log_number(double x);

/* Progress of a long work: begin, set as often as you like (cheap), end. `note` is shown behind. */
void log_progress_begin(journal *j, const char *what, int64_t total);
void log_progress_set(journal *j, int64_t done, const char *note);
void log_progress_end(journal *j);

/* Seconds of a clock that is never set back; only differences mean something. Local. */
double log_seconds(void);

#endif
