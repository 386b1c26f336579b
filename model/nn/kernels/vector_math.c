/* A constant that the compiler must not see (vector_math.h). */
#include "model/nn/kernels/vector_math.h"

const float fast_exp_ends[2] = {-87.3f, 88.3f};
