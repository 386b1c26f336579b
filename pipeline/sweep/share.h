/* What the arms of a sweep have in common is made once: an arm gets it by hard links. */
#ifndef CTAUG_PIPELINE_SWEEP_SHARE_H
#define CTAUG_PIPELINE_SWEEP_SHARE_H

#include "pipeline/sweep/arms.h"

/* Makes the arm's run directory, unless it is there, with its study.yaml and the sweep's store as
 * it is now. ST_STORAGE if the file system has no hard links. Local. */
status share_store(const stage_context *sweep, const sweep_arm *a);

/* Gives arm i what it lacks and another arm has: an autoencoder, a text encoder, a referee and
 * pseudo-labels of its fingerprints, and the checkpoints and GAN of an earlier arm of its group,
 * with the networks that these were trained with. Models of other settings that the arm has are set
 * aside as "<folder>.earlier-N". Local. */
status share_models(const stage_context *sweep, const sweep_groups *g, int64_t i);

#endif
