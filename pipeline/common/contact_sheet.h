/* Contact sheets: a picture that shows slices of a store without and with their labels. */
#ifndef CTAUG_PIPELINE_COMMON_CONTACT_SHEET_H
#define CTAUG_PIPELINE_COMMON_CONTACT_SHEET_H

#include "io/status.h"

/* Writes a PNG of up to 4 volumes of the store with 8 evenly spaced slices each: a row of slices
 * windowed to window[2] HU, and below it the same slices with tinted labels. Local. */
status contact_sheet_write(const char *store_directory, const double window[2], const char *path);

#endif
