/* Computes the score of sampled slices. */
#include "pipeline/generate/guidance_score.h"

#include <math.h>

static const double NOISE_WEIGHT = 0.1, RATIO_MAX = 100;

guidance_score guidance_score_of(const dice_counts *dice, const texture_sums *made,
                                 const texture_sums *real, int labels) {
    double overlap = 0, logs = 0, distance = 0;
    int structures = 0, noisy = 0;
    for (int k = 1; k < labels; k++) {
        if (dice->truth[k] > 0) {
            overlap += dice_of(dice, k);
            structures++;
        }
        const double a = texture_noise(&made[k]), b = texture_noise(&real[k]);
        if (!(a >= 0 && b > 0)) continue;
        const double ratio = log(fmin(fmax(a / b, 1 / RATIO_MAX), RATIO_MAX));
        logs += ratio;
        distance += fabs(ratio);
        noisy++;
    }
    guidance_score s = {.dice = overlap / structures, .noise_ratio = exp(logs / noisy)};
    s.score = s.dice - (noisy > 0 ? NOISE_WEIGHT * distance / noisy : 0);
    return s;
}
