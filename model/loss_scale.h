/* Dynamic loss scaling (Micikevicius et al. 2018, Mixed Precision Training).
 *
 * The loss is multiplied by a power of two before the backward pass, so that small gradients do not
 * underflow in a narrow floating-point type; the gradient is divided by the same factor before the
 * update. A step whose gradient is not finite is skipped and halves the scale; LOSS_SCALE_GROWTH
 * finite steps in a row double it.
 */
#ifndef CTAUG_MODEL_LOSS_SCALE_H
#define CTAUG_MODEL_LOSS_SCALE_H

#include "model/nn/tensor.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LOSS_SCALE_START = 1 << 16,
    LOSS_SCALE_MAX = 1 << 24,
    LOSS_SCALE_GROWTH = 2000 /* finite steps in a row before the scale doubles */
};

typedef struct loss_scale {
    bool inert;   /* f32: the scale stays 1 */
    double scale; /* a power of two, 1..LOSS_SCALE_MAX */
    int64_t good; /* finite steps since the last change of the scale */
} loss_scale;

/* The initial state for a compute type: inert for f32. Local. */
loss_scale loss_scale_for(tensor_type compute);

/* Whether the scale can still be halved: a non-finite gradient may then be due to the scale, not to
 * divergence. Local. */
bool loss_scale_can_decrease(const loss_scale *s);

/* Updates the scale after a step; `finite`: whether its gradient was finite. Local. */
void loss_scale_update(loss_scale *s, bool finite);

/* The scale as a checkpoint saves it: 0 if inert. Local. */
double loss_scale_saved(const loss_scale *s);
/* Restores the scale and the count of finite steps from a checkpoint. The initial state is kept if
 * `s` is inert or the saved scale is not a power of two in 1..LOSS_SCALE_MAX. Local. */
void loss_scale_restore(loss_scale *s, double scale, int64_t good);

#endif
