/* The counters. */
#include "io/activity.h"

#include <stdatomic.h>

static _Atomic uint64_t done;
static _Atomic int64_t step;
static _Atomic int waits;
static _Atomic bool is_saved;

void activity_wait_begin(void) {
    atomic_fetch_add_explicit(&waits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
}

void activity_wait_end(void) {
    atomic_fetch_sub_explicit(&waits, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
}

void activity_step(int64_t at) {
    atomic_store_explicit(&step, at, memory_order_relaxed);
    atomic_fetch_add_explicit(&done, 1, memory_order_relaxed);
}

void activity_progress(void) { atomic_fetch_add_explicit(&done, 1, memory_order_relaxed); }

void activity_saved(bool saved) { atomic_store_explicit(&is_saved, saved, memory_order_relaxed); }

activity activity_now(void) {
    return (activity){.done = atomic_load_explicit(&done, memory_order_relaxed),
                      .step = atomic_load_explicit(&step, memory_order_relaxed),
                      .waiting = atomic_load_explicit(&waits, memory_order_relaxed) > 0,
                      .saved = atomic_load_explicit(&is_saved, memory_order_relaxed)};
}
