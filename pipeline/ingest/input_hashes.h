/* SHA-256 of every input file of ingest, and the record of them in the run directory, so that a
 * second run need not read the archive again.
 *
 * The record is <out>/ingest-files.json, sealed (io/seal.h). It is CONFIDENTIAL: it holds the paths
 * of the archive, and file names may hold names of patients. It belongs to the archive, is not for
 * sharing, and nothing of it goes into stores, logs or fingerprints.
 *
 *   {"kind": "ingest-files", "version", "archive": real path of ingest.dicom, "time_ns": when the
 *    hashing began, "files": {path relative to the archive: {"bytes", "mtime_ns", "sha256"}},
 * "seal"}
 *
 * Paths are percent-encoded, since file names need not be UTF-8; times are ns since 1970. A file of
 * the recorded size and mtime keeps its hash, unless its mtime is less than 2 s before time_ns: it
 * could have been changed again without a new mtime. A change that keeps both goes unseen until
 * --rehash.
 */
#ifndef CTAUG_PIPELINE_INGEST_INPUT_HASHES_H
#define CTAUG_PIPELINE_INGEST_INPUT_HASHES_H

#include "pipeline/stage.h"

#define INPUT_RECORD "ingest-files.json" /* in the run directory */

typedef struct input_file {
    int64_t bytes, mtime_ns;
    char sha256[SHA256_HEX];
} input_file;

/* The hashes of n files below s->study->ingest.dicom, whose `paths` are the same on every rank:
 * *out has n entries in their order on every rank (free()). What the record does not know, or
 * everything with s->rehash, is hashed, and the record is written anew. A record that is damaged or
 * of another archive is ignored with a warning. ST_INPUT, naming the file, if one is missing or
 * changes while it is hashed; ST_INTEGRITY if a newer version of ctaug wrote the record; ST_STOPPED
 * on request, after the hashes that are there were recorded. Collective. */
status input_hashes(const stage_context *s, const char *const *paths, int64_t n, input_file **out);

/* ST_INPUT, naming `path`, unless it still has the size and mtime with which it was hashed. Local.
 */
status input_file_check(const input_file *file, const char *path);

/* Checks the record at `path`; *files: number of entries, -1 if there is no record. ST_INTEGRITY if
 * it is damaged. Local. */
status input_record_check(const char *path, int64_t *files);

#endif
