/* Groups of ranks that claim pieces of work through files. */
#include "pipeline/common/work_queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Makes the directory of this launch's claims, whose name no other launch has. Local; called on
 * rank 0. */
static status make_directory(work_queue *q) {
    char name[64];
    struct timespec now = {0};
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(name, sizeof name, "queue.%" PRIx64 "-%" PRIx64,
             (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec, (uint64_t)getpid());
    status st = stage_path(q->stage, name, q->directory);
    return st == ST_OK ? file_make_dirs(q->directory) : st;
}

status work_queue_open(const stage_context *stage, int64_t count, work_queue *out) {
    status st = ST_OK;
    const comm *c = stage->comm;
    const int64_t ranks = comm_size(c);
    *out = (work_queue){.stage = stage, .count = count};
    out->groups = (int)(count < ranks ? (count > 0 ? count : 1) : ranks);
    if (comm_rank(c) == 0) st = make_directory(out);
    TRY(comm_agree(c, st));
    TRY(comm_broadcast(c, out->directory, sizeof out->directory, 0));
    TRY(comm_split(c, (int)(comm_rank(c) * (int64_t)out->groups / ranks), &out->group));
done:
    return st;
}

stage_context work_queue_stage(const work_queue *q) {
    stage_context stage = *q->stage;
    stage.comm = q->group;
    return stage;
}

/* Creates the claim of a piece; *mine: it did not exist. Local. */
static status claim(const work_queue *q, int64_t piece, bool *mine) {
    char name[32], path[PATH_SIZE];
    snprintf(name, sizeof name, "%08" PRId64, piece);
    status st = path_join(path, q->directory, name);
    if (st != ST_OK) return st;
    int file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    *mine = file >= 0;
    if (file < 0 && errno != EEXIST)
        return status_fail(ST_STORAGE, "%s: cannot be created: %s", path, strerror(errno));
    if (file >= 0 && close(file) != 0)
        return status_fail(ST_STORAGE, "%s: cannot be closed: %s", path, strerror(errno));
    return ST_OK;
}

status work_queue_next(work_queue *q, int64_t *piece) {
    status st = ST_OK;
    *piece = -1;
    if (comm_rank(q->group) == 0)
        while (st == ST_OK && *piece < 0 && q->next < q->count) {
            bool mine = false;
            st = claim(q, q->next, &mine);
            if (mine) *piece = q->next;
            q->next++;
        }
    TRY(comm_agree(q->group, st));
    TRY(comm_broadcast(q->group, piece, sizeof *piece, 0));
done:
    return st;
}

int64_t work_queue_claimed(const work_queue *q) {
    int64_t n = 0;
    DIR *directory = opendir(q->directory);
    for (const struct dirent *entry = NULL; directory && (entry = readdir(directory));)
        n += entry->d_name[0] != '.';
    if (directory) closedir(directory);
    return n;
}

status work_queue_close(work_queue *q, status local) {
    const comm *c = q->stage->comm;
    if (local != ST_OK && local != ST_STOPPED && q->groups > 1 && q->group &&
        comm_rank(q->group) == 0)
        log_warning(q->stage->log, "%s (the other groups of ranks go on)", status_message());
    status st = ST_OK;
    /* The message of a failure would be lost in a second failure, so that of comm_wait() counts
     * only without one. */
    if (local == ST_OK)
        local = comm_wait(c);
    else
        (void)comm_wait(c);
    TRY(comm_agree(c, local));
done:
    if (comm_rank(c) == 0 && q->directory[0] && file_remove_tree(q->directory) != ST_OK)
        log_warning(q->stage->log, "%s is left: %s", q->directory, status_message());
    comm_free(q->group);
    q->group = NULL;
    return st;
}
