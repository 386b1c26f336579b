/* The state of dynamic loss scaling and its transitions. */
#include "model/loss_scale.h"

#include <math.h>

loss_scale loss_scale_for(tensor_type compute) {
    bool inert = compute == TYPE_F32;
    return (loss_scale){.inert = inert, .scale = inert ? 1 : LOSS_SCALE_START};
}

bool loss_scale_can_decrease(const loss_scale *s) { return !s->inert && s->scale > 1; }

void loss_scale_update(loss_scale *s, bool finite) {
    if (s->inert) return;
    s->good = finite ? s->good + 1 : 0;
    if (!finite && s->scale > 1) s->scale /= 2;
    if (s->good < LOSS_SCALE_GROWTH) return;
    s->good = 0;
    if (s->scale < LOSS_SCALE_MAX) s->scale *= 2;
}

double loss_scale_saved(const loss_scale *s) { return s->inert ? 0 : s->scale; }

void loss_scale_restore(loss_scale *s, double scale, int64_t good) {
    int exponent = 0;
    bool valid = scale >= 1 && scale <= LOSS_SCALE_MAX && frexp(scale, &exponent) == 0.5;
    if (s->inert || !valid) return;
    s->scale = scale;
    s->good = good >= 0 && good < LOSS_SCALE_GROWTH ? good : 0;
}
