/* Whose the user's own masks are (generate.masks): a mask of a patient whom the networks are tested
 * on would show the segmenters what they are tested on.
 *
 * Patients are known by their pseudonyms, under the key of ingest and by the rules of
 * io/patients.h. Nobody knows whose a NIfTI mask is that lies alone. */
#ifndef CTAUG_PIPELINE_GENERATE_OWN_PATIENTS_H
#define CTAUG_PIPELINE_GENERATE_OWN_PATIENTS_H

#include "pipeline/generate/own_masks.h"

/* Makes the masks of patients with slices in the validation or the test part faulty, and records
 * them; none if the only patient has slices in all parts. Rank 0 warns if the key of the pseudonyms
 * is not there, so that nobody is known. Sets the persons of the headers. Collective. */
status own_patients_leave_out(own_masks *m, const store *real, const split *sp);

#endif
