/* The table of the study's keys, one row a key. The schema for libcyaml, the defaults, the checks,
 * `ctaug init`, the saved study and the fingerprint are all made from it, so that a key is added in
 * two places only: the struct in pipeline/study/study.h and its row here. Private to
 * pipeline/study.
 */
#ifndef CTAUG_PIPELINE_STUDY_STUDY_TABLE_H
#define CTAUG_PIPELINE_STUDY_STUDY_TABLE_H

#include "pipeline/study/study.h"

#include <stddef.h>

typedef enum study_kind {
    STUDY_INTEGER,    /* int64_t, low..high */
    STUDY_REAL,       /* double, low..high */
    STUDY_REALS,      /* double[count], each low..high */
    STUDY_CHOICE,     /* an enum of the size of int: a row of choices */
    STUDY_INTEGERS,   /* study_integers, at most count, each low..high */
    STUDY_CHOICES,    /* uint32_t: bit k is row k of choices; not empty */
    STUDY_STRING,     /* char[count], not empty unless the default is */
    STUDY_THRESHOLDS, /* study_threshold[count], with their number in ingest.threshold_count */
    STUDY_INSERTS, /* study_insert[count], with their number in generate.insert_count; low..high: of
                     the number of blobs */
    STUDY_TEXTS    /* study_texts, at most count, that `check` accepts */
} study_kind;

enum {
    STUDY_KEYS_MAX = 192,
    STUDY_SECTIONS_MAX = 16,
    STUDY_PATH = 64 /* bytes of the longest "section.name" */
};

typedef struct study_key {
    const char *section, *name; /* section "" at the top level */
    study_kind kind;
    size_t offset;    /* of the value in study */
    int count;        /* numbers in a list, bytes of a text, max entries of other lists */
    double low, high; /* range of a number, ends included */
    const named_table *choices;
    status (*check)(const char *const *texts, int64_t n); /* of STUDY_TEXTS; ST_USAGE */
    const char *form;                                     /* of one of them, for people */
    const char *initial;                                  /* the default, as YAML writes it */
    const char *word; /* how the value 0 of a STUDY_REAL is written; NULL: as a number */
    bool inert;       /* changes no result: left out of fingerprints */
    bool later; /* came when there were runs without it: its default is left out of fingerprints, so
                   that their outputs stay current */
    const char *help;
} study_key;

typedef struct study_section {
    const char *name, *help;
} study_section;

extern const study_key study_keys[];
extern const int study_key_count;
extern const study_section study_sections[]; /* in the order of the keys, without the top level */
extern const int study_section_count;

/* The path of a key: "train.batch", or "seed" at the top level. Local. */
void study_key_path(const study_key *key, char out[STUDY_PATH]);

/* Index of the key with this path, or -1. Local. */
int study_key_find(const char *path);

/* Index of the section with this name, or -1. Local. */
int study_section_find(const char *name);

/* Returns ST_USAGE with "unknown key ...; did you mean ...?". The caller adds file and line. Local.
 */
status study_key_unknown(const char *path);

/* ---- values (pipeline/study/study_value.c) ---- */

/* Copies [from, to) without surrounding blanks and quotes; false if it is too long. Local. */
bool study_copy_trimmed(const char *from, const char *to, char *out, size_t size);

/* Whether YAML writes the value as a list; as one that may be empty; as one whose entries are texts
 * in quotes. Local. */
bool study_key_is_list(const study_key *key);
bool study_key_may_be_empty(const study_key *key);
bool study_key_is_list_of_texts(const study_key *key);

/* The most entries that a list of the file may have before the key itself is asked. Local. */
int study_key_list_max(const study_key *key);

/* Sets a key from its text (a list: from its n texts). ST_USAGE names the key, the wrong value and
 * what it must be; the caller adds file and line. Local. */
status study_value_set(study *s, const study_key *key, const char *const *texts, int64_t n);

/* Sets a key from one text, for overrides and defaults. A list is "[a, b]" or "a, b". Local. */
status study_value_parse(study *s, const study_key *key, const char *text);

/* The value as YAML that reads back to the same bits; the caller frees *out with free(). Local. */
status study_value_text(const study *s, const study_key *key, char **out);

/* The valid values of a key: "1..65536", "none | horizontal", "[2 numbers, each -1..1]". Local. */
void study_value_range(const study_key *key, char *out, size_t size);

#endif
