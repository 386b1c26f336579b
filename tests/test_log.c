/* The journal: what is written to stdout, to stderr and to events.jsonl. */
#include "io/log.h"
#include "tests/scratch.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

/* noinline: otherwise gcc 12 warns that it returns an address on its stack, which it does not. */
__attribute__((noinline)) static char *slurp(const char *name) {
    char *text;
    int64_t bytes;
    assert_ok(file_read(in_home(name), 1 << 24, &text, &bytes));
    return text;
}

static void clear(const char *name) { unlink(in_home(name)); }

/* Runs `work` with stdout and stderr in the files "out" and "err". */
static void captured(void (*work)(void)) {
    const char *names[2] = {"out", "err"};
    int kept[2];
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        int file = open(in_home(names[i]), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        kept[i] = dup(i + 1);
        assert_true(file >= 0 && kept[i] >= 0 && dup2(file, i + 1) >= 0);
        close(file);
    }
    work();
    fflush(stdout);
    fflush(stderr);
    for (int i = 0; i < 2; i++) {
        dup2(kept[i], i + 1);
        close(kept[i]);
    }
}

static journal *open_journal(bool prints) {
    journal *j = NULL;
    assert_int_equal(log_open(home, prints, &j), ST_OK);
    return j;
}

static void say_things(void) {
    journal *j = open_journal(true);
    log_info(j, "result %d", 7);
    log_warning(j, "careful with \"%s\"\n", "quotes");
    log_event(j, "step", json_pack("{s:i, s:f, s:s}", "step", 3, "loss", 0.5, "event", "forged"));
    log_event(j, "bare", NULL);
    log_close(j);
}

static void events_are_whole_json_lines_with_time_and_name(void **state) {
    (void)state;
    clear("events.jsonl");
    captured(say_things);
    captured(say_things);
    char *text = slurp("events.jsonl"), *out = slurp("out"), *err = slurp("err");
    static const char *const names[] = {"warning", "step", "bare"};
    char *line = text;
    for (int i = 0; i < 6; i++) {
        char *end = strchr(line, '\n');
        assert_non_null(end);
        json_t *event = json_loadb(line, (size_t)(end - line), JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(event);
        assert_string_equal(json_string_value(json_object_get(event, "event")), names[i % 3]);
        const char *time = json_string_value(json_object_get(event, "time"));
        assert_int_equal(strlen(time), strlen("2024-01-01T00:00:00.000Z"));
        assert_int_equal(time[strlen(time) - 1], 'Z');
        if (i % 3 == 1) assert_int_equal(json_integer_value(json_object_get(event, "step")), 3);
        json_decref(event);
        line = end + 1;
    }
    assert_int_equal(*line, '\0');
    assert_string_equal(out, "result 7\n");
    assert_non_null(strstr(err, "warning: careful with \"quotes\""));
    free(text);
    free(out);
    free(err);
}

static void torn_lines_are_closed_by_the_next_run(void **state) {
    (void)state;
    assert_int_equal(file_write_atomic(in_home("events.jsonl"), "{\"torn", 6), ST_OK);
    journal *j = open_journal(true);
    log_event(j, "next", NULL);
    log_close(j);
    char *text = slurp("events.jsonl");
    assert_int_equal(strncmp(text, "{\"torn\n{\"time\":", 15), 0);
    free(text);
}

static void other_ranks_only_warn(void) {
    journal *j = open_journal(false);
    log_info(j, "no");
    log_event(j, "no", json_object());
    log_progress_begin(j, "no", 3);
    log_progress_set(j, 1, "no");
    log_progress_end(j);
    log_warning(j, "yes");
    log_close(j);
}

static void other_ranks_are_silent_but_for_warnings(void **state) {
    (void)state;
    clear("events.jsonl");
    captured(other_ranks_only_warn);
    assert_false(file_exists(in_home("events.jsonl")));
    char *out = slurp("out"), *err = slurp("err");
    assert_string_equal(out, "");
    assert_string_equal(err, "warning: yes\n");
    free(out);
    free(err);
}

static void count_to_thousand(void) {
    journal *j = open_journal(true);
    log_progress_begin(j, "count", 1000);
    for (int i = 1; i <= 1000; i++) log_progress_set(j, i, i == 1000 ? "loss 0.5" : NULL);
    log_progress_end(j);
    log_progress_begin(j, "nothing", 0);
    log_progress_end(j);
    log_progress_begin(j, "resumed", 100);
    log_progress_set(j, 95, NULL);
    log_progress_end(j);
    log_close(j);
}

/* Not on a terminal, progress prints the start, each tenth and the end, once each. */
static void progress_is_sparse_in_files(void **state) {
    (void)state;
    captured(count_to_thousand);
    char *err = slurp("err"), *out = slurp("out");
    int lines = 0;
    for (const char *c = err; *c; c++) lines += *c == '\n';
    assert_int_equal(lines, 11 + 1 + 2);
    assert_int_equal(strncmp(err, "count 0/1000  0 %\ncount 100/1000  10 %", 38), 0);
    assert_non_null(strstr(err, "count 1000/1000  100 %  took 0:00  loss 0.5\n"));
    assert_null(strchr(err, '\r'));
    assert_string_equal(out, "");
    free(out);
    free(err);
}

static void pass_time(void) {
    journal *j = open_journal(true);
    log_progress_begin(j, "sleep", 1000);
    log_progress_set(j, 900, NULL); /* the resumed position */
    usleep(600000);
    log_progress_set(j, 910, NULL); /* 0.06 s each, 90 left: about 5 s */
    usleep(1000);
    log_progress_set(j, 1000, NULL);
    log_close(j);
    j = open_journal(true);
    log_progress_begin(j, "tenths", 20);
    log_progress_set(j, 0, NULL);
    usleep(600000);
    log_progress_set(j, 2, NULL); /* 0.3 s each, 18 left: 5.4 s */
    log_close(j);
}

/* The remaining time is estimated from the pace since the resumed position, not since 0. */
static void eta_follows_the_pace(void **state) {
    (void)state;
    captured(pass_time);
    char *err = slurp("err");
    const char *eta = strstr(err, "tenths 2/20  10 %  ETA 0:");
    assert_non_null(eta);
    int seconds = atoi(eta + strlen("tenths 2/20  10 %  ETA 0:"));
    assert_true(seconds >= 5); /* a busy machine makes it longer */
    assert_null(strstr(err, "sleep 900/1000  90 %  ETA"));
    free(err);
}

/* A limit on the size of files stands for the disk; the captured output stays below it. */
static void write_to_a_full_disk(void) {
    enum { MIB = 1 << 20 };
    const char *path = in_home("events.jsonl");
    struct rlimit before, full = {MIB, RLIM_INFINITY};
    unlink(path);
    journal *j = open_journal(true);
    assert_int_equal(truncate(path, MIB), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    full.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &full), 0);
    for (int i = 0; i < 3; i++) log_event(j, "lost", NULL);
    log_close(j);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    unlink(path);
}

static void links_are_refused(void **state) {
    (void)state;
    journal *j = NULL;
    clear("events.jsonl");
    assert_int_equal(symlink("/dev/null", in_home("events.jsonl")), 0);
    assert_int_equal(log_open(home, true, &j), ST_INTEGRITY);
    assert_says("symbolic link");
    clear("events.jsonl");
}

/* Control characters of a label or a path do not reach the terminal or the events. */
static void say_dangerous_things(void) {
    journal *j = open_journal(true);
    log_info(j, "label %s", "a\x1b[2Jb\rc");
    log_warning(j, "file %s", "\x1b]0;title\x07\xff");
    log_close(j);
}

static void control_characters_are_escaped(void **state) {
    (void)state;
    clear("events.jsonl");
    captured(say_dangerous_things);
    char *out = slurp("out"), *err = slurp("err"), *events = slurp("events.jsonl");
    assert_non_null(strstr(out, "label a\\x1b[2Jb\\x0dc"));
    assert_non_null(strstr(err, "file \\x1b]0;title\\x07\\xff"));
    assert_null(strchr(out, 0x1b));
    assert_null(strchr(err, 0x1b));
    assert_non_null(strstr(events, "\"file ...\""));
    assert_null(strstr(events, "title"));
    free(out), free(err), free(events);
}

static void a_failed_write_is_one_warning(void **state) {
    (void)state;
    captured(write_to_a_full_disk);
    char *err = slurp("err");
    const char *first = strstr(err, "warning: events.jsonl cannot be written: ");
    assert_non_null(first);
    assert_null(strstr(first + 1, "warning"));
    free(err);
}

static void a_missing_directory_is_refused(void **state) {
    (void)state;
    journal *j;
    assert_int_equal(log_open("/nonexistent", true, &j), ST_STORAGE);
    assert_non_null(strstr(status_message(), "/nonexistent/events.jsonl"));
    assert_int_equal(log_open(NULL, true, &j), ST_OK);
    log_event(j, "nowhere", NULL);
    log_close(j);
}

/* Two processes append to one file: every line stays whole. */
static void appends_do_not_mix(void **state) {
    (void)state;
    enum { LINES = 300 };
    clear("events.jsonl");
    pid_t child = fork();
    journal *j = open_journal(true);
    for (int i = 0; i < LINES; i++) log_event(j, "line", json_pack("{s:i}", "i", i));
    log_close(j);
    if (child == 0) _exit(0);
    int code = -1;
    waitpid(child, &code, 0);
    assert_int_equal(code, 0);
    char *text = slurp("events.jsonl"), *line = text;
    int n = 0;
    for (char *end; (end = strchr(line, '\n')); line = end + 1, n++) {
        json_t *event = json_loadb(line, (size_t)(end - line), 0, NULL);
        assert_non_null(event);
        json_decref(event);
    }
    assert_int_equal(n, 2 * LINES);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_whole_json_lines_with_time_and_name),
        cmocka_unit_test(torn_lines_are_closed_by_the_next_run),
        cmocka_unit_test(other_ranks_are_silent_but_for_warnings),
        cmocka_unit_test(progress_is_sparse_in_files),
        cmocka_unit_test(eta_follows_the_pace),
        cmocka_unit_test(a_failed_write_is_one_warning),
        cmocka_unit_test(links_are_refused),
        cmocka_unit_test(control_characters_are_escaped),
        cmocka_unit_test(a_missing_directory_is_refused),
        cmocka_unit_test(appends_do_not_mix),
    };
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
