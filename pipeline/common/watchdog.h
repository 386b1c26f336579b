/* The watchdog: notices a rank that hangs, and ends the job instead of letting all ranks wait for
 * it.
 *
 * Every rank has a thread that writes a heartbeat into a file of the run directory, outside MPI,
 * and watches the file of the next rank (the last one that of the first). A rank counts as silent
 *   - if its heartbeat stops: the process is stopped, or its node is gone;
 *   - if it does not wait for other ranks, makes no progress and uses hardly any processor time:
 * the limit after its last progress, or twice the limit if it was busy after that;
 *   - if it does not wait, is busy, and makes no progress for BUSY_FACTOR times as long.
 * The rank that finds out prints host, rank and last step, and ends its process, upon which the
 * launcher ends the others.
 */
#ifndef CTAUG_PIPELINE_COMMON_WATCHDOG_H
#define CTAUG_PIPELINE_COMMON_WATCHDOG_H

#include "io/activity.h"
#include "io/comm.h"

enum { WATCHDOG_BUSY_FACTOR = 12 };

/* What a heartbeat says of a rank. */
typedef struct heartbeat {
    uint64_t beat; /* grows by one each time */
    double cpu;    /* seconds of processor time of the process */
    activity doing;
    char host[64];
} heartbeat;

/* What a watcher remembers of the rank that it watches. */
typedef struct watch {
    heartbeat last;
    double stopped; /* seconds without a beat */
    double stuck;   /* seconds without progress */
    /* The present window in it, in which processor time is counted: short bursts (of a thread of
     * MPI) are no work. */
    double window, cpu;
} watch;

typedef enum watch_verdict { WATCH_FINE, WATCH_STOPPED, WATCH_IDLE, WATCH_BUSY } watch_verdict;

/* Takes a heartbeat that was read `passed` seconds after the one before. Local. */
watch_verdict watch_take(watch *w, const heartbeat *now, double passed, double limit);

typedef struct watchdog watchdog;

/* Starts the thread; seconds: of silence that are too many, 0: no watchdog (*out is NULL).
 * Heartbeats lie in <run_directory>/heartbeat. Collective. */
status watchdog_start(const comm *c, const char *run_directory, double seconds, watchdog **out);

/* Ends the thread and removes this rank's heartbeat. NULL is allowed. Local. */
void watchdog_stop(watchdog *w);

#endif
