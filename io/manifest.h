/* manifest.json: the files of a published directory (name, size, SHA-256) and their origin.
 *
 * It is written last and atomically; readers treat a directory without it as unpublished. The
 * fingerprint (SHA-256 over the study keys and inputs that the content follows from) lets a stage
 * detect that its output is current. The seal (SHA-256 over the rest of the manifest) protects the
 * manifest itself.
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
    char kind[32]; /* "store", "checkpoint", "metrics", "gate", "report" */
    int version;   /* schema version, now 1; readers refuse any other with ST_INTEGRITY */
    char fingerprint[SHA256_HEX];
    manifest_file *files; /* sorted by name */
    int64_t count;
    json_t *detail; /* what this kind adds (labels, provenance ...); may be NULL */
    char
        seal[SHA256_HEX]; /* of a manifest that was read: identifies the content of all its files */
} manifest;

/* Adds size and hash of the named file of `directory` to m->files. Local. */
status manifest_add_file(manifest *m, const char *directory, const char *name);

/* Publishes m as directory/manifest.json. Local. */
status manifest_write(const manifest *m, const char *directory);

/* Removes the manifest durably: the directory counts as unpublished from then on. Local. */
status manifest_remove(const char *directory);

/* Reads the manifest; checks form, seal, kind (NULL: any) and the size of every file, but no hash.
 * Symbolic links in place of the files are refused.
 * The caller calls manifest_free(). ST_INPUT if there is none or it is of another kind,
 * ST_INTEGRITY if it is damaged or a size differs. Local. */
status manifest_read(const char *directory, const char *kind, manifest *out);

/* The same without a look at the files. Local. */
status manifest_read_alone(const char *directory, const char *kind, manifest *out);

/* That file `index` is there with its size, and no link; ST_INTEGRITY naming it. Local. */
status manifest_check_size(const manifest *m, const char *directory, int64_t index);

/* Compares the hash of file `index`; ST_INTEGRITY naming it. Local. */
status manifest_check_file(const manifest *m, const char *directory, int64_t index);

/* ST_INTEGRITY if the manifest of `directory` has a newer schema than this program knows: nothing
 * there may be used or replaced. ST_OK otherwise, also if there is no manifest. Local. */
status manifest_refuse_newer(const char *directory);

void manifest_free(manifest *m);

#endif
