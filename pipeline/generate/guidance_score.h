/* How good slices sampled on known label maps are, in one number:
 *
 *     score = Dice - 0.1 * |ln(noise made / noise real)|
 *
 * Dice is that of the referee's label maps (pipeline/segmenter/referee.h) against the given ones,
 * over all slices together, and its mean over the structures of the maps: whether the slices show
 * what they should. The noise of a structure is texture_noise() (pipeline/data/texture.h) of the
 * made and of the real slices with the same maps; the logarithm is at most ln 100 and averaged over
 * the structures whose noise is above 0 in the real slices: whether they are blurred or overdone,
 * which a referee does not mind. The weight makes a noise half or double as high cost 0.07 Dice.
 */
#ifndef CTAUG_PIPELINE_GENERATE_GUIDANCE_SCORE_H
#define CTAUG_PIPELINE_GENERATE_GUIDANCE_SCORE_H

#include "model/metric/dice.h"
#include "pipeline/data/texture.h"

/* For records. */
#define GUIDANCE_SCORE                                                                             \
    "mean Dice of the referee over structures - 0.1 * mean |ln(noise synthetic / noise real)|"

/* Measures of one way to sample. Members of 8 bytes alone, so that it can be kept in a file. */
typedef struct guidance_score {
    double dice;
    double noise_ratio; /* made / real: geometric mean over the structures; NAN: none has noise */
    double score;
} guidance_score;

/* dice: truth is the given map; made, real: [labels]. At least one structure must be in the maps.
 * Local. */
guidance_score guidance_score_of(const dice_counts *dice, const texture_sums *made,
                                 const texture_sums *real, int labels);

#endif
