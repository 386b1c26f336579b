/* Chooses the number of threads of a rank from the processors that the launcher allows each rank:
 * with `srun --cpus-per-task 8` or `mpirun --bind-to ...` every rank has its own, without binding
 * all ranks of a node share all. The ranks therefore exchange their node name and affinity mask.
 */
#include "pipeline/common/threads.h"

#include <errno.h>
#include <inttypes.h>
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { THREADS_PER_PROCESSOR_MAX = 4 };

/* Where a rank may run. */
typedef struct placement {
    char node[256];
    cpu_set_t processors;
} placement;

static void find_placement(placement *s) {
    memset(s, 0, sizeof *s);
    (void)gethostname(s->node, sizeof s->node - 1);
    /* The call fails on machines with more than 1,024 processors: then one thread a rank. */
    if (sched_getaffinity(0, sizeof s->processors, &s->processors) != 0) CPU_SET(0, &s->processors);
}

/* Sum over the processors of `mine` of 1 / the number of ranks that may run there. */
static double share(const placement *mine, const placement *all, int ranks) {
    double sum = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int users = 0;
        if (!CPU_ISSET(cpu, &mine->processors)) continue;
        for (int r = 0; r < ranks; r++)
            users += strcmp(all[r].node, mine->node) == 0 && CPU_ISSET(cpu, &all[r].processors);
        sum += 1.0 / users;
    }
    return sum;
}

/* The number of OMP_NUM_THREADS, or of its first level ("4,2"). libgomp takes the default for bad
 * values and as many threads as the system gives for absurd ones. Local. */
static status check_wanted(const char *text) {
    char *end;
    const int64_t most = (int64_t)THREADS_PER_PROCESSOR_MAX * sysconf(_SC_NPROCESSORS_ONLN);
    errno = 0;
    const int64_t threads = strtoll(text, &end, 10);
    const char *rest = end + strspn(end, " \t");
    if (end == text || (*rest && *rest != ',') || errno != 0 || threads < 1)
        return status_fail(ST_USAGE,
                           "OMP_NUM_THREADS is \"%.40s\"; it must be a number of threads per rank, "
                           "1 or more (unset: the rank's share of the processors)",
                           text);
    if (threads <= most) return ST_OK;
    return status_fail(ST_USAGE,
                       "OMP_NUM_THREADS is %" PRId64 ", more than %d for each processor of this "
                       "machine (%" PRId64 "); leave it unset to take the rank's share",
                       threads, THREADS_PER_PROCESSOR_MAX, most);
}

status threads_share(const comm *c) {
    const char *wanted = getenv("OMP_NUM_THREADS");
    placement mine;
    void *all = NULL;
    int64_t bytes = 0;
    find_placement(&mine);
    status st = comm_agree(c, wanted ? check_wanted(wanted) : ST_OK);
    if (st == ST_OK) st = comm_all_gather(c, &mine, sizeof mine, &all, &bytes, NULL);
    if (st == ST_OK && !wanted) {
        int threads = (int)(share(&mine, all, comm_size(c)) + 1e-9);
        omp_set_num_threads(threads > 1 ? threads : 1);
    }
    free(all);
    return st;
}

bool threads_are_bound(const comm *c) {
    placement mine;
    find_placement(&mine);
    return CPU_COUNT(&mine.processors) == 1 &&
           sysconf(_SC_NPROCESSORS_ONLN) >= 2 * (long)comm_local_size(c);
}
