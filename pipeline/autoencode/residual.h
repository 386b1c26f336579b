/* What the noise of decoded slices should be (model/residual_noise.h), from training slices.
 *
 * Of up to RESIDUAL_SLICES evenly spaced training slices the residual is the HU less those of the
 * reconstruction. Patches count that lie within one class of tissue of the reconstruction
 * (residual_class()), half a patch apart, and their means do not count: at edges the residual is
 * detail rather than noise. The spectrum is that of all patches outside of air; sigma of a class is
 * the root mean square of its patches (of a class without patches: of all outside of air); the
 * level of a slice is the root mean square of its patches outside of air over what sigma says of
 * them. */
#ifndef CTAUG_PIPELINE_AUTOENCODE_RESIDUAL_H
#define CTAUG_PIPELINE_AUTOENCODE_RESIDUAL_H

#include "model/residual_noise.h"
#include "pipeline/autoencode/coder.h"

enum { RESIDUAL_SLICES = 128 };

/* `train` has slices_map_hu(). The ranks share the slices; the result has the same bits for any
 * number of ranks. All 0 if no patch is uniform. Collective. */
status residual_measure(const stage_context *stage, coder *c, slices *train, residual_noise *out);

#endif
