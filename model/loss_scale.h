/* Dynamic loss scaling (Micikevicius et al. 2018, Mixed Precision Training): the loss is multiplied
 * by a power of two before the backward pass, so that small gradients do not vanish in a narrow
 * number type, and the gradient divided by it before the update. A gradient that is not finite
 * halves the scale and costs its step; many good steps in a row double it.
 */
#ifndef CTAUG_MODEL_LOSS_SCALE_H
#define CTAUG_MODEL_LOSS_SCALE_H

#include "model/nn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LOSS_SCALE_START = 1 << 16,
    LOSS_SCALE_MAX = 1 << 24,
    LOSS_SCALE_GROWTH = 2000 /* good steps in a row before the scale doubles */
};

typedef struct loss_scale {
    bool inert;   /* f32: stays at 1 */
    double scale; /* a power of two, 1..LOSS_SCALE_MAX */
    int64_t good; /* steps since the last change */
} loss_scale;

loss_scale loss_scale_for(tensor_type compute);

/* Whether the next failure of a step may still be the scale's fault. */
bool loss_scale_can_fall(const loss_scale *s);

/* After a step whose gradient was finite, or not. */
void loss_scale_after(loss_scale *s, bool finite);

/* For a checkpoint: the scale, or 0 where there is no scaling; and back. Where no scaling was, or
 * none is wanted, it stays as it begins. */
double loss_scale_kept(const loss_scale *s);
void loss_scale_restore(loss_scale *s, double scale, int64_t good);

#endif
