/* What the structures in the user's own masks (generate.masks) are called in the store.
 *
 * A text is the structure that a rule of ingest.structures gives it, else the one of the same name,
 * in capitals or not. "structure-N", which io/nifti_read.h calls value N of a label map, is else
 * the store's value N, as exports write it. Other texts are left out.
 */
#ifndef CTAUG_PIPELINE_GENERATE_OWN_NAMES_H
#define CTAUG_PIPELINE_GENERATE_OWN_NAMES_H

#include "io/log.h"
#include "io/structures.h"
#include "pipeline/study/study.h"

/* *value = the store's label value of a text by rule or name; 0: it has none. Local. */
status own_name_value(const study *s, const label_set *labels, const char *text, int *value);

/* *out: the label values of all texts; its set is `labels`. nifti: texts of NIfTI files.
 * structure_names_free() frees *out, also after a failure. Local. */
status own_names_make(const study *s, const label_set *labels, const structure_texts *texts,
                      bool nifti, structure_names *out);

/* Warns of texts that are left out, by name; for rank 0. Local. */
void own_names_warn(journal *log, const structure_names *names);

#endif
