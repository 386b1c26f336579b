/* The child process: jobs that crash, hang, take all memory, write files or reply nonsense cost one
 * request, with a message that says how; the next request is answered by a new child. */
#include "io/helper.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

enum {
    ECHO,
    FAIL,
    CRASH,
    ABORT,
    SPIN,
    SLEEP,
    FLOOD,
    LEAVE,
    WRITE,
    SHARE,
    PID,
    LEAK,
    WAIT,
    GARBLE,
    JOBS
};

static const helper_limits usual = {INT64_C(64) << 20, 20, 120};

/* ---- the child ---- */

static status do_echo(helper_task *t) {
    t->reply = malloc((size_t)t->bytes);
    memcpy(t->reply, t->data, (size_t)t->bytes);
    t->reply_bytes = t->bytes;
    return ST_OK;
}

static status do_fail(helper_task *t) { return status_fail(ST_INPUT, "%s", (char *)t->data); }

/* Notes in the shared memory how far it came. */
static status do_crash(helper_task *t) {
    if (t->shared) *(char *)t->shared = 7;
    signal(SIGSEGV, SIG_DFL); /* that of a sanitizer would exit */
    raise(SIGSEGV);
    return ST_OK;
}

static status do_abort(helper_task *t) {
    (void)t;
    abort();
}

static status do_spin(helper_task *t) {
    volatile uint64_t turns = 0;
    (void)t;
    while (turns < UINT64_MAX) turns++;
    return ST_OK;
}

static status do_sleep(helper_task *t) {
    while (!t->reply) pause();
    return ST_OK;
}

static status do_flood(helper_task *t) {
    (void)t;
    for (int64_t mib = 1; mib < 4096; mib++) {
        char *more = malloc(1 << 20);
        if (!more) return status_memory("a flood", mib << 20);
        memset(more, 1, 1 << 20);
    }
    return ST_OK;
}

static status do_leave(helper_task *t) {
    (void)t;
    _exit(3);
}

/* A file with a byte in it, and a core dump, must both be impossible. */
static status do_write(helper_task *t) {
    signal(SIGXFSZ, SIG_IGN);
    int fd = open(t->data, O_CREAT | O_WRONLY, 0600);
    const bool written = fd >= 0 && write(fd, "x", 1) == 1;
    return written ? ST_OK : status_fail(ST_STORAGE, "refused");
}

static status do_share(helper_task *t) {
    memcpy(t->shared, t->data, (size_t)t->bytes);
    return ST_OK;
}

static status do_pid(helper_task *t) {
    int *pid = malloc(sizeof *pid);
    *pid = (int)getpid();
    t->reply = pid;
    t->reply_bytes = sizeof *pid;
    return ST_OK;
}

/* Succeeds, but never gives its 4 MiB back. */
static status do_leak(helper_task *t) {
    (void)t;
    char *lost = malloc(4 << 20);
    if (!lost) return status_memory("a leak", 4 << 20);
    memset(lost, 1, 4 << 20);
    return ST_OK;
}

/* What the job WAIT shares with the parent. */
typedef struct waiting {
    _Atomic int children, last; /* that have begun to wait; the process id of the last one */
    int needed;                 /* the child with this number does not wait */
} waiting;

static status do_wait(helper_task *t) {
    waiting *w = t->shared;
    if (w->children == w->needed) return ST_OK;
    w->last = (int)getpid();
    w->children++;
    return do_sleep(t);
}

/* No reply, but the child lives. */
static status do_garble(helper_task *t) {
    enum { SOCKET = 3 };
    const char nonsense[2048] = {1, 2, 3, 4, 5, 6, 7, 8, -1, -1, -1, -1, -1, -1, -1, -1};
    if (write(SOCKET, nonsense, sizeof nonsense) < 0) return ST_OK;
    return do_sleep(t);
}

static helper_job *const jobs[JOBS] = {do_echo,  do_fail,  do_crash, do_abort, do_spin,
                                       do_sleep, do_flood, do_leave, do_write, do_share,
                                       do_pid,   do_leak,  do_wait,  do_garble};

/* ---- the parent ---- */

static helper *h;

/* Whether a request comes back as it was sent: the helper is sound. */
static void assert_sound(int64_t bytes) {
    helper_reply reply;
    char *data = malloc((size_t)bytes);
    for (int64_t i = 0; i < bytes; i++) data[i] = (char)(i * 31);
    const helper_request ask = {.job = ECHO, .limits = usual, .data = data, .bytes = bytes};
    assert_ok(helper_ask(h, &ask, &reply));
    assert_true(reply.ended);
    assert_int_equal(reply.bytes, bytes);
    assert_memory_equal(reply.data, data, (size_t)bytes);
    free(reply.data);
    free(data);
}

static void requests_are_answered(void **state) {
    (void)state;
    void *shared;
    helper_reply reply;
    for (int64_t bytes = 1; bytes < INT64_C(30) << 20; bytes *= 23) assert_sound(bytes);
    /* Shared memory that grows and shrinks. */
    for (int64_t size = 100; size < 10000000; size = size % 300 == 0 ? size * 70 : size / 2 + 250) {
        const helper_request ask = {.job = SHARE, .limits = usual, .data = "seven", .bytes = 6};
        assert_ok(helper_share(h, size, &shared));
        memset(shared, 0, (size_t)size);
        assert_ok(helper_ask(h, &ask, &reply));
        assert_string_equal(shared, "seven");
    }
    assert_ok(helper_share(h, 0, &shared));
}

static void a_failure_is_the_jobs_own(void **state) {
    (void)state;
    helper_reply reply;
    const helper_request ask = {.job = FAIL, .limits = usual, .data = "because", .bytes = 8};
    assert_int_equal(helper_ask(h, &ask, &reply), ST_INPUT);
    assert_true(reply.ended);
    assert_string_equal(status_message(), "because");
}

/* The request must end as said, and the next one be answered. */
static void assert_ends(int job, helper_limits limits, const char *says) {
    helper_reply reply;
    const helper_request ask = {.job = job, .limits = limits, .data = "", .bytes = 1};
    assert_int_equal(helper_ask(h, &ask, &reply), ST_INPUT);
    assert_false(reply.ended);
    assert_null(reply.data);
    assert_says(says);
    assert_sound(1000);
}

static void a_crash_costs_one_request(void **state) {
    (void)state;
    void *shared;
    for (int i = 0; i < 3; i++) {
        assert_ok(helper_share(h, 64, &shared));
        *(char *)shared = 0;
        assert_ends(CRASH, usual, "crashed (signal 11");
        assert_int_equal(*(char *)shared, 7);
        assert_ends(ABORT, usual, "crashed (signal 6");
        assert_ends(LEAVE, usual, "ended by itself (exit code 3)");
    }
    assert_ends(GARBLE, usual, "gave no valid reply");
}

static void a_hang_costs_one_request(void **state) {
    (void)state;
    assert_ends(SPIN, (helper_limits){usual.memory, 1, 120},
                "took longer than 1 s of processor time");
    assert_ends(SLEEP, (helper_limits){usual.memory, 20, 1}, "did not end within 1 s");
}

/* Limits hold for one request: what a request uses does not count for the next. */
static void time_is_counted_anew(void **state) {
    (void)state;
    helper_reply reply;
    const helper_request ask = {
        .job = PID, .limits = {usual.memory, 1, 120}, .data = "", .bytes = 1};
    int first = 0;
    for (int i = 0; i < 200; i++) {
        assert_ok(helper_ask(h, &ask, &reply));
        if (i == 0) first = *(int *)reply.data;
        assert_int_equal(*(int *)reply.data, first);
        free(reply.data);
    }
}

static void a_flood_of_memory_is_refused(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip();
#endif
    helper_reply reply;
    const helper_request ask = {.job = FLOOD, .limits = usual, .data = "", .bytes = 1};
    assert_int_equal(helper_ask(h, &ask, &reply), ST_INTERNAL);
    assert_true(reply.ended);
    assert_says("out of memory");
    assert_sound(1000);
}

/* Of 64 MiB, leaks of 4 MiB by sound requests leave enough for each later one. */
static void a_leak_costs_nothing(void **state) {
    (void)state;
    helper_reply reply;
    const helper_request ask = {.job = LEAK, .limits = usual, .data = "", .bytes = 1};
    for (int i = 0; i < 40; i++) assert_ok(helper_ask(h, &ask, &reply));
}

static void no_file_is_written(void **state) {
    (void)state;
    helper_reply reply;
    const char *path = in_home("written");
    const helper_request ask = {
        .job = WRITE, .limits = usual, .data = path, .bytes = (int64_t)strlen(path) + 1};
    assert_int_equal(helper_ask(h, &ask, &reply), ST_STORAGE);
}

/* Something else kills the child between two requests, or while it works: nobody notices. */
static void a_child_that_was_killed_is_replaced(void **state) {
    (void)state;
    helper_reply reply;
    const helper_request ask = {.job = PID, .limits = usual, .data = "", .bytes = 1};
    assert_ok(helper_ask(h, &ask, &reply));
    const int pid = *(int *)reply.data;
    free(reply.data);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_ok(helper_ask(h, &ask, &reply));
    assert_int_not_equal(*(int *)reply.data, pid);
    free(reply.data);
}

/* Kills each child that waits. */
static void *kill_children(void *shared) {
    waiting *w = shared;
    for (int killed = 0; killed < w->needed; killed++) {
        while (w->children == killed) usleep(1000);
        kill(w->last, SIGKILL);
    }
    return NULL;
}

/* A request whose first `kills` children are killed from outside while they work. */
static status ask_killed(int kills, helper_reply *reply) {
    void *shared;
    pthread_t killer;
    const helper_request ask = {.job = WAIT, .limits = usual, .data = "", .bytes = 1};
    assert_ok(helper_share(h, sizeof(waiting), &shared));
    *(waiting *)shared = (waiting){.needed = kills};
    assert_int_equal(pthread_create(&killer, NULL, kill_children, shared), 0);
    const status st = helper_ask(h, &ask, reply);
    pthread_join(killer, NULL);
    return st;
}

/* Killed while it works, a child is replaced once; the second time nobody blames the request. */
static void a_kill_from_outside_is_no_fault_of_the_request(void **state) {
    (void)state;
    helper_reply reply;
    assert_ok(ask_killed(1, &reply));
    assert_true(reply.ended);
    assert_int_equal(ask_killed(2, &reply), ST_INTERNAL);
    assert_false(reply.ended);
    assert_says("killed from outside");
    assert_sound(1000);
}

static void *spin_in_thread(void *reply) {
    const helper_request ask = {
        .job = SPIN, .limits = {usual.memory, 1, 120}, .data = "", .bytes = 1};
    bool sound = true;
    for (int i = 0; i < 2; i++) /* the second time by a child of this thread */
        sound &= helper_ask(h, &ask, reply) == ST_INPUT &&
                 strstr(status_message(), "took longer than 1 s of processor time");
    const helper_request more = {.job = ECHO, .limits = usual, .data = "", .bytes = 1};
    helper_reply echo;
    sound &= helper_ask(h, &more, &echo) == ST_OK;
    free(echo.data);
    return sound ? reply : NULL;
}

/* A thread that blocks all signals asks, starts a new child, and ends, and its child with it. */
static void threads_may_take_turns(void **state) {
    (void)state;
    helper_reply reply;
    pthread_t thread;
    void *said;
    sigset_t all, before;
    assert_sound(1000);
    sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    assert_int_equal(pthread_create(&thread, NULL, spin_in_thread, &reply), 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);
    assert_int_equal(pthread_join(thread, &said), 0);
    assert_non_null(said);
    assert_sound(1000);
}

/* The child ignores what stops its parent, and ends when the parent does. */
static void the_child_ends_with_its_parent(void **state) {
    (void)state;
    helper_reply reply;
    const helper_request ask = {.job = PID, .limits = usual, .data = "", .bytes = 1};
    assert_ok(helper_ask(h, &ask, &reply));
    const int pid = *(int *)reply.data;
    free(reply.data);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(kill(pid, SIGINT), 0);
    assert_ok(helper_ask(h, &ask, &reply));
    assert_int_equal(*(int *)reply.data, pid);
    free(reply.data);
    helper_stop(h);
    h = NULL;
    assert_int_equal(kill(pid, 0), -1);
}

static int begin(void **state) {
    (void)state;
    return begin_scratch() && helper_start("serve", &h) == ST_OK ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    helper_stop(h);
    return end_scratch() ? 0 : -1;
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered),
        cmocka_unit_test(a_failure_is_the_jobs_own),
        cmocka_unit_test(a_crash_costs_one_request),
        cmocka_unit_test(a_hang_costs_one_request),
        cmocka_unit_test(time_is_counted_anew),
        cmocka_unit_test(a_flood_of_memory_is_refused),
        cmocka_unit_test(a_leak_costs_nothing),
        cmocka_unit_test(no_file_is_written),
        cmocka_unit_test(a_child_that_was_killed_is_replaced),
        cmocka_unit_test(a_kill_from_outside_is_no_fault_of_the_request),
        cmocka_unit_test(threads_may_take_turns),
        cmocka_unit_test(the_child_ends_with_its_parent),
    };
    if (argc == 2 && strcmp(argv[1], "serve") == 0) return helper_serve(jobs, JOBS);
    return cmocka_run_group_tests(tests, begin, end);
}
