/* A child process for work on input that nobody vouches for: a crash, a hang or a flood of memory
 * ends the child, not this process, and is the status of that one request.
 *
 * The child is this program again (/proc/self/exe), started by posix_spawn: a fork of a process
 * that runs MPI and threads is not safe. Requests and replies go through a socket pair, large
 * results through shared memory. The child can write no file, and ends with the thread that started
 * it; the next request, of another thread, then starts a new one.
 */
#ifndef CTAUG_IO_HELPER_H
#define CTAUG_IO_HELPER_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct helper helper;

/* What one request may take. */
typedef struct helper_limits {
    int64_t memory;   /* bytes of address space beyond those at the start of the child */
    int64_t seconds;  /* of processor time */
    int64_t patience; /* seconds by the clock */
} helper_limits;

typedef struct helper_request {
    int job; /* index in the jobs of helper_serve() */
    helper_limits limits;
    const void *data;
    int64_t bytes;
} helper_request;

/* ---- the parent ---- */

/* Starts the child: this program with the one argument `verb`, with which it must call
 * helper_serve(). helper_stop() frees *out. ST_INTERNAL if it cannot be started. Local. */
status helper_start(const char *verb, helper **out);
void helper_stop(helper *h);

/* Memory of this size that parent and child share, at *shared; valid until the next call. What a
 * job that did not end has written is there, too. ST_INTERNAL if there is none. Local. */
status helper_share(helper *h, int64_t bytes, void **shared);

typedef struct helper_reply {
    void *data; /* free(); may be NULL */
    int64_t bytes;
    bool ended; /* the job came to its end: status and message are its own */
} helper_reply;

/* Sends a request and waits for its end. Returns the status of the job. ST_INPUT with a message
 * such as "crashed (signal 11)" or "took longer than 60 s" if the child ended or was ended. After a
 * crash or ST_INTERNAL a new child is asked once more: earlier requests may have used up the memory
 * of the first one. SIGKILL from outside, as by a system without memory, is no fault of the
 * request: a new child is asked once more, then it is ST_INTERNAL. ST_INTERNAL, too, if no child
 * can be started; `ended` is false in both cases. Local. */
status helper_ask(helper *h, const helper_request *request, helper_reply *reply);

/* ---- the child ---- */

typedef struct helper_task {
    const void *data; /* of the request */
    int64_t bytes;
    void *shared; /* of the parent's last helper_share() */
    void *reply;  /* set by the job: malloc(); owned by the caller of the job */
    int64_t reply_bytes;
} helper_task;

typedef status helper_job(helper_task *task);

/* Does what the parent asks until the parent ends. ST_USAGE if no parent has started this program.
 * Local. */
status helper_serve(helper_job *const *jobs, int count);

#endif
