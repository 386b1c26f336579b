/* What an archive holds that is not stored, and why: one record for each series, segmentation or
 * file that is left out.
 *
 * A record names the odd one, not its sound neighbours. Paths and values come from the archive:
 * they are for the terminal (escaped) and for a file of the user alone, never for the event log.
 */
#ifndef CTAUG_IO_FAULTS_H
#define CTAUG_IO_FAULTS_H

#include "io/comm.h"

/* What is left out. A note says what was done with a series that is stored. */
typedef enum fault_scope {
    FAULT_FILE,
    FAULT_SEG,
    FAULT_SERIES,
    FAULT_NOTE,
    FAULT_SCOPES
} fault_scope;

/* Texts of a record. NULL counts as "". */
typedef enum fault_text {
    FAULT_PATH,   /* the file at fault */
    FAULT_UID,    /* Series Instance UID: of the series that is left out, or is segmented */
    FAULT_TAG,    /* such as "PatientID (0010,0020)" */
    FAULT_VALUE,  /* of the tag; numbers only, since other values may identify a person */
    FAULT_REASON, /* why */
    FAULT_ADVICE, /* what to do */
    FAULT_TEXTS
} fault_text;

typedef struct fault {
    fault_scope scope;
    bool ordinary; /* sound archives have this too (scouts, other objects): no fault for --strict */
    int64_t files; /* how many files are left out by it */
    const char *text[FAULT_TEXTS];
} fault;

typedef struct fault_list {
    fault *items; /* the list owns their texts */
    int64_t count, capacity;
} fault_list;

/* Appends a copy. Local. */
status fault_add(fault_list *list, const fault *what);

/* Appends a record whose reason is status_message(), without the path in front of it; tag and value
 * are taken from the message if they are empty in `what`. Local. */
status fault_add_message(fault_list *list, const fault *what);

/* Whether status_message() begins with the path of this file. Local. */
bool fault_message_is_of(const char *path);

/* Removes the records from number `count` on. Local. */
void faults_cut(fault_list *list, int64_t count);
void faults_free(fault_list *list);

/* The records as bytes: *bytes (free()), *length of them; and back, appended to a list. Local. */
status faults_encode(const fault_list *list, char **bytes, int64_t *length);
status faults_decode(fault_list *list, const char *bytes, int64_t length);

/* Replaces each rank's records by those of all ranks, sorted by path and reason. Collective. */
status faults_gather(const comm *c, fault_list *list);

/* The number of records of a scope, and in *files, unless it is NULL, that of their files. `strict`
 * counts those alone that are not ordinary. Local. */
int64_t faults_count(const fault_list *list, fault_scope scope, bool strict, int64_t *files);

#endif
