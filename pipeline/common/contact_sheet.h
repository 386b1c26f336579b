/* Contact sheets of a store: what its slices look like, plain and with their labels. */
#ifndef CTAUG_PIPELINE_COMMON_CONTACT_SHEET_H
#define CTAUG_PIPELINE_COMMON_CONTACT_SHEET_H

#include "io/status.h"

/* A PNG of up to 4 volumes of the store, 8 slices each, evenly spread: a row of slices windowed to
 * window[2] HU, and below it the same with label tints. Local. */
status contact_sheet_write(const char *store_directory, const double window[2], const char *path);

#endif
