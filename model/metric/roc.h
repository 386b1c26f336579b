/* How well a score separates positive from negative items (receiver operating characteristic):
 *
 *   auc  the probability that a positive item scores higher than a negative one; a tie counts half
 *        (Mann & Whitney 1947, Hanley & McNeil 1982)
 *   tpr  the largest share of positive items at or above a threshold that at most a share `fpr` of
 *        the negative items reaches. Thresholds are the scores that occur, without interpolation;
 *        0 if even the highest score is reached by too many.
 */
#ifndef CTAUG_MODEL_METRIC_ROC_H
#define CTAUG_MODEL_METRIC_ROC_H

#include "io/status.h"

#include <stdint.h>

typedef struct roc_items {
    const double *positive, *negative; /* scores */
    int64_t positives, negatives;
} roc_items;

/* ST_INPUT if there is no positive or no negative item, a score is NAN or fpr is not in [0, 1].
 * Local. */
status roc_scores(const roc_items *items, double fpr, double *auc, double *tpr);

/* auc[resamples], tpr[resamples]: both for positive and negative items that are each drawn with
 * replacement, from the streams (seed, RNG_BOOTSTRAP, resample, 0) and 1; bootstrap_percentile()
 * gives their intervals. ST_INPUT as above or if resamples is less than 1. Local; uses OpenMP. */
status roc_bootstrap(const roc_items *items, double fpr, uint64_t seed, int64_t resamples,
                     double *auc, double *tpr);

#endif
