/* How straight the paths of a flow are (model/diffusion/straightness.h) before and after reflow. */
#ifndef CTAUG_PIPELINE_DISTIL_FLOW_STRAIGHTNESS_H
#define CTAUG_PIPELINE_DISTIL_FLOW_STRAIGHTNESS_H

#include "pipeline/distil/pairs.h"

/* Measures the straightness of the teacher and of the parameters `ema` on the slices and the noise
 * of the validation pairs, says it, and publishes it as straightness/straightness.json in `folder`.
 * Does nothing if that is there for this fingerprint. Collective. */
status flow_straightness_publish(const pairs *p, const char *folder, const char *fingerprint,
                                 const float *ema);

#endif
