/* What the name of a structure means: its SNOMED CT codes. */
#ifndef CTAUG_IO_STRUCTURE_CODES_H
#define CTAUG_IO_STRUCTURE_CODES_H

#include "io/volume.h"

/* Code Value and Code Meaning; the scheme is SCT. */
typedef struct coded_concept {
    const char *value, *meaning;
} coded_concept;

/* Segmented Property Category, Type and, with a value, its modifier (left, right). */
typedef struct structure_code {
    coded_concept category, type, side;
} structure_code;

/* The codes of a name such as "liver", "Kidney_left", "rib 4 right"; a name that the table does not
 * know is coded as tissue. Local. */
void structure_code_find(const char *name, structure_code *out);

#endif
