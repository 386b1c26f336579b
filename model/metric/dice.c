/* Counting of labels, for all structures in one pass over the voxels. */
#include "model/metric/dice.h"

#include <math.h>

void dice_add(dice_counts *d, const uint8_t *truth, const uint8_t *predicted, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        uint8_t t = truth[i], p = predicted[i];
        d->truth[t]++;
        d->predicted[p]++;
        if (t == p) d->both[t]++;
    }
}

double dice_of(const dice_counts *d, int label) {
    if (label < 0 || label >= DICE_LABELS) return NAN;
    int64_t total = d->truth[label] + d->predicted[label];
    return total > 0 ? 2.0 * (double)d->both[label] / (double)total : NAN;
}
