/* The watchdog's verdict on heartbeats: who is silent, who only waits, who is busy. Real ranks are
 * test_watchdog.py's. */
#include "pipeline/common/watchdog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static const double LIMIT = 10, PASSED = 1;

/* Heartbeats a second apart; what a rank does in each second. */
typedef struct second {
    bool beats, progress, waiting;
    double cpu;
} second;

static watch_verdict live(watch *w, heartbeat *h, second s, int seconds) {
    watch_verdict v = WATCH_FINE;
    for (int i = 0; i < seconds && v == WATCH_FINE; i++) {
        h->beat += s.beats;
        h->cpu += s.cpu;
        h->doing.done += s.progress;
        h->doing.waiting = s.waiting;
        v = watch_take(w, h, PASSED, LIMIT);
    }
    return v;
}

static void working_ranks_are_fine(void **state) {
    (void)state;
    watch w = {0};
    heartbeat h = {.beat = 1};
    assert_int_equal(live(&w, &h, (second){true, true, false, 1}, 1000), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){true, false, true, 0}, 1000), WATCH_FINE); /* waits */
    assert_int_equal(live(&w, &h, (second){true, false, true, 1}, 1000), WATCH_FINE); /* spins */
    assert_int_equal(live(&w, &h, (second){true, false, false, 1}, 100), WATCH_FINE); /* computes */
}

static void silent_ranks_are_found_after_the_limit(void **state) {
    (void)state;
    const struct {
        second s;
        int fine; /* seconds that are still fine */
        watch_verdict then;
    } cases[] = {{{false, false, false, 0}, 10, WATCH_STOPPED},
                 {{false, false, true, 0}, 10, WATCH_STOPPED}, /* stopped while it waited */
                 {{true, false, false, 0}, 10, WATCH_IDLE},
                 {{true, false, false, 1}, 10 * WATCHDOG_BUSY_FACTOR, WATCH_BUSY}};
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        watch w = {0};
        heartbeat h = {.beat = 1};
        assert_int_equal(live(&w, &h, (second){true, true, false, 1}, 5), WATCH_FINE);
        assert_int_equal(live(&w, &h, cases[k].s, cases[k].fine), WATCH_FINE);
        assert_int_equal(live(&w, &h, cases[k].s, 1), cases[k].then);
    }
}

/* One sign of life and the count begins again. */
static void any_progress_starts_the_count_again(void **state) {
    (void)state;
    watch w = {0};
    heartbeat h = {.beat = 1};
    for (int round = 0; round < 20; round++) {
        assert_int_equal(live(&w, &h, (second){false, false, false, 0}, 9), WATCH_FINE);
        assert_int_equal(live(&w, &h, (second){true, true, false, 0}, 1), WATCH_FINE);
        assert_int_equal(live(&w, &h, (second){true, false, false, 0}, 9), WATCH_FINE);
        assert_int_equal(live(&w, &h, (second){true, true, false, 0}, 1), WATCH_FINE);
    }
}

/* A watcher that looks twice as often as the heart beats reads every beat twice. */
static void looks_between_beats_count(void **state) {
    (void)state;
    watch w = {0};
    heartbeat h = {.beat = 1};
    watch_verdict v = WATCH_FINE;
    int looks = 0;
    assert_int_equal(live(&w, &h, (second){true, true, false, 1}, 5), WATCH_FINE);
    while (v == WATCH_FINE && looks < 50)
        v = live(&w, &h, (second){looks++ % 2 == 1, false, false, 0}, 1);
    assert_int_equal(v, WATCH_IDLE);
    assert_in_range(looks, 10, 13);
}

/* Threads of MPI wake up now and then; that is no work of the rank. */
static void short_bursts_are_no_work(void **state) {
    (void)state;
    watch w = {0};
    heartbeat h = {.beat = 1};
    assert_int_equal(live(&w, &h, (second){true, true, false, 1}, 5), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){true, false, false, 0.3}, 1), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){true, false, false, 0}, 9), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){true, false, false, 0}, 1), WATCH_IDLE);
}

/* A rank that was suspended for less than the limit may go on for as long as any other. */
static void a_suspension_is_no_idleness(void **state) {
    (void)state;
    watch w = {0};
    heartbeat h = {.beat = 1};
    assert_int_equal(live(&w, &h, (second){true, true, false, 1}, 5), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){false, false, false, 0}, 9), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){true, false, false, 0.1}, 8), WATCH_FINE);
    assert_int_equal(live(&w, &h, (second){true, true, false, 1}, 1), WATCH_FINE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(working_ranks_are_fine),
        cmocka_unit_test(silent_ranks_are_found_after_the_limit),
        cmocka_unit_test(any_progress_starts_the_count_again),
        cmocka_unit_test(looks_between_beats_count),
        cmocka_unit_test(short_bursts_are_no_work),
        cmocka_unit_test(a_suspension_is_no_idleness),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
