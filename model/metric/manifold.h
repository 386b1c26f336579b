/* How well synthetic features cover the real ones and lie among them, from balls around feature
 * vectors that reach to their k-th nearest neighbour in the same set:
 *
 *   precision  share of synthetic vectors in the ball of some real vector
 *   recall     share of real vectors in the ball of some synthetic vector
 *              (Kynkaanniemi et al. 2019)
 *   density    number of real balls that contain a synthetic vector, its mean divided by k;
 *              may exceed 1
 *   coverage   share of real vectors whose ball contains a synthetic vector
 *              (Naeem et al. 2020)
 *
 * A vector at exactly the distance of the radius is inside. A vector is not its own neighbour.
 */
#ifndef CTAUG_MODEL_METRIC_MANIFOLD_H
#define CTAUG_MODEL_METRIC_MANIFOLD_H

#include "io/status.h"

#include <stdint.h>

typedef struct manifold_scores {
    double precision, recall, density, coverage;
} manifold_scores;

/* Scores of synthetic[n_synthetic][dim] against real[n_real][dim]. The number of vectors influences
 * all four: only scores for equal numbers can be compared. ST_INPUT if k is less than 1 or not less
 * than both numbers, or a feature is not finite. Local. */
status manifold_compare(const float *real, int64_t n_real, const float *synthetic,
                        int64_t n_synthetic, int64_t dim, int64_t k, manifold_scores *out);

#endif
