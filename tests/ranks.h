/* For a test program that starts itself again under mpirun: counting the failed expectations of a
 * rank, and finding the path of the program.
 *
 * Included by one C file of a program. With the argument "ranks" the program is one of the ranks.
 */
#ifndef CTAUG_TESTS_RANKS_H
#define CTAUG_TESTS_RANKS_H

#include "io/comm.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int failures; /* of this rank */

static inline void expect(const comm *c, bool truth, const char *what) {
    if (truth) return;
    fprintf(stderr, "rank %d of %d: %s\n", comm_rank(c), comm_size(c), what);
    failures++;
}

static inline bool none_failed(const comm *c) {
    int64_t all = failures;
    return comm_sum_i64(c, &all, 1) == ST_OK && all == 0;
}

static inline uint64_t hash(const void *data, int64_t bytes) { /* FNV-1a */
    uint64_t h = 14695981039346656037u;
    for (int64_t i = 0; i < bytes; i++) h = (h ^ ((const unsigned char *)data)[i]) * 1099511628211u;
    return h;
}

static char self[4096];

/* To be called before the first mpirun: finds `self`, and lets ranks run as root, on one thread. */
static inline bool find_self(void) {
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    return readlink("/proc/self/exe", self, sizeof self - 1) > 0;
}

#endif
