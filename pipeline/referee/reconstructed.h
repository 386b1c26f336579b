/* What the autoencoder of a latent model takes from a segmenter: the Dice of the referee on
 * validation slices that went through encoder and decoder, beside its Dice on the slices
 * themselves.
 *
 * <out>/reconstructed has a manifest of kind "reconstructed" over dice.json:
 *
 *   {"patients": n, "dice": {structure: {"slices": mean over the patients, "reconstructed": the
 *   same}}}, null where no patient has the structure
 */
#ifndef CTAUG_PIPELINE_REFEREE_RECONSTRUCTED_H
#define CTAUG_PIPELINE_REFEREE_RECONSTRUCTED_H

#include "pipeline/data/split.h"
#include "pipeline/stage.h"

/* Measures and publishes it with the published referee, unless it is current; without a latent
 * model it does nothing. Collective. */
status reconstructed_dice(const stage_context *stage, store *from, const split *sp);

#endif
