/* A forest plot: differences with their intervals, one below the other, about the line of no
 * difference. */
#ifndef CTAUG_PIPELINE_REPORT_FOREST_H
#define CTAUG_PIPELINE_REPORT_FOREST_H

#include "pipeline/report/document.h"

typedef struct forest_row {
    const char *name; /* cut to FOREST_NAME characters */
    char detail[48];  /* behind the name; may be empty */
    interval difference;
    int resolved; /* 1 gain, -1 loss, 0 not resolved: drawn as a triangle */
} forest_row;

enum { FOREST_NAME = 26 };

/* Appends the chart of n rows to a document; rows without a value are left out. Nothing if none has
 * one. `title` and `axis` are static text. Local. */
void forest_chart(document *d, const forest_row *rows, int64_t n, const char *title,
                  const char *axis);

#endif
