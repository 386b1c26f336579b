/* manifest.json: what a published directory holds (name, size, SHA-256) and where it came from.
 *
 * It is written last and atomically; a directory without it does not exist for a reader. The
 * fingerprint (a SHA-256 over the study keys and inputs that made it) lets a stage see that its
 * work is already done and unchanged. A seal (SHA-256 of the rest) guards the manifest itself.
 */
#ifndef CTAUG_IO_MANIFEST_H
#define CTAUG_IO_MANIFEST_H

#include "io/file.h"
#include "io/status.h"

#include <jansson.h>

typedef struct manifest_file {
    char name[256]; /* printable ASCII without space and "/", not starting with "." */
    int64_t bytes;
    char sha256[SHA256_HEX];
} manifest_file;

typedef struct manifest {
    char kind[32]; /* "store", "checkpoint", "metrics", "report" */
    int version;   /* schema version, now 1; a reader refuses others with ST_INTEGRITY */
    char fingerprint[SHA256_HEX];
    manifest_file *files; /* sorted by name */
    int64_t count;
    json_t *detail; /* what the kind adds (labels, provenance ...); may be NULL */
} manifest;

/* Measures and hashes the named files of `directory` into m->files. Local. */
status manifest_add_file(manifest *m, const char *directory, const char *name);

/* Publishes m as directory/manifest.json. Local. */
status manifest_write(const manifest *m, const char *directory);

/* Takes the directory's manifest away, durably: what is in it is published no more. Local. */
status manifest_remove(const char *directory);

/* Reads and checks form and seal (kind NULL: any kind); sizes of all files are compared, hashes are
 * not. The caller calls manifest_free(). ST_INPUT if there is none or it is of another kind,
 * ST_INTEGRITY if it is broken or a size differs. Local. */
status manifest_read(const char *directory, const char *kind, manifest *out);

/* Compares the hash of one file; ST_INTEGRITY naming it. Local. */
status manifest_check_file(const manifest *m, const char *directory, int64_t index);

/* Whether the directory holds a published thing of this kind with this fingerprint. Local. */
bool manifest_is_current(const char *directory, const char *kind, const char *fingerprint);

void manifest_free(manifest *m);

#endif
