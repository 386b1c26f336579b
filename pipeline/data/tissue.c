/* Averages a neighbourhood and compares it with the limits of the tissues. */
#include "pipeline/data/tissue.h"

/* HU from which on a tissue is meant. */
static const double FROM[TISSUES] = {
    [TISSUE_FAT] = -200, [TISSUE_SOFT] = -30, [TISSUE_DENSE] = 150};

tissue tissue_at(const float *image, int64_t size, int64_t i, const double window[2]) {
    const int64_t y = i / size, x = i % size;
    const int64_t top = y > 0 ? y - 1 : 0, bottom = y + 1 < size ? y + 1 : y;
    const int64_t left = x > 0 ? x - 1 : 0, right = x + 1 < size ? x + 1 : x;
    double sum = 0;
    for (int64_t v = top; v <= bottom; v++)
        for (int64_t u = left; u <= right; u++) sum += (double)image[v * size + u];
    const double mean = sum / (double)((bottom - top + 1) * (right - left + 1));
    const double hu = window[0] + (mean + 1) / 2 * (window[1] - window[0]);
    int found = TISSUE_AIR;
    while (found + 1 < TISSUES && hu >= FROM[found + 1]) found++;
    return (tissue)found;
}
