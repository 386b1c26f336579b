/* Reading the YAML text of a study. Private to pipeline/study. */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_YAML_H
#define CTAUG_PIPELINE_STUDY_STUDY_YAML_H

#include "pipeline/study/study_table.h"

/* Sets every key that `text` gives in *out and marks it in given[]. `name`: of the file. ST_USAGE
 * with "name:line: ...". Local. */
status study_yaml_apply(const char *name, const char *text, int64_t bytes, study *out,
                        bool given[STUDY_KEYS_MAX]);

/* ---- line numbers (pipeline/study/study_place.c) ---- */

/* Checks the form of `text` against the table (not YAML, unknown key, key given twice, list instead
 * of a value ...): ST_USAGE with "name:line: ..." for the first fault. Local. */
status study_yaml_explain(const char *name, const char *text, int64_t bytes);

/* The line of the key with this path; 0 if the text does not give it. Local. */
int64_t study_yaml_line(const char *text, int64_t bytes, const char *path);

#endif
