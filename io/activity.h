/* What this process is doing, for its watchdog: whether it waits for other ranks, and how much it
 * has done. Kept in atomics that any thread may read; costs a few nanoseconds a call.
 */
#ifndef CTAUG_IO_ACTIVITY_H
#define CTAUG_IO_ACTIVITY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct activity {
    uint64_t done; /* operations that ended: any change is progress */
    int64_t step;  /* of the present stage */
    bool waiting;  /* for other ranks: not this one's fault */
    bool saved;    /* work is saved from which a new run resumes */
} activity;

/* From wait_begin() to wait_end() the process waits for other ranks; pairs may be nested. Local. */
void activity_wait_begin(void);
void activity_wait_end(void);

/* A step or another unit of work has ended. Local. */
void activity_step(int64_t step);

/* A part of a unit of work has ended: a slice, a piece of a file. Local. */
void activity_progress(void);

/* A checkpoint or a part is published (true), or a stage begins that has none (false). Local. */
void activity_saved(bool saved);

activity activity_now(void);

#endif
