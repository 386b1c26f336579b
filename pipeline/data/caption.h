/* What is known of a slice or volume, for its caption (model/text/grammar.h).
 *
 * Everything is measured from the store: labels, HU, geometry, and the classes of contrast, kernel
 * and part of the body. No text comes from a header: the names of structures are those of the
 * store, which are controlled or of the study (io/structures.h), and names that were made up
 * (structure-N) are left out.
 *
 * - Name: the label's words in lower case, without words for a side. A name with a word for
 *   lesions (lesion, tumour, nodule, ...) is one.
 * - Side: that of the name, if it has one. Otherwise, of paired structures (lung, kidney, ...) and
 *   lesions, that of the voxels, in LPS coordinates, where x grows to the patient's left; the
 *   middle is the mean x of all voxels from -300 HU, or that of the grid without HU. A structure is
 *   on both sides if each has a tenth of its voxels.
 * - Size: of a slice the diameter of a disc, of a volume that of a ball, as large as the structure;
 *   of its larger side if it is on both, of its largest piece if it is a lesion.
 * - Noise: of voxels that are with their four neighbours in the slice within -150..200 HU, the
 *   median of |voxel - mean of the neighbours|, as the standard deviation of white noise that would
 *   have it. Unknown if there are fewer than 100 or it is 0.
 *
 * At most CAPTION_STRUCTURES are named: lesions first, then by their voxels.
 */
#ifndef CTAUG_PIPELINE_DATA_CAPTION_H
#define CTAUG_PIPELINE_DATA_CAPTION_H

#include "io/volume.h"
#include "model/text/grammar.h"

typedef struct caption_source {
    const geometry *space;   /* of the arrays; one slice has shape[0] = 1 */
    const label_set *labels; /* names of the values of map */
    const uint8_t *map;      /* z y x; NULL: unlabelled */
    const int16_t *hu;       /* z y x; NULL: not known */
    caption_contrast contrast;
    scan_traits traits;
} caption_source;

/* ST_INPUT if the shape is no volume's. Local. */
status caption_measure(const caption_source *s, caption_facts *out);

/* The words of a label's name without its side, "" if it says nothing. Local. */
void caption_name(const char *label, caption_structure *out);

#endif
