/* The loss that brings images and their texts together (Radford et al. 2021, figure 3): of N pairs,
 * with u_i and v_i the vectors of image and text i divided by their lengths and s the scale,
 *
 *     1/2N sum over i of [ -ln softmax_j(s u_i . v_j)[i] - ln softmax_j(s v_i . u_j)[i] ].
 *
 * The scale is learnt as its logarithm and at most 100.
 *
 * A rank knows the vectors of all N pairs, gathered from the ranks, and computes the terms of its
 * own pairs. These have gradients by the vectors of all pairs. The sums over the ranks of the
 * losses and of the gradients are those of one rank with all pairs; of the summed gradients a rank
 * then sends those of its own vectors back through its networks (graph_gradient_loss()), so that
 * the sums over the ranks of the gradients of parameters are those of one rank, too.
 */
#ifndef CTAUG_MODEL_NET_CLIP_LOSS_H
#define CTAUG_MODEL_NET_CLIP_LOSS_H

#include "io/status.h"

#include <stdint.h>

#define CLIP_SCALE_MAX 100.0
/* The logarithm of the scale at the start: a temperature of 0.07. */
#define CLIP_LOG_SCALE_START 2.6592600369327779

typedef struct clip_batch {
    const float *image, *text; /* [pairs][width]: the vectors of all ranks, of any length; one of
                                  length 0 counts as 0 */
    int64_t pairs, width;
    int64_t first, rows; /* the pairs of this rank: first..first + rows - 1 */
    double log_scale;
} clip_batch;

/* Sums over the ranks. */
typedef struct clip_sums {
    double loss;
    double log_scale;    /* gradient by log_scale; 0 where that is beyond the largest */
    float *image, *text; /* [pairs][width]: gradients by the vectors of all pairs; of the caller */
} clip_sums;

/* Sets the terms of the rank's pairs. Sums are f64, in an order that does not depend on the number
 * of threads. Local. */
status clip_loss(const clip_batch *b, clip_sums *out);

/* log_scale, or the largest there is; for after an update. Local. */
double clip_limit(double log_scale);

#endif
