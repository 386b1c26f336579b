/* Which number type a training computes in. */
#ifndef CTAUG_PIPELINE_PRECISION_H
#define CTAUG_PIPELINE_PRECISION_H

#include "io/comm.h"
#include "model/nn/kernels.h"

/* train.precision: "f32", "bf16", or "auto": bf16 where the engine gains from it and the processor of
 * every rank has arithmetic for it. Collective. */
status precision_choose(const comm *c, const char *key, const kernels *engine, tensor_type *out);

const char *precision_name(tensor_type type);

#endif
