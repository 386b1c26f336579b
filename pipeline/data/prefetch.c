/* The prefetch thread makes the samples of one announcement in order. A new announcement increments
 * `turn`, so that the thread discards the result of a sample of an earlier one.
 */
#include "pipeline/data/prefetch.h"
#include "io/alloc.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct prefetch {
    prefetch_make make;
    void *context;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed; /* signals a change of anything below, which `mutex` protects */
    bool closing;
    bool busy;            /* the thread is in make() */
    int64_t turn;         /* number of announcements */
    int64_t first, count; /* announced samples; count 0: none */
    int64_t made;         /* number of them that are ready */
    status fault;         /* of making sample first + made */
    char message[1024];
};

static bool has_work(const prefetch *p) { return p->fault == ST_OK && p->made < p->count; }

/* Makes one sample; releases the mutex while make() runs. */
static void make_next(prefetch *p) {
    int64_t turn = p->turn, slot = p->made, index = p->first + p->made;
    p->busy = true;
    pthread_mutex_unlock(&p->mutex);
    status st = p->make(p->context, index, slot);
    pthread_mutex_lock(&p->mutex);
    p->busy = false;
    if (turn == p->turn && st == ST_OK) p->made++;
    if (turn == p->turn && st != ST_OK) {
        p->fault = st;
        snprintf(p->message, sizeof p->message, "%s", status_message());
    }
    pthread_cond_broadcast(&p->changed);
}

static void *work(void *of) {
    prefetch *p = of;
    pthread_mutex_lock(&p->mutex);
    while (!p->closing) {
        if (has_work(p))
            make_next(p);
        else
            pthread_cond_wait(&p->changed, &p->mutex);
    }
    pthread_mutex_unlock(&p->mutex);
    return NULL;
}

/* Starts the thread with all signals blocked (threads inherit the mask). Signals are handled by the
 * signal thread of pipeline/cli/main.c and by handlers of libraries, which must not interrupt a
 * read on this thread. */
static int start_without_signals(prefetch *p) {
    sigset_t all, before;
    sigfillset(&all);
    int fault = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (fault != 0) return fault;
    fault = pthread_create(&p->thread, NULL, work, p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return fault;
}

status prefetch_open(prefetch_make make, void *context, prefetch **out) {
    status st = ST_OK;
    prefetch *p = NULL;
    *out = NULL;
    TRY(array_alloc(&p, 1, sizeof *p, "a thread for samples"));
    p->make = make;
    p->context = context;
    pthread_mutex_init(&p->mutex, NULL); /* neither init fails with default attributes on Linux */
    pthread_cond_init(&p->changed, NULL);
    int fault = start_without_signals(p);
    if (fault != 0)
        TRY(status_fail(ST_INTERNAL, "no thread to prefetch samples: %s", strerror(fault)));
    *out = p;
    p = NULL;
done:
    free(p);
    return st;
}

void prefetch_close(prefetch *p) {
    if (!p) return;
    pthread_mutex_lock(&p->mutex);
    p->closing = true;
    pthread_cond_broadcast(&p->changed);
    pthread_mutex_unlock(&p->mutex);
    pthread_join(p->thread, NULL);
    pthread_cond_destroy(&p->changed);
    pthread_mutex_destroy(&p->mutex);
    free(p);
}

static void announce(prefetch *p, int64_t first, int64_t count) {
    p->turn++;
    p->first = first;
    p->count = count;
    p->made = 0;
    p->fault = ST_OK;
    pthread_cond_broadcast(&p->changed);
}

void prefetch_announce(prefetch *p, int64_t first, int64_t count) {
    pthread_mutex_lock(&p->mutex);
    announce(p, first, count);
    pthread_mutex_unlock(&p->mutex);
}

status prefetch_take(prefetch *p, int64_t first, int64_t count) {
    status st = ST_OK;
    int64_t made = 0;
    pthread_mutex_lock(&p->mutex);
    if (first == p->first) {
        while (has_work(p) && p->made < count) pthread_cond_wait(&p->changed, &p->mutex);
        made = p->made < count ? p->made : count;
        if (made < count && p->fault != ST_OK) st = status_fail(p->fault, "%s", p->message);
    }
    announce(p, 0, 0);
    while (p->busy) pthread_cond_wait(&p->changed, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
    for (; st == ST_OK && made < count; made++) st = p->make(p->context, first + made, made);
    return st;
}
