/* The record of an arm that cannot be finished, such as one whose training diverges: it takes no
 * other arm with it, and is not tried again while its settings stay. */
#ifndef CTAUG_PIPELINE_SWEEP_ARM_FAILURE_H
#define CTAUG_PIPELINE_SWEEP_ARM_FAILURE_H

#include "pipeline/sweep/arms.h"

/* Whether a failure is the arm's own: the others go on. ST_DIVERGED and ST_USAGE follow from its
 * settings and are recorded; ST_INPUT, which may pass, is not. Local. */
bool arm_failure_is_own(status st);

/* Records the failure of the arm with these settings on the store with this seal. Local. */
status arm_failure_write(const sweep_arm *a, const char *store, status failure);

/* The recorded failure, ST_OK without one or with one of other settings or another store. Local. */
status arm_failure_read(const sweep_arm *a, const char *store);

#endif
