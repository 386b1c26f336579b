/* Which files show the same person. An archive may write one patient ID in several ways, leave it
 * out, or change it within a study; a person under two names would be in training and test at once.
 *
 * The rule:
 * - Patient IDs are compared in UTF-8, without blanks and null bytes around them (PS3.5 6.2:
 * neither is part of an LO). Otherwise they are taken as they are: a backslash does not end them,
 * upper and lower case differ.
 * - A study shows one person. All IDs that occur in files of one Study Instance UID are of one
 *   person, and so are its files without an ID; persons that share a study are one, over any number
 *   of steps.
 * - Studies in which no file has an ID are of different persons.
 *
 * It rather takes two persons for one (both are then on the same side of every split) than one for
 * two.
 */
#ifndef CTAUG_IO_PATIENTS_H
#define CTAUG_IO_PATIENTS_H

#include "io/dicom.h"

typedef enum patient_merge_reason {
    MERGE_SPELLING, /* the ID is written in two ways: character set, null bytes, blanks before it */
    MERGE_IDS,      /* two IDs in one study */
    MERGE_NO_ID     /* a study in which some files have an ID and some have none */
} patient_merge_reason;

/* Two files that are taken for one patient's though their headers do not say the same. */
typedef struct patient_merge {
    patient_merge_reason reason;
    char first[PATH_SIZE], second[PATH_SIZE]; /* a file of each kind */
} patient_merge;

/* Sets `person` of the n headers: equal texts for one person. Headers of kind DICOM_OTHER and
 * DICOM_NIFTI have none and are left out. *merges lists every merge once, in an order that follows
 * from the headers (free()). The headers must have the same order on every rank. Local. */
status patients_find(dicom_header *headers, int64_t n, patient_merge **merges, int64_t *count);

/* What tells the patients of one series apart after patients_find(): the ID, or that of the person
 * if the file has none. Local. */
const char *patient_identity(const dicom_header *h);

/* "two IDs in one study", for people. Local. */
const char *patient_merge_text(patient_merge_reason reason);

#endif
