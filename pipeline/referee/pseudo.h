/* Pseudo-labels: label maps that the referee gives the volumes of unlabelled training patients.
 *
 * Each slice is segmented at the working size. Then the maps of a volume are cleaned. A pixel whose
 * label has a softmax probability below CONFIDENCE, a third, becomes background. (A bound of a half
 * costs Dice: where three tissues meet, the best label is often right without a majority.) Of each
 * structure the 26-connected components with at least COMPONENT_SHARE, a quarter, of the voxels of
 * the largest one are kept. A structure keeps all of them, as lesions should, if the rule would
 * remove something in MULTIPLE_SHARE, a quarter, or more of the labelled training volumes that have
 * it.
 *
 * The maps are resampled to the stored resolution, so that augmentation starts from images as they
 * are stored. They are published as the store <out>/pseudo: the volumes of SPLIT_UNLABELLED in its
 * order, with their ids, geometry and these labels; HU are all air. The true labels of these
 * volumes, if there are any, are never read.
 */
#ifndef CTAUG_PIPELINE_REFEREE_PSEUDO_H
#define CTAUG_PIPELINE_REFEREE_PSEUDO_H

#include "pipeline/data/split.h"
#include "pipeline/stage.h"

/* Writes the pseudo-labels with the published referee unless they are current or there is nothing
 * to label. real: the store; sp: its split. A stopped one keeps the volumes that it has segmented.
 * Collective. */
status pseudo_labels(const stage_context *stage, store *real, const split *sp);

#endif
