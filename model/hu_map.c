/* The compressive map of HU. */
#include "model/hu_map.h"

#include <math.h>

static const double UNIT = 1000; /* HU at the end of the linear part */

double hu_map_to(double hu) {
    const double u = hu / UNIT;
    return fabs(u) <= 1 ? u : copysign(1 + log(fabs(u)), u);
}

double hu_map_from(double y) { return UNIT * (fabs(y) <= 1 ? y : copysign(exp(fabs(y) - 1), y)); }

double hu_map_from_slope(double y) { return UNIT * (fabs(y) <= 1 ? 1 : exp(fabs(y) - 1)); }
