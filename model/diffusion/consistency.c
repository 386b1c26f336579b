/* The two noise levels of a sample of consistency tuning, and its loss in terms of the network's
 * output, in which the prediction of x_0 is linear. */
#include "model/diffusion/consistency.h"

#include "model/metric/normal.h"

#include <math.h>

/* Of ECT: ln t ~ N(P_MEAN, P_STD^2), and the factor of the sigmoid in r. */
static const double P_MEAN = -1.1, P_STD = 2, NARROWING = 8;

static const double C = 0.00054; /* for one value */

double consistency_r(double t, double q, int64_t stage) {
    const double gap = pow(q, -(double)(stage + 1)) * (1 + NARROWING / (1 + exp(t)));
    return fmax(0, t * (1 - gap));
}

int64_t consistency_stage(int64_t step, int64_t steps, int64_t stages) {
    return step < steps ? (int64_t)((double)step / (double)steps * (double)stages) : stages - 1;
}

consistency_pair consistency_at(const process *p, double t, double q, int64_t stage) {
    consistency_pair pair = {.t = fmin(fmax(t, p->low), p->high)};
    pair.r = consistency_r(pair.t, q, stage);
    if (pair.r < p->low) pair.r = 0;
    pair.is_data = pair.r == 0;
    pair.at = process_level(p, process_time_of(p, pair.t));
    pair.to = pair.is_data ? pair.at : process_level(p, process_time_of(p, pair.r));
    return pair;
}

double consistency_draw(rng_stream *r) { return exp(P_MEAN + P_STD * rng_normal(r)); }

double consistency_spread(int64_t k, int64_t n) {
    return exp(P_MEAN + P_STD * normal_quantile(((double)k + 0.5) / (double)n));
}

/* In the coordinate x / alpha = y + t e the path has the slope e. */
void consistency_solve(const consistency_pair *pair, const float *x_t, const float *eps, float *x_r,
                       int64_t n) {
    const double alpha = pair->is_data ? 1 : pair->to.alpha;
    const double along = alpha / pair->at.alpha, move = alpha * (pair->r - pair->t);
    for (int64_t i = 0; i < n; i++)
        x_r[i] = (float)(along * (double)x_t[i] + move * (double)eps[i]);
}

void consistency_inputs(const process *p, const consistency_pair *pair, const float *x_t,
                        const float *target, float step[CONSISTENCY_STEP], float *rest, int64_t n) {
    const float none = 0, one = 1;
    float share;
    process_split(p, &pair->at, &none, &one, &step[CONSISTENCY_SLOPE], NULL, 1);
    process_split(p, &pair->at, &one, &none, &share, NULL, 1);
    step[CONSISTENCY_C] = (float)(C * sqrt((double)n));
    step[CONSISTENCY_RATE] = (float)(1 / (pair->t - pair->r));
    for (int64_t i = 0; i < n; i++) rest[i] = share * x_t[i] - target[i];
}
