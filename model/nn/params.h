/* Parameters: named ranges of one flat f32 buffer, and a gradient buffer of the same layout.
 *
 * Optimiser, EMA, all-reduce, checkpoint and export use the same list, in the order in which the
 * graph's builders were called.
 */
#ifndef CTAUG_MODEL_NN_PARAMS_H
#define CTAUG_MODEL_NN_PARAMS_H

#include "model/nn/graph.h"

enum { PARAM_NAME = 96 };

/* DIRECTION: a random unit vector, the start of a power iteration (model/net/spectral.h). */
typedef enum param_init { PARAM_UNIFORM, PARAM_ZERO, PARAM_ONE, PARAM_DIRECTION } param_init;

typedef struct param {
    char name[PARAM_NAME];
    int rank;
    int64_t shape[4];
    int64_t offset, count; /* in floats, in the flat buffer */
    param_init init;
    int64_t fan_in;
    bool decay;  /* weight decay applies: weights of convolutions and linear layers */
    bool frozen; /* no gradient is computed: it stays 0 */
} param;

typedef struct params {
    param *list;
    int64_t count;
    int64_t total;  /* floats */
    float *value;   /* total */
    float *grad;    /* total; zero after params_create() */
    uint8_t *decay; /* total; 1 where weight decay applies */
} params;

/* Allocates the buffers for a graph. Values are zero until params_init() or a checkpoint sets them.
 * Local. */
status params_create(const graph *g, params **out);
void params_destroy(params *p);

/* Sets the initial values that the graph specifies; parameter i draws from the random stream (seed,
 * RNG_INIT, i). Local. */
void params_init(params *p, uint64_t seed);

#endif
