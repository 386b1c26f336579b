/* Tissue by HU. */
#include "pipeline/common/residual_class.h"

void residual_class(const float *hu, int64_t size, uint8_t *class) {
    static const double hu_as_they_are[2] = {-1, 1};
    for (int64_t i = 0; i < size * size; i++) {
        const tissue found = tissue_at(hu, size, i, hu_as_they_are);
        class[i] = (uint8_t)(found == TISSUE_AIR ? RESIDUAL_AIR : (int)found);
    }
}
