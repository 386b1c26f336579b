/* What the noise of decoded slices should be (model/residual_noise.h), from training slices.
 *
 * Of up to RESIDUAL_SLICES evenly spaced training slices the residual is the HU less those of the
 * reconstruction. Patches of RESIDUAL_PATCH pixels, half of that apart, count if they lie within
 * one class of tissue of the reconstruction (pipeline/common/residual_class.h); their means are
 * subtracted. At edges the residual is detail rather than noise. The spectrum is that of all
 * patches outside of air. sigma of a class is the root mean square of its patches; that of a tissue
 * without patches is the one of all tissue, that of air without patches is 0. The level of a slice
 * is the root mean square of its patches outside of air over what sigma says of them. */
#ifndef CTAUG_PIPELINE_AUTOENCODE_RESIDUAL_H
#define CTAUG_PIPELINE_AUTOENCODE_RESIDUAL_H

#include "model/residual_noise.h"
#include "pipeline/autoencode/coder.h"

enum { RESIDUAL_SLICES = 128 };

/* `train` has slices_map_hu(). The ranks share the slices; the result has the same bits for any
 * number of ranks. Kernel and levels are 0 if no patch of tissue is uniform: there is no noise
 * then. ST_DIVERGED if a reconstruction is not finite. Collective. */
status residual_measure(const stage_context *stage, coder *c, slices *train, residual_noise *out);

/* Logs standard deviations and levels. Local. */
void residual_log(const stage_context *stage, const residual_noise *n);

#endif
