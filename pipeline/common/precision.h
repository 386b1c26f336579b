/* Which number type a training computes in. */
#ifndef CTAUG_PIPELINE_COMMON_PRECISION_H
#define CTAUG_PIPELINE_COMMON_PRECISION_H

#include "io/comm.h"
#include "model/nn/kernels.h"
#include "pipeline/study/study.h"

/* train.precision: "f32", "bf16", or "auto": bf16 where the engine gains from it and the processor
 * of every rank has arithmetic for it. Collective. */
status precision_choose(const comm *c, precision_kind precision, const kernels *engine,
                        tensor_type *out);

/* The types that networks compute in, by tensor_type: f32, bf16. */
extern const named_table compute_types;

#endif
