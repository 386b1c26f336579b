/* The child: sets its limits anew for each request, so that they hold for one request alone. */
#include "io/helper_wire.h"

#include "io/alloc.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct child {
    int64_t base; /* bytes of address space at the start */
    void *shared;
    int64_t shared_bytes;
} child;

/* Bytes of address space of this process; 0 if unknown. */
static int64_t address_space(void) {
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (!f) return 0;
    if (fscanf(f, "%ld", &pages) != 1) pages = 0;
    fclose(f);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* Changes the limit that this process may raise again. */
static void limit(int what, int64_t value) {
    struct rlimit both;
    if (getrlimit(what, &both) != 0) return;
    both.rlim_cur = (rlim_t)value < both.rlim_max ? (rlim_t)value : both.rlim_max;
    setrlimit(what, &both);
}

static void set_limits(const child *c, const wire_request *r) {
    struct rusage used;
#ifndef __SANITIZE_ADDRESS__ /* whose shadow memory is larger than any limit */
    if (c->base > 0) limit(RLIMIT_AS, c->base + r->shared + r->limits.memory);
#endif
    if (getrusage(RUSAGE_SELF, &used) == 0)
        limit(RLIMIT_CPU, used.ru_utime.tv_sec + used.ru_stime.tv_sec + 1 + r->limits.seconds);
}

static bool map_shared(child *c, int64_t bytes) {
    if (bytes == c->shared_bytes) return true;
    if (c->shared) munmap(c->shared, (size_t)c->shared_bytes);
    c->shared_bytes = 0;
    c->shared = NULL;
    if (bytes == 0) return true;
    void *at = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, HELPER_MEMORY, 0);
    if (at == MAP_FAILED) return false;
    c->shared = at;
    c->shared_bytes = bytes;
    return true;
}

/* One request; false when the parent has ended. */
static bool serve_one(child *c, helper_job *const *jobs, int count) {
    wire_request r;
    wire_reply reply = {0};
    helper_task task = {0};
    void *data = NULL;
    bool go = wire_receive(HELPER_SOCKET, &r, sizeof r);
    if (!go) return false;
    set_limits(c, &r);
    status st = array_alloc(&data, r.bytes, 1, "a request");
    if (st != ST_OK || r.job < 0 || r.job >= count) return false;
    go = wire_receive(HELPER_SOCKET, data, r.bytes);
    if (go && !map_shared(c, r.shared)) st = status_memory("shared memory", r.shared);
    task = (helper_task){.data = data, .bytes = r.bytes, .shared = c->shared};
    if (go && st == ST_OK) st = jobs[r.job](&task);
    reply.status = st;
    reply.bytes = task.reply ? task.reply_bytes : 0;
    if (st != ST_OK) snprintf(reply.message, sizeof reply.message, "%s", status_message());
    go = go && wire_send(HELPER_SOCKET, &reply, sizeof reply) &&
         wire_send(HELPER_SOCKET, task.reply, reply.bytes);
    free(task.reply);
    free(data);
    return go;
}

status helper_serve(helper_job *const *jobs, int count) {
    const struct rlimit none = {0, 0};
    int type = 0;
    socklen_t size = sizeof type;
    child c = {0};
    sigset_t blocked;
    if (getsockopt(HELPER_SOCKET, SOL_SOCKET, SO_TYPE, &type, &size) != 0)
        return status_fail(ST_USAGE, "this verb is for ctaug itself");
    /* A stop is the parent's business; it also comes to the whole group of processes. */
    const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGUSR1};
    for (int i = 0; i < 4; i++) signal(ignored[i], SIG_IGN);
    sigemptyset(&blocked); /* the thread that started this process may block those of the limits */
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setrlimit(RLIMIT_CORE, &none);
    setrlimit(RLIMIT_FSIZE, &none);
    c.base = address_space();
    while (serve_one(&c, jobs, count)) {
    }
    return ST_OK;
}
