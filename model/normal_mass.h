/* The probability that a normal variable lies in an interval, as a logarithm that neither
 * underflows far from the mean nor loses its digits there. */
#ifndef CTAUG_MODEL_NORMAL_MASS_H
#define CTAUG_MODEL_NORMAL_MASS_H

/* ln(Phi(high) - Phi(low)) of the standard normal distribution, low < high; either may be infinite.
 * Local. */
double normal_log_mass(double low, double high);

/* Derivative of normal_log_mass(low / s, high / s) by ln s^2 at s = 1. mass: the value of
 * normal_log_mass(low, high). Local. */
double normal_log_mass_slope(double low, double high, double mass);

#endif
