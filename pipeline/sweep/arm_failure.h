/* The record of an arm that cannot be finished, such as one whose training diverges: it takes no
 * other arm with it, and is not tried again while its settings stay. */
#ifndef CTAUG_PIPELINE_SWEEP_ARM_FAILURE_H
#define CTAUG_PIPELINE_SWEEP_ARM_FAILURE_H

#include "pipeline/sweep/arms.h"

/* Whether a failure is the arm's own (ST_DIVERGED, ST_USAGE, ST_INPUT): the others go on. Local. */
bool arm_failure_is_own(status st);

/* Records the failure of the arm with these settings. Local. */
status arm_failure_write(const sweep_arm *a, status failure);

/* The recorded failure, ST_OK without one or with one of other settings. Local. */
status arm_failure_read(const sweep_arm *a);

#endif
