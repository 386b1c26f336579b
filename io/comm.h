/* Communication between the ranks. MPI is used in io/comm.c only.
 *
 * Contracts: every rank must call a Collective function, in the same order; a Local function
 * communicates with no other rank. A rank that fails locally passes its status to comm_agree(),
 * after which all ranks hold the same code and message and leave together. Errors of MPI are
 * statuses (ST_INTERNAL) with MPI's own text. Counts are 64-bit: long messages are sent in pieces.
 */
#ifndef CTAUG_IO_COMM_H
#define CTAUG_IO_COMM_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct comm comm;

/* Starts MPI; *out holds all ranks. The caller ends MPI with comm_stop(). Collective. */
status comm_start(int *argc, char ***argv, comm **out);
void comm_stop(comm *c); /* Collective; a failure is a warning on standard error */

/* A group of the ranks of c, in the order of c: those that pass the same colour >= 0, or (node)
 * neighbouring ranks of one node, which may share memory, at most `max_ranks` of them (0: all).
 * Collective on c. Functions on *out are Collective on the ranks of that group. */
status comm_split(const comm *c, int colour, comm **out);
status comm_split_node(const comm *c, int max_ranks, comm **out);
void comm_free(comm *c); /* for the result of a split; Collective on its ranks */

int comm_rank(const comm *c); /* Local */
int comm_size(const comm *c); /* Local */

/* Number of ranks on this node, from which the threads of a rank follow. Local. */
int comm_local_size(const comm *c);

/* Returns on every rank the worst local status: the largest code, among equal codes that of the
 * lowest rank. Its message is set on every rank, prefixed "rank N: " unless N is 0. Collective. */
status comm_agree(const comm *c, status local);

/* Elementwise sum or maximum over the ranks, in place; all ranks get the same bits. A NaN on any
 * rank makes the maximum NaN. Collective. */
status comm_sum_f64(const comm *c, double *data, int64_t n);
status comm_sum_i64(const comm *c, int64_t *data, int64_t n);
status comm_max_f64(const comm *c, double *data, int64_t n);

/* `bytes` bytes from rank `root` to all. Collective. */
status comm_broadcast(const comm *c, void *data, int64_t bytes, int root);

/* A block of bytes whose size only `root` knows: on the other ranks *data is allocated (free()).
 * Collective. */
status comm_broadcast_block(const comm *c, void **data, int64_t *bytes, int root);

/* The blocks of all ranks, concatenated in rank order, on every rank: *all (free()) and, if sizes
 * is not NULL, comm_size() sizes in bytes (free()). Collective. */
status comm_all_gather(const comm *c, const void *mine, int64_t bytes, void **all, int64_t *total,
                       int64_t **sizes);

/* Whether all ranks hold the same value. Collective. */
status comm_all_equal(const comm *c, uint64_t value, bool *equal);

/* Collective. */
status comm_barrier(const comm *c);

/* A barrier in which waiting ranks sleep and leave the processor to the ranks still at work.
 * Collective. */
status comm_wait(const comm *c);

/* ---- nonblocking operations ---- */

/* `count` slots, each free or with one operation in progress. All ranks of c must begin the same
 * operations in the same order; the numbers of the slots may differ. Local. */
typedef struct comm_slots comm_slots;
status comm_slots_create(const comm *c, int64_t count, comm_slots **out);
void comm_slots_free(comm_slots *s); /* does not wait: all slots must be free */

/* The bytes of a buffer that belong to each rank: comm_size() counts and offsets. Must not change
 * while an operation that uses it is in progress. */
typedef struct comm_layout {
    const int *bytes, *at;
} comm_layout;

/* Every rank sends part r of `from` to rank r and receives part r of `to` from it. Collective. */
status comm_all_to_all_begin(comm_slots *s, int64_t slot, const void *from, const comm_layout *sent,
                             void *to, const comm_layout *received);

/* Sends every rank's own part of `data` to all ranks. Collective. */
status comm_all_gather_begin(comm_slots *s, int64_t slot, void *data, const comm_layout *parts);

/* Whether the operation has completed, which frees the slot; otherwise MPI makes progress on it.
 * True for a free slot. Local. */
status comm_slot_done(comm_slots *s, int64_t slot, bool *done);

/* "Open MPI v4.1.4": name and version of the MPI library, for reports; "" if unknown. Valid on this
 * thread until it ends. Local. */
const char *comm_library_version(void);

/* For broken invariants only: prints `why` and ends all ranks at once. Local. */
_Noreturn void comm_abort(const comm *c, const char *why);

#endif
