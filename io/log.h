/* The log of a run: lines for people, events.jsonl for programs, and a progress line with ETA.
 *
 * Rank 0 prints; on other ranks every call except log_warning() is a no-op. events.jsonl gets one
 * JSON object per line ({"time": ISO 8601 UTC, "event": name, ...}); lines are appended, never
 * rewritten. On a terminal progress is one line that is redrawn; elsewhere a line is printed at the
 * start, every 10 % or 30 s, and at the end.
 */
#ifndef CTAUG_IO_LOG_H
#define CTAUG_IO_LOG_H

#include "io/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct journal journal;

/* run_directory may be NULL (no events file). prints: this is rank 0. log_close() frees *out.
 * Local. */
status log_open(const char *run_directory, bool prints, journal **out);
void log_close(journal *j);

/* A line on standard output. Local. */
void log_info(journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line on standard error, from any rank, and an event "warning" with its text, in which "..."
 * stands for each string: paths and labels are not for events.jsonl, which may be passed on. Local.
 */
void log_warning(journal *j, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends an event; steals `fields` (an object or NULL). The first failed write is reported as a
 * warning. Local. */
void log_event(journal *j, const char *name, json_t *fields);

/* A number for json_pack's "o"; null if it is not finite, as JSON has no NaN. New reference. */
json_t *log_number(double x);

/* Progress of a long task: begin, set as often as useful (it is cheap), end. `note` is printed
 * behind the numbers; NULL keeps the last one. Local. */
void log_progress_begin(journal *j, const char *what, int64_t total);
void log_progress_set(journal *j, int64_t done, const char *note);
void log_progress_end(journal *j);

/* Seconds of a monotonic clock; only differences are meaningful. Local. */
double log_seconds(void);

#endif
