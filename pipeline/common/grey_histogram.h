/* Histograms of grey values in [-1, 1]: the grey value of a structure is the median of its inner
 * pixels, which neighbouring structures do not blur into. */
#ifndef CTAUG_PIPELINE_COMMON_GREY_HISTOGRAM_H
#define CTAUG_PIPELINE_COMMON_GREY_HISTOGRAM_H

#include <stdint.h>

enum { GREY_BINS = 1024 };

typedef struct grey_histogram {
    int64_t total, count[GREY_BINS];
} grey_histogram;

/* Of one structure: all its pixels, and those whose four neighbours belong to it as well. */
typedef struct grey_structure {
    grey_histogram all, inside;
} grey_structure;

/* Adds the pixels of a slice to s[label]. image, labels: [size][size]. Values outside [-1, 1]
 * belong to the outer bins. Local. */
void grey_add(grey_structure *s, const uint8_t *labels, const float *image, int64_t size);

/* The median of the inner pixels, of all pixels if less than a quarter or less than four are inner
 * ones; interpolated in its bin. NaN: there are none. Local. */
double grey_value(const grey_structure *s);

#endif
