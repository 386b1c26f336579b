/* A queue of independent pieces of work, such as trainings: the ranks form groups, and each group
 * takes the next piece until none is left.
 *
 * A piece is claimed by creating a file exclusively in a directory of the run, which all ranks
 * see: no rank needs to answer requests while it computes. Pieces are taken in ascending order, so
 * the caller sorts long ones first. What a piece computes must not depend on the group that takes
 * it.
 */
#ifndef CTAUG_PIPELINE_COMMON_WORK_QUEUE_H
#define CTAUG_PIPELINE_COMMON_WORK_QUEUE_H

#include "pipeline/stage.h"

typedef struct work_queue {
    const stage_context *stage; /* of all ranks */
    comm *group;                /* the ranks of this rank's group */
    int groups;
    int64_t count, next;       /* pieces; the first that this group has not tried to claim */
    char directory[PATH_SIZE]; /* of the claims of this launch */
} work_queue;

/* Forms min(count, ranks) groups of neighbouring ranks for `count` pieces. The caller calls
 * work_queue_close(), also after a failure. Collective. */
status work_queue_open(const stage_context *stage, int64_t count, work_queue *out);

/* The stage context of this rank's group: that of all ranks with the group's communicator. Local.
 */
stage_context work_queue_stage(const work_queue *q);

/* Claims the next piece for the group: *piece = 0..count-1, or -1 if none is left. Collective on
 * the group. */
status work_queue_next(work_queue *q, int64_t *piece);

/* Number of pieces that all groups have claimed, for progress. Local. */
int64_t work_queue_claimed(const work_queue *q);

/* Waits for all groups, whose ranks sleep meanwhile, and agrees on their statuses; frees the
 * queue. A group that fails says so at once, and the others go on. Collective. */
status work_queue_close(work_queue *q, status local);

#endif
