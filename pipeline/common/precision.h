/* The compute type of a training. */
#ifndef CTAUG_PIPELINE_COMMON_PRECISION_H
#define CTAUG_PIPELINE_COMMON_PRECISION_H

#include "io/comm.h"
#include "model/nn/kernels.h"
#include "pipeline/study/study.h"

/* Resolves train.precision. `auto` is bf16 if the engine gains from it and the processor of every
 * rank has bf16 arithmetic, otherwise f32. Collective. */
status precision_choose(const comm *c, precision_kind precision, const kernels *engine,
                        tensor_type *out);

/* Names of the compute types, indexed by tensor_type: f32, bf16. */
extern const named_table compute_types;

#endif
