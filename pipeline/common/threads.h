/* How many threads this rank may use. */
#ifndef CTAUG_PIPELINE_COMMON_THREADS_H
#define CTAUG_PIPELINE_COMMON_THREADS_H

#include "io/comm.h"

/* Sets the OpenMP threads of this process to its share of the processors that it may run on: a
 * processor open to k ranks counts 1/k. OMP_NUM_THREADS, if set, is left alone. Collective. */
status threads_share(const comm *c);

/* Whether a launcher tied this process to one processor of a machine with many idle ones. Local. */
bool threads_are_tied(const comm *c);

#endif
