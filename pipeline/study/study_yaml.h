/* The study's YAML text, read by libcyaml with a schema made from the table. For io/study*.c. */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_YAML_H
#define CTAUG_PIPELINE_STUDY_STUDY_YAML_H

#include "pipeline/study/study_table.h"

/* Sets every key that `text` gives and marks it in given[]. ST_USAGE with "name:line: ..."; `name`
 * is the file's. Local. */
status study_yaml_apply(const char *name, const char *text, int64_t bytes, study *out,
                        bool given[STUDY_KEYS_MAX]);

/* ---- places (pipeline/study/study_place.c) ---- */

/* The first thing about the form of `text` that does not fit the table (not YAML, unknown key, key
 * given twice, list where a value belongs ...): ST_USAGE with "name:line: ...". Local. */
status study_yaml_explain(const char *name, const char *text, int64_t bytes);

/* The line of the key with this path; 0 if it is not there. Local. */
int64_t study_yaml_line(const char *text, int64_t bytes, const char *path);

#endif
