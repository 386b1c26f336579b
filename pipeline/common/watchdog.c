/* The thread of the watchdog, and its judgement of what it reads. */
#include "pipeline/common/watchdog.h"

#include "io/alloc.h"
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOKS = 10 /* in the time of silence that is too long */ };

/* A rank that uses less than this share of a processor is not busy. */
static const double BUSY_SHARE = 0.1;
static const double LONGEST_PAUSE = 10; /* seconds */

struct watchdog {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool ending;
    int rank, next;
    double limit;
    char own[PATH_SIZE], other[PATH_SIZE], first[PATH_SIZE],
        directory[PATH_SIZE]; /* first: rank 0 */
};

watch_verdict watch_take(watch *w, const heartbeat *now, double passed, double limit) {
    if (now->beat == w->last.beat) {
        w->stopped += passed;
        return w->stopped > limit ? WATCH_STOPPED : WATCH_FINE;
    }
    const bool progress = now->doing.done != w->last.doing.done || now->doing.waiting;
    /* Looks and beats are not in step: one beat may be read twice. What is longer was a stop. */
    passed += w->stopped < passed ? w->stopped : passed;
    w->stopped = 0;
    w->stuck = progress ? 0 : w->stuck + passed;
    w->window = progress ? 0 : w->window + passed;
    w->cpu = progress ? 0 : w->cpu + now->cpu - w->last.cpu;
    w->last = *now;
    if (w->stuck > WATCHDOG_BUSY_FACTOR * limit) return WATCH_BUSY;
    if (w->window <= limit) return WATCH_FINE;
    if (w->cpu < BUSY_SHARE * w->window) return WATCH_IDLE;
    w->window = w->cpu = 0;
    return WATCH_FINE;
}

static double seconds_of(clockid_t clock) {
    struct timespec t = {0};
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Both are best effort: a file system that fails for a moment must not end a job. */
static void write_heartbeat(const watchdog *w, uint64_t beat) {
    heartbeat h = {
        .beat = beat, .cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID), .doing = activity_now()};
    (void)gethostname(h.host, sizeof h.host - 1);
    int fd = open(w->own, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0) return;
    (void)!pwrite(fd, &h, sizeof h, 0);
    close(fd);
}

static bool read_heartbeat(const char *path, heartbeat *h) {
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return false;
    const bool whole = pread(fd, h, sizeof *h, 0) == (ssize_t)sizeof *h;
    close(fd);
    h->host[sizeof h->host - 1] = '\0';
    return whole;
}

/* Only this process ends here: the launcher then ends the others, the silent one among them. */
static _Noreturn void end_job(const watchdog *w, const watch *seen, watch_verdict verdict) {
    static const char *const what[] = {[WATCH_STOPPED] = "gives no sign of life",
                                       [WATCH_IDLE] =
                                           "hangs: it neither works nor waits for others",
                                       [WATCH_BUSY] = "is busy but makes no progress"};
    const activity own = activity_now();
    heartbeat first = {0}; /* rank 0 writes the checkpoints */
    const bool saved = own.saved || seen->last.doing.saved ||
                       (read_heartbeat(w->first, &first) && first.doing.saved);
    const double silence = verdict == WATCH_BUSY ? WATCHDOG_BUSY_FACTOR * w->limit : w->limit;
    char line[512];
    int n =
        snprintf(line, sizeof line,
                 "ctaug: rank %d on host %s %s for more than %g s; its last known step was %" PRId64
                 "; %s\n",
                 w->next, seen->last.host, what[verdict], silence, seen->last.doing.step,
                 saved ? "the job ends: run the command again to resume from what is saved"
                       : "the job ends; nothing was saved yet");
    if (n > 0) (void)!write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line);
    _exit(saved ? ST_STOPPED : ST_INTERNAL);
}

/* True when the watchdog is to end. */
static bool pause_for(watchdog *w, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    const int64_t ns = until.tv_nsec + (int64_t)(1e9 * seconds);
    until.tv_sec += ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&w->lock);
    while (!w->ending && pthread_cond_timedwait(&w->wake, &w->lock, &until) == 0) continue;
    const bool ending = w->ending;
    pthread_mutex_unlock(&w->lock);
    return ending;
}

static void *run(void *context) {
    watchdog *w = context;
    const double pause = w->limit / LOOKS < LONGEST_PAUSE ? w->limit / LOOKS : LONGEST_PAUSE;
    double before = seconds_of(CLOCK_MONOTONIC);
    watch seen = {0};
    for (uint64_t beat = 1;; beat++) {
        heartbeat h = seen.last;
        write_heartbeat(w, beat);
        if (pause_for(w, pause)) return NULL;
        /* After a pause of this very process (a suspended job) the others had the same. */
        const double now = seconds_of(CLOCK_MONOTONIC);
        const double passed = now - before < 2 * pause ? now - before : pause;
        before = now;
        (void)read_heartbeat(w->other, &h);
        const watch_verdict verdict = watch_take(&seen, &h, passed, w->limit);
        if (verdict != WATCH_FINE) end_job(w, &seen, verdict);
    }
}

static status start_thread(watchdog *w) {
    pthread_condattr_t attributes;
    sigset_t all, before;
    int fault = pthread_mutex_init(&w->lock, NULL);
    if (fault == 0) fault = pthread_condattr_init(&attributes);
    if (fault == 0) fault = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (fault == 0) fault = pthread_cond_init(&w->wake, &attributes);
    /* Signals are for another thread (pipeline/cli/main.c). */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (fault == 0) fault = pthread_create(&w->thread, NULL, run, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fault == 0 ? ST_OK : status_fail(ST_INTERNAL, "no thread: %s", strerror(fault));
}

static status heartbeat_path(const watchdog *w, int rank, char path[PATH_SIZE]) {
    char name[32];
    snprintf(name, sizeof name, "rank-%05d", rank);
    return path_join(path, w->directory, name);
}

/* The empty directory; what a killed run left, or a link in its place, is removed. Local; called on
 * rank 0. */
static status make_directory(const watchdog *w) {
    status st;
    TRY(file_remove_tree(w->directory));
    TRY(file_make_dirs(w->directory));
done:
    return st;
}

static status set_paths(watchdog *w, const char *run_directory) {
    status st;
    TRY(path_join(w->directory, run_directory, "heartbeat"));
    TRY(heartbeat_path(w, w->rank, w->own));
    TRY(heartbeat_path(w, w->next, w->other));
    TRY(heartbeat_path(w, 0, w->first));
done:
    return st;
}

status watchdog_start(const comm *c, const char *run_directory, double seconds, watchdog **out) {
    status st = ST_OK;
    watchdog *w = NULL;
    *out = NULL;
    if (seconds <= 0) return ST_OK;
    st = array_alloc(&w, 1, sizeof *w, "the watchdog");
    if (st == ST_OK) {
        w->rank = comm_rank(c);
        w->next = (w->rank + 1) % comm_size(c);
        w->limit = seconds;
        st = set_paths(w, run_directory);
        if (st == ST_OK && w->rank == 0) st = make_directory(w);
    }
    TRY(comm_agree(c, st));
    write_heartbeat(w, 0);
    TRY(comm_agree(c, start_thread(w)));
    *out = w;
    w = NULL;
done:
    free(w);
    return st;
}

void watchdog_stop(watchdog *w) {
    if (!w) return;
    pthread_mutex_lock(&w->lock);
    w->ending = true;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    (void)unlink(w->own);
    (void)rmdir(w->directory); /* by the last one */
    free(w);
}
