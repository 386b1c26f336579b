/* Anonymous files (memfd), mapped by the others through /proc/<pid>/fd: no name that could be left
 * over, and no limit such as that of /dev/shm, which containers keep small. Blocks are reserved at
 * once, so that a lack of memory is an error here and no signal later. A process number can mean
 * another process to another rank (containers of one host): a part is taken for the right one only
 * if it begins with the token that its rank wrote there.
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
    struct view {
        void *at; /* NULL: not mapped */
        int64_t bytes;
    } * view;
};

/* Where a rank's part is found by the others. */
typedef struct address {
    long pid;
    int file; /* -1: it has none */
    int64_t bytes;
    uint64_t token;
} address;

/* False where this system has no such files. */
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

static bool is_part(const address *a, int file) {
    uint64_t token = 0;
    struct stat about;
    return fstat(file, &about) == 0 && S_ISREG(about.st_mode) && about.st_size == a->bytes &&
           pread(file, &token, sizeof token, 0) == sizeof token && token == a->token;
}

static bool map_part(const address *a, struct view *v) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%ld/fd/%d", a->pid, a->file);
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return false;
    void *at = MAP_FAILED;
    if (is_part(a, file))
        at = mmap(NULL, (size_t)a->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    (void)close(file);
    if (at == MAP_FAILED) return false;
    *v = (struct view){.at = at, .bytes = a->bytes};
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
        local = array_alloc(&s->view, s->ranks, sizeof *s->view, "shared memory");
    }
    if (local == ST_OK && !make_part(bytes, &mine, &local)) without = 1;
    TRY(comm_agree(node, local));
    TRY(comm_all_gather(node, &mine, sizeof mine, (void **)&all, &total, NULL));
    for (int r = 0; r < s->ranks && !without; r++)
        without = all[r].file < 0 || !map_part(&all[r], &s->view[r]);
    /* Also the point after which nobody opens another's file any more. */
    TRY(comm_sum_i64(node, &without, 1));
    if (without > 0) goto done;
    memset(s->view[comm_rank(node)].at, 0, sizeof mine.token);
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
    for (int r = 0; s->view && r < s->ranks; r++)
        if (s->view[r].at) (void)munmap(s->view[r].at, (size_t)s->view[r].bytes);
    free(s->view);
    free(s);
}

void *shared_memory_of(const shared_memory *s, int rank) { return s->view[rank].at; }
