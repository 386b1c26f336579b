/* The table behind the study (pipeline/study/study.h): one row a key. The schema that libcyaml
 * reads with, the defaults, the checks, `ctaug init`, the saved study and the fingerprint all walk
 * this table, so that a key is added in two places only: the struct and its row. For io/study*.c
 * alone. */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_TABLE_H
#define CTAUG_PIPELINE_STUDY_STUDY_TABLE_H

#include "pipeline/study/study.h"

#include <stddef.h>

typedef enum study_kind {
    STUDY_INTEGER,   /* int64_t, low..high */
    STUDY_REAL,      /* double, low..high */
    STUDY_REALS,     /* double[count], each low..high */
    STUDY_CHOICE,    /* an enum: a row of choices */
    STUDY_STRING,    /* char[count], not empty */
    STUDY_THRESHOLDS /* study_threshold[count] beside thresholds_used */
} study_kind;

enum {
    STUDY_KEYS_MAX = 64,
    STUDY_SECTIONS_MAX = 8,
    STUDY_PATH = 64 /* bytes of the longest "section.name" */
};

typedef struct study_key {
    const char *section, *name; /* section "" at the top level */
    study_kind kind;
    size_t offset; /* of the value in study */
    int count;     /* numbers in a list, bytes in a text */
    double low, high;
    const named_table *choices;
    const char *initial; /* the default, as YAML writes it */
    bool inert;          /* changes no result: left out of fingerprints */
    const char *help;
} study_key;

typedef struct study_section {
    const char *name, *help;
} study_section;

extern const study_key study_keys[];
extern const int study_key_count;
extern const study_section study_sections[]; /* in the order of the keys, without the top level */
extern const int study_section_count;

/* "train.batch", or "seed" at the top level. */
void study_key_path(const study_key *key, char out[STUDY_PATH]);

/* Index of the key with this path, or -1. */
int study_key_find(const char *path);

/* "unknown key ...; did you mean ...?": records the message without a place; returns ST_USAGE. */
status study_key_unknown(const char *path);

/* ---- values (pipeline/study/study_value.c) ---- */

/* Sets a key from its text (lists: from n texts). ST_USAGE says what is wrong and what it must be,
 * without the place, which the caller puts before it. Local. */
status study_value_set(study *s, const study_key *key, const char *const *texts, int64_t n);

/* Sets a key from one text, a list being "[a, b]" or "a, b": overrides and defaults. Local. */
status study_value_parse(study *s, const study_key *key, const char *text);

/* The value as YAML, read back to the same bits: malloc'd text in *out. Local. */
status study_value_text(const study *s, const study_key *key, char **out);

/* "1..65536", "none | horizontal", "2 numbers, each -1..1": what the key may be. */
void study_value_range(const study_key *key, char *out, size_t size);

#endif
