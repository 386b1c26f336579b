/* The number of threads of this rank. */
#ifndef CTAUG_PIPELINE_COMMON_THREADS_H
#define CTAUG_PIPELINE_COMMON_THREADS_H

#include "io/comm.h"

/* Sets the number of OpenMP threads of this process to its share of the processors it may run on: a
 * processor that k ranks may use counts 1/k. OMP_NUM_THREADS, if set, takes precedence; ST_USAGE if
 * it is no number from 1 to 4 for each processor of the machine. Collective. */
status threads_share(const comm *c);

/* Whether the launcher bound this process to one processor although the machine has at least two
 * for each rank of the node. Local. */
bool threads_are_bound(const comm *c);

#endif
