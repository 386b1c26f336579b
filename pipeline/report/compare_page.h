/* The page of `ctaug compare`: the results of several runs beside each other. */
#ifndef CTAUG_PIPELINE_REPORT_COMPARE_PAGE_H
#define CTAUG_PIPELINE_REPORT_COMPARE_PAGE_H

#include "io/status.h"

#include <jansson.h>
#include <stdio.h>

/* Writes the page for n runs; metrics[i] is the metrics.json of one and `from[i]` its place. Errors
 * of writing stay in f. Local. */
status compare_page(FILE *f, json_t *const *metrics, const char *const *from, int n);

#endif
