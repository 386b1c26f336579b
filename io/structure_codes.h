/* What the name of a structure means: its SNOMED CT codes, and whether it can stand where others
 * read it. */
#ifndef CTAUG_IO_STRUCTURE_CODES_H
#define CTAUG_IO_STRUCTURE_CODES_H

#include "io/volume.h"

#include <stdbool.h>

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

/* Whether a name consists of words of anatomy and counting alone. Other text may name a person:
 * people write into segment labels what they like. Local. */
bool structure_name_is_plain(const char *name);

#endif
