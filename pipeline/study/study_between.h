/* Conditions between the keys of a study, and the place of a value that breaks one. */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_BETWEEN_H
#define CTAUG_PIPELINE_STUDY_STUDY_BETWEEN_H

#include "pipeline/study/study.h"
#include "pipeline/study/study_table.h"

/* Where the values of a study come from, for messages. */
typedef struct study_origin {
    const char *path, *text;
    int64_t bytes;
    bool in_file[STUDY_KEYS_MAX], set[STUDY_KEYS_MAX]; /* given in the file, by --set */
} study_origin;

/* Checks them. ST_USAGE with "file:line: ..." or "--set key: ...". Local. */
status study_between_keys(const study *s, const study_origin *o);

#endif
