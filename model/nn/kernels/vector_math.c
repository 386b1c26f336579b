/* A constant whose value the compiler must not know where it is used; vector_math.h says why. */
#include "model/nn/kernels/vector_math.h"

const float fast_exp_ends[2] = {-87.3f, 88.3f};
