/* Writing HTML: text escaped so that it cannot become markup, and binary data as data URIs. */
#ifndef CTAUG_IO_HTML_H
#define CTAUG_IO_HTML_H

#include "io/status.h"

#include <stdint.h>
#include <stdio.h>

/* Writes text as content or as a quoted attribute value: & < > " ' become character references;
 * control characters and bytes that are not UTF-8 become U+FFFD. Errors stay in `f` (ferror()).
 * Local. */
void html_text(FILE *f, const char *text);

/* Writes "data:<type>;base64,...". Errors stay in `f`. Local. */
void html_data_uri(FILE *f, const char *type, const void *data, int64_t bytes);

#endif
