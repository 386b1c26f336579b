/* What the name of a structure means: its codes, most of them of SNOMED CT. */
#ifndef CTAUG_IO_STRUCTURE_CODES_H
#define CTAUG_IO_STRUCTURE_CODES_H

#include "io/status.h"
#include "io/volume.h"

/* Code Value, Code Meaning and Coding Scheme Designator (PS3.3 8.8), as long as their VRs allow. */
typedef struct coded_concept {
    char value[17], meaning[65], scheme[17]; /* value "": no code */
} coded_concept;

/* Segmented Property Category, Type and, with a value, its modifier (left, right). */
typedef struct structure_code {
    coded_concept category, type, side;
} structure_code;

/* Codes of a study, which come before the table: "name: VALUE SCHEME meaning", or with the category
 * behind a bar, "name: VALUE SCHEME meaning | VALUE SCHEME meaning". Without one it is that of the
 * table, or Anatomical Structure. */
typedef struct structure_codes {
    const char *const *rules; /* [count]; checked; borrowed */
    int64_t count;
} structure_codes;

/* ST_USAGE if one of n rules is not of this form; a value or scheme has more than 16 characters, a
 * meaning more than 64, or one that DICOM does not allow; a value of SCT has not 6 to 16 digits or
 * a wrong check digit; a name is there twice. Local. */
status structure_codes_check(const char *const *rules, int64_t n);

/* The codes of a name such as "liver", "Kidney_left", "rib 4 right"; a name that neither the study
 * nor the table knows is coded as tissue. own: NULL: the table alone. Local. */
void structure_code_find(const structure_codes *own, const char *name, structure_code *out);

#endif
