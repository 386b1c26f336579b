/* The log: stdout for results, stderr for warnings and progress, events.jsonl for programs.
 *
 * An event is one write() to a descriptor opened with O_APPEND, so that lines stay complete when
 * several processes append or the run is killed. A line that a full disk cut short is ended by the
 * next run. The rate behind the ETA is an exponential average with a time constant of RATE_TIME.
 */
#include "io/log.h"

#include "io/activity.h"

#include "io/file.h"
#include "io/alloc.h"
#include "io/event_chain.h"
#include "io/log_redacted.h"
#include "io/printable.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 512, WHAT = 64, NOTE = 128, DEFAULT_COLUMNS = 80 };

/* Seconds: between redraws of the line, between samples of the rate, of the average of the rate,
 * between lines where there is no terminal. */
static const double REDRAW = 0.1, SAMPLE = 0.5, RATE_TIME = 30, LINE_EVERY = 30;

typedef struct progress {
    bool active;
    char what[WHAT], note[NOTE];
    int64_t total, done;
    double began;           /* time of begin */
    double sampled;         /* time and position of the last sample of the rate; */
    int64_t sampled_done;   /* -1 before the first position is known */
    double seconds_per_one; /* smoothed; 0 unknown */
    double shown;           /* time of the last line */
    int64_t tenth;          /* tenths of the total reached at the last call */
} progress;

struct journal {
    bool prints;           /* this is rank 0 */
    bool terminal;         /* stderr is one */
    bool write_failed;     /* a failed write was reported */
    bool progress_line;    /* a progress line stands on the terminal, without a newline */
    int events;            /* descriptor of events.jsonl; -1: none */
    char chain[CHAIN_HEX]; /* of the last event */
    progress now;
};

double log_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- events ---- */

static void report_failed_write(journal *j, const char *why) {
    if (j->write_failed) return;
    j->write_failed = true;
    log_warning(j, "events.jsonl cannot be written: %s", why);
}

static void write_line(journal *j, const char *line, size_t bytes) {
    ssize_t n;
    do n = write(j->events, line, bytes);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        report_failed_write(j, strerror(errno));
    else if ((size_t)n < bytes)
        report_failed_write(j, "the disk is full");
}

/* Whether the last line of the file lacks its newline. */
static bool ends_within_line(const char *path) {
    char last = '\n';
    FILE *f = fopen(path, "rb");
    if (!f) return false;
    if (fseek(f, -1, SEEK_END) == 0 && fread(&last, 1, 1, f) != 1) last = '\n';
    return fclose(f) == 0 && last != '\n';
}

status log_open(const char *run_directory, bool prints, journal **out) {
    status st = ST_OK;
    char path[PATH_SIZE];
    journal *j = NULL;
    *out = NULL;
    TRY(array_alloc(&j, 1, sizeof *j, "the journal"));
    j->prints = prints;
    j->terminal = prints && isatty(STDERR_FILENO);
    j->events = -1;
    if (prints && run_directory) {
        TRY(path_join(path, run_directory, "events.jsonl"));
        bool unfinished = ends_within_line(path);
        TRY(file_refuse_link(path));
        TRY(event_chain_last(path, j->chain));
        j->events = open(path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (j->events < 0) {
            st = status_fail(ST_STORAGE, "%s: cannot be opened: %s", path, strerror(errno));
            goto done;
        }
        if (unfinished) write_line(j, "\n", 1);
    }
    *out = j;
    j = NULL;
done:
    free(j);
    return st;
}

/* Writing to a terminal or a pipe may wait for its reader (a pager, Ctrl-S): no fault of this rank.
 */
static void put_line(FILE *to, const char *before, const char *line, const char *after) {
    activity_wait_begin();
    fprintf(to, "%s%s%s", before, line, after);
    fflush(to);
    activity_wait_end();
}

static void clear_progress_line(journal *j) {
    if (j->progress_line) fputs("\r\033[K", stderr);
    j->progress_line = false;
}

void log_close(journal *j) {
    if (!j) return;
    clear_progress_line(j);
    if (j->events >= 0 && close(j->events) != 0) report_failed_write(j, strerror(errno));
    free(j);
}

static void put_time(json_t *event) {
    struct timespec now;
    struct tm utc;
    char text[40];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + n, sizeof text - n, ".%03ldZ", now.tv_nsec / 1000000);
    json_object_set_new(event, "time", json_string(text));
}

void log_event(journal *j, const char *name, json_t *fields) {
    if (!j->prints || j->events < 0) {
        json_decref(fields);
        return;
    }
    json_t *event = json_object();
    put_time(event);
    json_object_set_new(event, "event", json_string(name));
    /* A field named time or event must not replace those set above. */
    if (fields) json_object_update_missing(event, fields);
    if (event_chain_add(event, j->chain) != ST_OK) report_failed_write(j, status_message());
    /* ASCII: who prints the file on a terminal gets no control characters of any kind. */
    char *text = json_dumps(event, JSON_COMPACT | JSON_ENSURE_ASCII);
    size_t bytes = text ? strlen(text) : 0;
    if (text) {
        text[bytes] = '\n'; /* replaces the terminating 0: write_line() takes a length */
        write_line(j, text, bytes + 1);
    } else {
        report_failed_write(j, "out of memory");
    }
    free(text);
    json_decref(event);
    json_decref(fields);
}

/* ---- lines ---- */

void log_info(journal *j, const char *format, ...) {
    if (!j->prints) return;
    clear_progress_line(j);
    fflush(stderr);
    char text[LINE * 4], safe[sizeof text];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printable(text, true, safe, sizeof safe);
    put_line(stdout, "", safe, "\n");
}

void log_warning(journal *j, const char *format, ...) {
    char text[LINE * 2], safe[LINE * 4];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    printable(text, true, safe, sizeof safe);
    clear_progress_line(j);
    put_line(stderr, "warning: ", safe, "\n");
    va_start(list, format);
    log_redacted(format, &list, text, sizeof text);
    va_end(list);
    json_t *fields = json_object();
    json_object_set_new(fields, "message", json_string(text));
    log_event(j, "warning", fields);
}

/* ---- progress ---- */

/* "2:10" or "1:02:10". */
static void duration(double s, char out[32]) {
    int64_t whole = s > 0 && s < 1e9 ? llround(s) : 0;
    int64_t hours = whole / 3600;
    if (hours)
        snprintf(out, 32, "%" PRId64 ":%02d:%02d", hours, (int)(whole / 60 % 60),
                 (int)(whole % 60));
    else
        snprintf(out, 32, "%d:%02d", (int)(whole / 60), (int)(whole % 60));
}

static void compose(const progress *p, double now, char out[LINE]) {
    char time[32], tail[64] = "";
    int percent = p->total > 0 ? (int)(100.0 * (double)p->done / (double)p->total) : 100;
    if (p->done >= p->total) {
        duration(now - p->began, time);
        snprintf(tail, sizeof tail, "  took %s", time);
    } else if (p->seconds_per_one > 0) {
        duration(p->seconds_per_one * (double)(p->total - p->done), time);
        snprintf(tail, sizeof tail, "  ETA %s", time);
    }
    snprintf(out, LINE, "%s %" PRId64 "/%" PRId64 "  %d %%%s%s%s", p->what, p->done, p->total,
             percent, tail, *p->note ? "  " : "", p->note);
}

/* A line longer than the terminal is wide would wrap and could not be redrawn. */
static void cut_to_terminal(char *line) {
    struct winsize size;
    size_t width = DEFAULT_COLUMNS;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1) width = size.ws_col;
    if (strlen(line) >= width) line[width - 1] = '\0';
}

static void show(journal *j, double now, bool event) {
    char line[LINE];
    progress *p = &j->now;
    compose(p, now, line);
    if (j->terminal) {
        cut_to_terminal(line);
        put_line(stderr, "\r", line, "\033[K");
        j->progress_line = true;
    } else {
        put_line(stderr, "", line, "\n");
    }
    p->shown = now;
    if (!event) return;
    json_t *fields = json_pack("{s:s, s:I, s:I}", "what", p->what, "done", (json_int_t)p->done,
                               "total", (json_int_t)p->total);
    if (fields && *p->note) json_object_set_new(fields, "note", json_string(p->note));
    log_event(j, "progress", fields);
}

void log_progress_begin(journal *j, const char *what, int64_t total) {
    if (!j->prints) return;
    log_progress_end(j);
    double now = log_seconds();
    j->now = (progress){.active = true, .total = total, .began = now, .sampled_done = -1};
    printable(what, false, j->now.what, sizeof j->now.what);
    show(j, now, true);
}

/* The first position may be greater than 0 (a resumed training): it only starts the clock. */
static void sample_rate(progress *p, double now) {
    if (p->sampled_done < 0 || p->done < p->sampled_done) {
        p->sampled_done = p->done;
        p->sampled = now;
        return;
    }
    double passed = now - p->sampled;
    if (passed < SAMPLE || p->done == p->sampled_done) return;
    double rate = passed / (double)(p->done - p->sampled_done);
    double weight = p->seconds_per_one > 0 ? 1 - exp(-passed / RATE_TIME) : 1;
    p->seconds_per_one += weight * (rate - p->seconds_per_one);
    p->sampled = now;
    p->sampled_done = p->done;
}

void log_progress_set(journal *j, int64_t done, const char *note) {
    progress *p = &j->now;
    if (!j->prints || !p->active) return;
    double now = log_seconds();
    p->done = done;
    if (note) printable(note, false, p->note, sizeof p->note);
    sample_rate(p, now);
    int64_t tenth = p->total > 0 ? (int64_t)(10.0 * (double)done / (double)p->total) : 10;
    bool sparse = tenth != p->tenth || (!j->terminal && now - p->shown >= LINE_EVERY);
    p->tenth = tenth;
    if (sparse || (j->terminal && now - p->shown >= REDRAW)) show(j, now, sparse);
}

void log_progress_end(journal *j) {
    if (!j->prints || !j->now.active) return;
    j->now.active = false;
    if (!j->progress_line) return;
    char line[LINE];
    compose(&j->now, log_seconds(), line);
    cut_to_terminal(line);
    fprintf(stderr, "\r%s\033[K\n", line);
    j->progress_line = false;
}

json_t *log_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
