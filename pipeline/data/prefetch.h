/* A thread that prefetches training samples while a step runs, or volumes while one is stored.
 *
 * The caller owns the slots; `make` writes a sample into one. Between prefetch_announce() and the
 * next prefetch_take() the slots and everything `make` uses belong to the thread, otherwise to the
 * caller, so that they need no lock. Samples that were not announced are made on the caller's
 * thread; the samples are the same either way.
 */
#ifndef CTAUG_PIPELINE_DATA_PREFETCH_H
#define CTAUG_PIPELINE_DATA_PREFETCH_H

#include "io/status.h"

#include <stdint.h>

typedef struct prefetch prefetch;

/* Writes sample `index` into slot `slot`. Must not use MPI or OpenMP: the thread shares the
 * processors with the step. */
typedef status (*prefetch_make)(void *context, int64_t index, int64_t slot);

/* Starts the thread, with all signals blocked. context must outlive it. Local. */
status prefetch_open(prefetch_make make, void *context, prefetch **out);

/* Ends the thread after its current sample. NULL is allowed. Local. */
void prefetch_close(prefetch *p);

/* The thread starts to make samples first..first+count-1 in slots 0..count-1. Replaces an earlier
 * announcement. Local. */
void prefetch_announce(prefetch *p, int64_t first, int64_t count);

/* On return samples first..first+count-1 are in slots 0..count-1, which belong to the caller until
 * the next announcement. If make() failed for one of them on the thread, its status and message are
 * returned here. Local. */
status prefetch_take(prefetch *p, int64_t first, int64_t count);

#endif
