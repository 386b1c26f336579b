/* Memory shared by the ranks of one node, so that they can add up arrays without sending them.
 *
 * Each rank creates its own part, on its own NUMA node, and maps the parts of the other ranks. A
 * crash leaves no file behind. The caller synchronises accesses, with atomics in that memory.
 */
#ifndef CTAUG_IO_SHARED_H
#define CTAUG_IO_SHARED_H

#include "io/comm.h"

typedef struct shared_memory shared_memory;

/* A page-aligned part of `bytes` zeroed bytes for each rank of `node` (comm_split_node()); `bytes`
 * may differ between ranks. Where the system does not let processes share memory *out is NULL on
 * all ranks, which is no failure. ST_INTERNAL if memory is exhausted. Collective. */
status shared_memory_create(const comm *node, int64_t bytes, shared_memory **out);

/* Unmaps all parts; the mappings of other ranks stay valid. Local. */
void shared_memory_free(shared_memory *s);

/* The part of a rank of `node`. Local. */
void *shared_memory_of(const shared_memory *s, int rank);

#endif
