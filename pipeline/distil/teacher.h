/* The trained denoiser as a teacher: steps of its solver. */
#ifndef CTAUG_PIPELINE_DISTIL_TEACHER_H
#define CTAUG_PIPELINE_DISTIL_TEACHER_H

#include "model/diffusion/consistency.h"
#include "pipeline/common/denoiser.h"
#include "pipeline/distil/task.h"

typedef struct teacher teacher;

/* Opens the network with the EMA of the teacher's checkpoint, for at most `batch` slices; `p` is
 * the process, which outlives it. Local. */
status teacher_open(const distil_inputs *in, const process *p, int64_t batch, teacher **out);
void teacher_close(teacher *t);

/* A slice on its way. */
typedef struct teacher_sample {
    const consistency_pair *pair;
    const slice_sample *condition;
    bool conditional; /* false: all conditions are dropped */
    const float *x_t; /* [size*size], at pair->at */
    float *x_r;       /* [size*size] */
} teacher_sample;

/* Fills x_r of `count` <= batch samples: one step of Heun's method from t to r (Karras et al. 2022,
 * algorithm 1); where r is 0, of Euler's, to the data. Local. */
status teacher_step(teacher *t, const teacher_sample *samples, int64_t count);

#endif
