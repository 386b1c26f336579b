/* Objectives: the quantity that the network predicts (epsilon, x_0 or v), and the conversion of a
 * prediction to x_0 and eps.
 *
 * With alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar): x_t = alpha x_0 + sigma eps;
 * v = alpha eps - sigma x_0 (Salimans & Ho 2022, section 4). A new objective is a new value of the
 * enum and a new row in the table of objective.c.
 */
#ifndef CTAUG_MODEL_DIFFUSION_OBJECTIVE_H
#define CTAUG_MODEL_DIFFUSION_OBJECTIVE_H

#include "model/named_table.h"

#include <stdint.h>

typedef enum objective_kind { OBJECTIVE_EPS, OBJECTIVE_X0, OBJECTIVE_V } objective_kind;

extern const named_table objective_kinds;

typedef struct objective {
    const char *name; /* "eps", "x0", "v" */
    /* target[n]: the training target of one sample, from x_0 and eps. */
    void (*target)(double alpha_bar, const float *x0, const float *eps, float *target, int64_t n);
    /* Converts a prediction to x_0 and eps (either may be NULL; the other may then be `predicted`),
     * given x_t. */
    void (*split)(double alpha_bar, const float *x_t, const float *predicted, float *x0, float *eps,
                  int64_t n);
} objective;

/* The row of an objective; static storage. Local. */
const objective *objective_of(objective_kind kind);

#endif
