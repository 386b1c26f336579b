/* Differences of erfc(), and behind its range the asymptotic series of the tail (Abramowitz &
 * Stegun 1964, 26.2.12). */
#include "model/normal_mass.h"

#include <math.h>

static const double SQRT_HALF = 0.70710678118654752440, LN_SQRT_2PI = 0.91893853320467274178;

/* erfc(x / sqrt 2) has its full precision up to here. */
static const double ERFC_END = 25;

static double log_density(double x) { return -x * x / 2 - LN_SQRT_2PI; }

/* ln(1 - Phi(x)) for x >= ERFC_END: the next term of the series is below 3e-9. */
static double log_tail(double x) {
    const double s = 1 / (x * x);
    return log_density(x) - log(x) + log1p(-s * (1 - s * (3 - s * 15)));
}

double normal_log_mass(double low, double high) {
    if (low + high < 0) { /* the other side of the mean, where both erfc() are small */
        const double mirrored = -low;
        low = -high;
        high = mirrored;
    }
    if (low < ERFC_END) return log((erfc(low * SQRT_HALF) - erfc(high * SQRT_HALF)) / 2);
    const double tail = log_tail(low);
    return isinf(high) ? tail : tail + log1p(-exp(log_tail(high) - tail));
}

/* x phi(x) / mass, 0 at infinity. */
static double weighted(double x, double mass) {
    return isinf(x) ? 0 : x * exp(log_density(x) - mass);
}

double normal_log_mass_slope(double low, double high, double mass) {
    return (weighted(low, mass) - weighted(high, mass)) / 2;
}
