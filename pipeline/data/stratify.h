/* Dividing patients into the parts of a split so that each part has its share of every structure.
 *
 * A random cut may leave a rare structure without a test patient, so that nothing is measured for
 * it. Patients are therefore assigned structure by structure, the rarest first (Sechidis et al.,
 * "On the stratification of multi-label data", ECML 2011), in the order of their draws.
 */
#ifndef CTAUG_PIPELINE_DATA_STRATIFY_H
#define CTAUG_PIPELINE_DATA_STRATIFY_H

#include "io/status.h"
#include "io/volume.h"

#include <stdint.h>

enum { STRATA_PARTS = 3, STRATA_WORDS = LABELS_MAX / 64 };

typedef uint64_t structure_bits[STRATA_WORDS]; /* bit k: label k occurs */

/* part[i] for n patients, given in the order of their draws: count[p] of them get part p, and
 * count[0] + count[1] + count[2] = n. If all patients have the same structures the last part gets
 * the first patients, then come the one before it and the first. Local. */
status stratify(const structure_bits *has, int64_t n, const int64_t count[STRATA_PARTS], int *part);

#endif
