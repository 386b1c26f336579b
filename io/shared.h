/* Memory that the ranks of one node see together, so that they may add up numbers without sending
 * them.
 *
 * Each rank makes its own part, near itself, and maps those of the others; a crash leaves no file
 * behind. Whoever writes where another reads is the caller's to order, with atomics in that memory.
 */
#ifndef CTAUG_IO_SHARED_H
#define CTAUG_IO_SHARED_H

#include "io/comm.h"

typedef struct shared_memory shared_memory;

/* `bytes` zeroed bytes of each rank of `node` (comm_split_node()), from a page boundary on; may
 * differ between ranks. *out is NULL, and that is no failure, where the system does not let
 * processes share memory: on all ranks alike. ST_INTERNAL out of memory. Collective. */
status shared_memory_create(const comm *node, int64_t bytes, shared_memory **out);
void shared_memory_free(shared_memory *s); /* Local: the others keep their view. */

/* The part of a rank of `node`. */
void *shared_memory_of(const shared_memory *s, int rank);

#endif
