/* Chooses the number of threads of a rank from the processors that the launcher allows each rank:
 * with `srun --cpus-per-task 8` or `mpirun --bind-to ...` every rank has its own, without binding
 * all ranks of a node share all. The ranks therefore exchange their node name and affinity mask.
 */
#include "pipeline/common/threads.h"

#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

status threads_share(const comm *c) {
    placement mine;
    void *all = NULL;
    int64_t bytes = 0;
    find_placement(&mine);
    status st = comm_all_gather(c, &mine, sizeof mine, &all, &bytes, NULL);
    if (st == ST_OK && !getenv("OMP_NUM_THREADS")) {
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
