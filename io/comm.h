/* The ranks: the only room where MPI is spelled.
 *
 * Every function returns a status. *Collective* functions must be entered by all ranks in the same
 * order; a rank that failed locally first goes through comm_agree(), after which all ranks hold the
 * same code and message and leave together. Counts are 64-bit: longer messages are cut in pieces.
 */
#ifndef CTAUG_IO_COMM_H
#define CTAUG_IO_COMM_H

#include "io/status.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct comm comm;

/* Starts MPI and takes the world. The caller ends it with comm_stop(). Collective. */
status comm_start(int *argc, char ***argv, comm **out);
void comm_stop(comm *c);

/* Some of the ranks as a comm of their own: those that give the same colour >= 0, in the order they
 * have in c; or those of one node, which therefore may share memory, of these at most `most` (0:
 * all). Collective, on c; so is what is done with *out, on the ranks in it. */
status comm_split(const comm *c, int colour, comm **out);
status comm_split_node(const comm *c, int most, comm **out);
void comm_free(comm *c); /* of one of these; Collective */

int comm_rank(const comm *c);
int comm_size(const comm *c);
/* How many ranks share this node; decides the threads a rank may use. Local (known since start). */
int comm_local_size(const comm *c);

/* One shared truth: the worst local status (largest code; of equals the lowest rank's message) is
 * returned on every rank, with its message, prefixed "rank N: " when more than one rank runs and
 * it is not rank 0's. Collective. */
status comm_agree(const comm *c, status local);

/* Elementwise sums over ranks, in place; every rank gets the same bits. Collective. */
status comm_sum_f64(const comm *c, double *data, int64_t n);
status comm_sum_i64(const comm *c, int64_t *data, int64_t n);
status comm_max_f64(const comm *c, double *data, int64_t n);

/* `bytes` bytes from rank `root` to all. Collective. */
status comm_broadcast(const comm *c, void *data, int64_t bytes, int root);

/* A block of bytes whose size only `root` knows: *data is allocated (free()) on the others.
 * Collective. */
status comm_broadcast_block(const comm *c, void **data, int64_t *bytes, int root);

/* Every rank's block, concatenated in rank order, on every rank: *all (free()) and, if sizes is not
 * NULL, comm_size() sizes in bytes (free()). Collective. */
status comm_all_gather(const comm *c, const void *mine, int64_t bytes, void **all, int64_t *total,
                       int64_t **sizes);

/* Whether all ranks hold the same value. Collective. */
status comm_all_equal(const comm *c, uint64_t value, bool *equal);

status comm_barrier(const comm *c);

/* A barrier whose waiting ranks sleep, and leave the processor to the others. Collective. */
status comm_wait(const comm *c);

/* ---- messages under way while the caller computes ---- */

/* A number of slots, each free or with one operation under way. All ranks of c begin the same
 * operations in the same order, whatever the slots. Local. */
typedef struct comm_slots comm_slots;
status comm_slots_create(const comm *c, int64_t count, comm_slots **out);
void comm_slots_free(comm_slots *s); /* waits for nothing: slots must be free */

/* Which bytes of a buffer belong to which rank: comm_size() counts and places. Must stay as it is
 * while an operation with it is under way. */
typedef struct comm_layout {
    const int *bytes, *at;
} comm_layout;

/* Every rank sends part r of `from` to rank r and gets part r of `to` from it. Collective. */
status comm_all_to_all_begin(comm_slots *s, int64_t slot, const void *from, const comm_layout *sent,
                             void *to, const comm_layout *received);
/* Every rank's own part of `data` comes to all. Collective. */
status comm_all_gather_begin(comm_slots *s, int64_t slot, void *data, const comm_layout *parts);
/* Whether the operation has ended (the slot is free again); if not, it is moved on. A free slot has
 * ended. Local. */
status comm_slot_done(comm_slots *s, int64_t slot, bool *done);

/* "Open MPI v4.1.4": the library that runs, for reports. Valid on this thread until it ends. Local.
 */
const char *comm_library_version(void);

/* For broken invariants only: prints and ends all ranks at once. */
_Noreturn void comm_abort(const comm *c, const char *why);

#endif
