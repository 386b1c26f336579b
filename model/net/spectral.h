/* Spectral normalisation (Miyato et al. 2018): a weight W [out, in * k * k] is used as W / sigma,
 * where sigma approximates its largest singular value by one power iteration a step.
 *
 *     v = W^T u / |W^T u|,  s = W v,  sigma = |s|,  u = s / sigma
 *
 * u is kept between steps, as the frozen parameter "<layer>.u" that graph_conv_spectral() adds. The
 * values of a params hold W. Before a forward run spectral_apply() replaces them by W / sigma;
 * after backward spectral_restore() puts W back and turns the gradient G with respect to W / sigma
 * into the one with respect to W. As in the paper (equation 11), u and v count as constants:
 *
 *     (G - <G, W / sigma> u v^T) / sigma
 *
 * Sums are in f64 and in a fixed order: ranks with the same W get the same bits.
 */
#ifndef CTAUG_MODEL_NET_SPECTRAL_H
#define CTAUG_MODEL_NET_SPECTRAL_H

#include "model/nn/params.h"

typedef struct spectral spectral;

/* For all parameters that have a u. p must outlive it. Local. */
status spectral_create(params *p, spectral **out);
void spectral_destroy(spectral *s);

/* One power iteration; keeps W and sets the values to W / sigma. Local. */
void spectral_apply(spectral *s);

/* After spectral_apply(): restores W and converts params->grad. Local. */
void spectral_restore(spectral *s);

#endif
