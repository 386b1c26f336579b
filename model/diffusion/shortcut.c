/* Step sizes, and the target of self-consistency. */
#include "model/diffusion/shortcut.h"

#include "model/rng.h"

bool shortcut_fits(int64_t steps) {
    return steps >= 1 && steps <= SHORTCUT_STEPS && (steps & (steps - 1)) == 0;
}

double shortcut_size(int64_t steps) { return steps < SHORTCUT_STEPS ? 1 / (double)steps : 0; }

bool shortcut_is_chosen(uint64_t seed, uint64_t index) {
    rng_stream r = rng_open(seed, RNG_SHORTCUT, index / SHORTCUT_PART, 0);
    return rng_below(&r, SHORTCUT_PART) == index % SHORTCUT_PART;
}

static noise_level level_of(const process *p, double t, int64_t steps) {
    noise_level at = process_level(p, t);
    at.step = shortcut_size(steps);
    return at;
}

noise_level shortcut_draw(const process *p, rng_stream *r) {
    int sizes = 0;
    while (1 << sizes < SHORTCUT_STEPS) sizes++;
    const int64_t steps = (int64_t)1 << rng_below(r, (uint64_t)sizes);
    const int64_t left = 1 + (int64_t)rng_below(r, (uint64_t)steps);
    return level_of(p, (double)left / (double)steps, steps);
}

status shortcut_target(const process *p, const noise_level *at, denoise_fn denoise, void *context,
                       int conditional, const float *x_t, int64_t n, float *scratch,
                       float *target) {
    status st = ST_OK;
    float *middle = scratch, *second = scratch + n;
    const double half = at->step / 2;
    const int64_t steps = (int64_t)(1 / half);
    const noise_level first = level_of(p, at->t, steps), next = level_of(p, at->t - half, steps);
    TRY(denoise(context, x_t, &first, conditional, target));
    for (int64_t i = 0; i < n; i++) middle[i] = (float)(x_t[i] - half * target[i]);
    TRY(denoise(context, middle, &next, conditional, second));
    for (int64_t i = 0; i < n; i++) target[i] = (target[i] + second[i]) / 2;
done:
    return st;
}
