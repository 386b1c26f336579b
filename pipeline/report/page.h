/* What every page has: head, style and scripts. A page is one file that needs no other. Its
 * Content-Security-Policy forbids everything but its own style, embedded pictures, and the scripts
 * in it, which it names by their hashes.
 */
#ifndef CTAUG_PIPELINE_REPORT_PAGE_H
#define CTAUG_PIPELINE_REPORT_PAGE_H

#include "io/status.h"

#include <stdbool.h>
#include <stdio.h>

/* The beginning of a page, up to <body>. Its title is "<name>: <what>"; `what` is static text.
 * broad: for tables of many columns.  * Errors of writing stay in f. Local. */
status page_head(FILE *f, const char *name, const char *what, bool broad);
/* Its end with the scripts: those of tables and chapters, and that of the slice viewer if there is
 * one. Local. */
void page_end(FILE *f, bool viewer);

#endif
