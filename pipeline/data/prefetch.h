/* Samples made ready on a thread of their own while the step runs.
 *
 * Its owner has slots; `make` puts a sample into one. Between an announcement and the next take the
 * slots and all that `make` uses are the thread's, otherwise the caller's, so nothing in them needs
 * a lock. What was not announced is made by the caller, and the samples are the same either way.
 */
#ifndef CTAUG_PIPELINE_DATA_PREFETCH_H
#define CTAUG_PIPELINE_DATA_PREFETCH_H

#include "io/status.h"

#include <stdint.h>

typedef struct prefetch prefetch;

/* Puts sample `index` into slot `slot`. No MPI and no OpenMP in it: the thread shares the
 * processors with the step. */
typedef status (*prefetch_make)(void *context, int64_t index, int64_t slot);

/* Starts the thread, which takes no signals. context must outlive it. Local. */
status prefetch_open(prefetch_make make, void *context, prefetch **out);

/* Ends the thread after the sample it is at. NULL is allowed. Local. */
void prefetch_close(prefetch *p);

/* Samples first.. are to come into slots 0..count-1; an earlier announcement is forgotten. Local.
 */
void prefetch_announce(prefetch *p, int64_t first, int64_t count);

/* Samples first.. are in slots 0..count-1 on return, which stay the caller's until the next
 * announcement. A fault of the thread in these samples comes out here as make returned it, with its
 * message. Local. */
status prefetch_take(prefetch *p, int64_t first, int64_t count);

#endif
