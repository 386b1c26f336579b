/* The parent: starts the child, waits for its replies, and says why there is none. */
#include "io/helper.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/helper_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { VERB = 32 };

/* A reply is never larger; a child that has gone wild may claim anything. */
static const int64_t REPLY_MAX = INT64_C(1) << 32;

struct helper {
    char verb[VERB];
    pid_t child; /* 0: there is none */
    int socket;  /* to it */
    int memory;  /* the shared memory */
    void *shared;
    int64_t shared_bytes; /* its size and that of the file behind it */
};

/* ---- starting and ending ---- */

static status cannot(const char *what, int reason) {
    return status_fail(ST_INTERNAL, "a child process: cannot %s: %s", what, strerror(reason));
}

/* What the child inherits: its end of the socket and the shared memory, and nothing else. Messages
 * of libraries about damaged files go nowhere, except those of the sanitizers. */
static int add_actions(posix_spawn_file_actions_t *a, int socket, int memory) {
    int fault = posix_spawn_file_actions_addopen(a, 0, "/dev/null", O_RDONLY, 0);
    if (!fault) fault = posix_spawn_file_actions_addopen(a, 1, "/dev/null", O_WRONLY, 0);
#ifndef __SANITIZE_ADDRESS__
    if (!fault) fault = posix_spawn_file_actions_addopen(a, 2, "/dev/null", O_WRONLY, 0);
#endif
    if (!fault) fault = posix_spawn_file_actions_adddup2(a, socket, HELPER_SOCKET);
    if (!fault) fault = posix_spawn_file_actions_adddup2(a, memory, HELPER_MEMORY);
    if (!fault) fault = posix_spawn_file_actions_addclosefrom_np(a, HELPER_MEMORY + 1);
    return fault;
}

/* A copy of a descriptor with a number beyond those of the child, so that they cannot collide. */
static int move_away(int *fd) {
    const int moved = fcntl(*fd, F_DUPFD_CLOEXEC, HELPER_MEMORY + 1);
    if (moved < 0) return errno;
    close(*fd);
    *fd = moved;
    return 0;
}

/* A message that has begun goes on within so many seconds: a child that stops in the middle of one
 * does not stop this process. */
static int limit_pauses(int socket) {
    const struct timeval pause = {.tv_sec = 60};
    const bool done = setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof pause) == 0 &&
                      setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &pause, sizeof pause) == 0;
    return done ? 0 : errno;
}

static status start_child(helper *h) {
    status st = ST_OK;
    int pair[2] = {-1, -1}, fault;
    char *const argv[] = {(char *)"ctaug", h->verb, NULL};
    posix_spawn_file_actions_t actions;
    if (posix_spawn_file_actions_init(&actions) != 0) return cannot("prepare it", ENOMEM);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        TRY(cannot("make a socket pair", errno));
    fault = move_away(&pair[0]);
    if (!fault) fault = move_away(&pair[1]);
    if (!fault) fault = limit_pauses(pair[0]);
    if (!fault) fault = add_actions(&actions, pair[1], h->memory);
    if (!fault) fault = posix_spawn(&h->child, "/proc/self/exe", &actions, NULL, argv, environ);
    if (fault) {
        h->child = 0;
        TRY(cannot("start it", fault));
    }
    h->socket = pair[0];
    pair[0] = -1;
done:
    posix_spawn_file_actions_destroy(&actions);
    if (pair[0] >= 0) close(pair[0]);
    if (pair[1] >= 0) close(pair[1]);
    return st;
}

static void forget_child(helper *h) {
    close(h->socket); /* for the child, the end */
    h->child = 0;
    h->socket = -1;
}

/* Whether the child ends within so many seconds; *how: what waitpid() says of its end. */
static bool ends_within(helper *h, int64_t seconds, int *how) {
    enum { PAUSE = 10 }; /* ms */
    *how = 0;
    for (int64_t left = seconds * 1000 / PAUSE; waitpid(h->child, how, WNOHANG) == 0; left--) {
        if (left == 0) return false;
        poll(NULL, 0, PAUSE);
    }
    forget_child(h);
    return true;
}

/* Ends the child, by force if `force`. */
static void end_child(helper *h, bool force) {
    const pid_t child = h->child;
    if (child == 0) return;
    if (force) kill(child, SIGKILL);
    forget_child(h);
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
}

status helper_start(const char *verb, helper **out) {
    status st;
    helper *h = NULL;
    *out = NULL;
    TRY(array_alloc(&h, 1, sizeof *h, "a child process"));
    h->socket = h->memory = -1;
    snprintf(h->verb, sizeof h->verb, "%s", verb);
    h->memory = memfd_create("ctaug", MFD_CLOEXEC);
    if (h->memory < 0) TRY(cannot("share memory with it", errno));
    if (move_away(&h->memory) != 0) TRY(cannot("share memory with it", errno));
    TRY(start_child(h));
    *out = h;
    h = NULL;
done:
    helper_stop(h);
    return st;
}

void helper_stop(helper *h) {
    if (!h) return;
    end_child(h, false);
    if (h->shared) munmap(h->shared, (size_t)h->shared_bytes);
    if (h->memory >= 0) close(h->memory);
    free(h);
}

/* ---- asking ---- */

status helper_share(helper *h, int64_t bytes, void **shared) {
    *shared = h->shared;
    if (bytes == h->shared_bytes) return ST_OK;
    if (h->shared) munmap(h->shared, (size_t)h->shared_bytes);
    h->shared = *shared = NULL;
    h->shared_bytes = 0;
    if (ftruncate(h->memory, bytes) != 0) return status_memory("shared memory", bytes);
    if (bytes == 0) return ST_OK;
    void *at = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, h->memory, 0);
    if (at == MAP_FAILED) return status_memory("shared memory", bytes);
    h->shared = *shared = at;
    h->shared_bytes = bytes;
    return ST_OK;
}

static int64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* Whether the child replies, or ends, within so many seconds. This process is not hung meanwhile.
 */
static bool wait_for_reply(const helper *h, int64_t seconds) {
    struct pollfd p = {.fd = h->socket, .events = POLLIN};
    for (const int64_t end = now() + seconds; now() <= end; activity_progress())
        if (poll(&p, 1, 1000) > 0) return true;
    return false;
}

/* How an attempt came to its end. */
typedef enum ending {
    ENDED,  /* another attempt would end alike */
    FAILED, /* another attempt may give a reply */
    KILLED, /* from outside: no fault of the request */
} ending;

/* Why there is no reply: the child has ended or, if it does not within GRACE seconds, is ended. One
 * that reached a limit is sent another signal than SIGKILL, or is late; the signals that it ignores
 * (helper_child.c) leave SIGKILL to whoever is outside. */
static status no_reply(helper *h, const helper_limits *limits, bool late, ending *end) {
    enum { GRACE = 2 };
    int how;
    if (late || !ends_within(h, GRACE, &how)) {
        end_child(h, true);
        *end = late ? ENDED : FAILED;
        return late ? status_fail(ST_INPUT, "did not end within %" PRId64 " s", limits->patience)
                    : status_fail(ST_INPUT, "gave no valid reply");
    }
    const int sign = WIFSIGNALED(how) ? WTERMSIG(how) : 0;
    *end = sign == SIGXCPU ? ENDED : sign == SIGKILL ? KILLED : FAILED;
    if (sign == SIGXCPU)
        return status_fail(ST_INPUT, "took longer than %" PRId64 " s of processor time",
                           limits->seconds);
    if (sign == SIGKILL)
        return status_fail(ST_INTERNAL,
                           "a child process was killed from outside, and so was the next one; the "
                           "system does so when memory runs out: run again to go on, with more "
                           "memory or fewer ranks on a node");
    if (sign) return status_fail(ST_INPUT, "crashed (signal %d, %s)", sign, strsignal(sign));
    return status_fail(ST_INPUT, "ended by itself (exit code %d)", WEXITSTATUS(how));
}

/* Receives the reply; false if there is none or it is none. */
static bool receive(const helper *h, wire_reply *head, helper_reply *reply) {
    if (!wire_receive(h->socket, head, sizeof *head)) return false;
    head->message[sizeof head->message - 1] = '\0';
    if (head->bytes < 0 || head->bytes > REPLY_MAX) return false;
    if (head->bytes == 0) return true;
    reply->data = malloc((size_t)head->bytes);
    reply->bytes = head->bytes;
    return reply->data && wire_receive(h->socket, reply->data, reply->bytes);
}

/* One request and its reply. */
static status attempt(helper *h, const helper_request *request, helper_reply *reply, ending *end) {
    status st = ST_OK;
    wire_reply head;
    const wire_request ask = {request->job, request->bytes, h->shared_bytes, request->limits};
    bool late = false;
    int how;
    *end = ENDED;
    *reply = (helper_reply){0};
    if (h->child != 0) ends_within(h, 0, &how); /* while nothing was asked of it */
    if (h->child == 0) TRY(start_child(h));
    if (wire_send(h->socket, &ask, sizeof ask) &&
        wire_send(h->socket, request->data, request->bytes))
        late = !wait_for_reply(h, request->limits.patience);
    reply->ended = !late && receive(h, &head, reply);
    if (!reply->ended) {
        free(reply->data);
        *reply = (helper_reply){0};
        TRY(no_reply(h, &request->limits, late, end));
    }
    if (head.status == ST_INTERNAL) {
        end_child(h, true); /* what earlier requests left behind may be in the way */
        *end = FAILED;
    }
    if (head.status != ST_OK) st = status_fail((status)head.status, "%s", head.message);
done:
    return st;
}

status helper_ask(helper *h, const helper_request *request, helper_reply *reply) {
    enum { TRIES = 2 };
    for (int failed = 0, killed = 0;;) {
        ending end;
        const status st = attempt(h, request, reply, &end);
        failed += end == FAILED;
        killed += end == KILLED;
        if (end == ENDED || failed == TRIES || killed == TRIES) return st;
        free(reply->data);
    }
}
