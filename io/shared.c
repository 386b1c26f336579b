/* Shared memory as anonymous files (memfd) that the other ranks map through /proc/<pid>/fd. They
 * leave no name behind and are not limited like /dev/shm, which is small in containers. Blocks are
 * reserved at creation, so that a lack of memory is an error there and no SIGBUS later. In separate
 * PID namespaces (containers on one host) a process number may denote another process: a file is
 * accepted only if it begins with the random token that its rank wrote there.
 */
#include "io/shared.h"
#include "io/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

struct shared_memory {
    int ranks;
    struct part {
        void *at; /* NULL: not mapped */
        int64_t bytes;
    } * part; /* by rank */
};

/* Where the other ranks find a rank's part. */
typedef struct address {
    long pid;
    int file; /* descriptor in that process; -1: none */
    int64_t bytes;
    uint64_t token;
} address;

/* Creates this rank's file. False if the system does not support it; *st is set if memory is
 * exhausted. */
static bool make_part(int64_t bytes, address *mine, status *st) {
    *mine = (address){.pid = (long)getpid(), .file = -1, .bytes = bytes};
    int file = memfd_create("ctaug", MFD_CLOEXEC);
    if (file < 0) return false;
    int code = ftruncate(file, bytes) == 0 ? posix_fallocate(file, 0, bytes) : errno;
    if (code == ENOSPC || code == ENOMEM) *st = status_memory("memory shared by ranks", bytes);
    if (code != 0) {
        (void)close(file);
        return false;
    }
    mine->file = file;
    return getrandom(&mine->token, sizeof mine->token, 0) == sizeof mine->token &&
           pwrite(file, &mine->token, sizeof mine->token, 0) == sizeof mine->token;
}

/* Whether an opened file is the one that `a` describes. */
static bool is_part(const address *a, int file) {
    uint64_t token = 0;
    struct stat about;
    return fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_size == a->bytes &&
           pread(file, &token, sizeof token, 0) == sizeof token && token == a->token;
}

static bool map_part(const address *a, struct part *v) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", a->pid, a->file);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return false;
    void *at = MAP_FAILED;
    if (is_part(a, file))
        at = mmap(NULL, (size_t)a->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    (void)close(file);
    if (at == MAP_FAILED) return false;
    *v = (struct part){.at = at, .bytes = a->bytes};
    return true;
}

status shared_memory_create(const comm *node, int64_t bytes, shared_memory **out) {
    status st = ST_OK, local = ST_OK;
    shared_memory *s = NULL;
    address mine = {.file = -1}, *all = NULL;
    int64_t total = 0, without = 0;
    *out = NULL;
    if (bytes < (int64_t)sizeof mine.token) bytes = sizeof mine.token;
    local = array_alloc(&s, 1, sizeof *s, "shared memory");
    if (local == ST_OK) {
        s->ranks = comm_size(node);
        local = array_alloc(&s->part, s->ranks, sizeof *s->part, "shared memory");
    }
    if (local == ST_OK && !make_part(bytes, &mine, &local)) without = 1;
    TRY(comm_agree(node, local));
    TRY(comm_all_gather(node, &mine, sizeof mine, (void **)&all, &total, NULL));
    for (int r = 0; r < s->ranks && !without; r++)
        without = all[r].file < 0 || !map_part(&all[r], &s->part[r]);
    /* Also a barrier: from here on no rank opens a file of another, so that they may be closed. */
    TRY(comm_sum_i64(node, &without, 1));
    if (without > 0) goto done;
    memset(s->part[comm_rank(node)].at, 0, sizeof mine.token);
    TRY(comm_barrier(node));
    *out = s;
    s = NULL;
done:
    if (mine.file >= 0) (void)close(mine.file);
    shared_memory_free(s);
    free(all);
    return st;
}

void shared_memory_free(shared_memory *s) {
    if (!s) return;
    for (int r = 0; s->part && r < s->ranks; r++)
        if (s->part[r].at) (void)munmap(s->part[r].at, (size_t)s->part[r].bytes);
    free(s->part);
    free(s);
}

void *shared_memory_of(const shared_memory *s, int rank) { return s->part[rank].at; }
