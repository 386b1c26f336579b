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

/* Writes bytes as base64 (RFC 4648, with padding). Errors stay in `f`. Local. */
void html_base64(FILE *f, const void *data, int64_t bytes);

/* Writes "sha256-<base64>" of a script, by which a Content-Security-Policy allows this script and
 * no other. ST_INTERNAL if the hash cannot be computed. Local. */
status html_script_hash(FILE *f, const char *script);

#endif
