/* What the loss of a sample needs to know of its time step. */
#include "model/diffusion/hybrid.h"

static const double SHARE = 0.001; /* of L_vlb */

void hybrid_step(const bound *b, const objective *o, int64_t t, float step[HYBRID_STEP]) {
    const variance_range range = variance_range_of(b->schedule, t, t - 1);
    const float nothing = 0, one = 1;
    double mean, other, variance;
    schedule_posterior(b->schedule, t, t - 1, &mean, &other, &variance);
    step[HYBRID_LOG_SMALL] = (float)range.log_small;
    step[HYBRID_LOG_LARGE] = (float)range.log_large;
    /* x_0 is an affine function of the prediction: the slope is that between 0 and 1. */
    o->split(schedule_alpha_bar(b->schedule, t), &nothing, &one, &step[HYBRID_ERROR], NULL, 1);
    step[HYBRID_MEAN] = (float)mean;
    step[HYBRID_HALF] = (float)(b->level / 2);
    step[HYBRID_FIRST] = t == 1;
    step[HYBRID_WEIGHT] = (float)(SHARE * bound_bits((double)b->schedule->steps, 1));
}
