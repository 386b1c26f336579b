/* L_hybrid = L_simple + 0.001 L_vlb (Nichol & Dhariwal 2021, eq. 16), for graph_hybrid_loss().
 * L_vlb is in bits per value, as in their program, and its sum over the time steps is T times the
 * mean of the drawn ones; L_T has no gradient and is left out. */
#ifndef CTAUG_MODEL_DIFFUSION_HYBRID_H
#define CTAUG_MODEL_DIFFUSION_HYBRID_H

#include "model/diffusion/bound.h"
#include "model/nn/graph.h"

/* Fills the input `step` for a sample at time t (1..T). Local. */
void hybrid_step(const bound *b, const objective *o, int64_t t, float step[HYBRID_STEP]);

#endif
