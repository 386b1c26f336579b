/* Real and synthetic slots of a batch, in closed form. */
#include "pipeline/data/mixture.h"

#include <math.h>

mixture mixture_of(int64_t batch, int64_t steps, double share, double real_only_last) {
    return (mixture){.batch = batch,
                     .synthetic = llround(share * (double)batch),
                     .real_from = steps - llround(real_only_last * (double)steps)};
}

bool mixture_at(const mixture *m, int64_t slot, int64_t *draw) {
    const int64_t step = slot / m->batch, place = slot % m->batch;
    if (step >= m->real_from) {
        *draw = slot - m->real_from * m->synthetic;
        return false;
    }
    /* Of the first n places of a batch, n * synthetic / batch, rounded down, are synthetic. */
    const int64_t before = place * m->synthetic / m->batch;
    const bool synthetic = (place + 1) * m->synthetic / m->batch > before;
    *draw = synthetic ? step * m->synthetic + before
                      : step * (m->batch - m->synthetic) + place - before;
    return synthetic;
}
