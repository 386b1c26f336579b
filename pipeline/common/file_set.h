/* A published set of files that the ranks make together, each file on one rank: kept file by file
 * while it is made, so that a stopped stage goes on where it was, and published with a manifest.
 *
 *   <folder>/manifest.json, <kind>-0000000.h5, <kind>-0000001.h5, ...
 */
#ifndef CTAUG_PIPELINE_COMMON_FILE_SET_H
#define CTAUG_PIPELINE_COMMON_FILE_SET_H

#include "pipeline/stage.h"

#include <jansson.h>

typedef struct file_set {
    const stage_context *stage;
    const char *kind; /* of the manifest: a word in the plural, "pairs" */
    char folder[PATH_SIZE], fingerprint[SHA256_HEX];
    int64_t files;
} file_set;

/* Makes the files that are missing and publishes all; logs and returns if they are published.
 * make() writes file i to `path`, on one rank; open() comes before the first one, on every rank;
 * both are Local. detail: of the manifest; takes the reference; NULL: ST_MEMORY. `what`: a line for
 * the log. ST_STOPPED after a file if a rank was asked to stop: finished files are kept.
 * Collective. */
typedef struct file_maker {
    status (*open)(void *context);
    status (*make)(void *context, int64_t file, const char *path);
    void *context;
    const char *what;
} file_maker;
status file_set_make(const file_set *f, const file_maker *maker, json_t *detail);

/* *published: whether there is a manifest, of whatever content. Collective. */
status file_set_is_there(const file_set *f, bool *published);

/* The path of file i. Local. */
status file_set_path(const file_set *f, int64_t i, char path[PATH_SIZE]);

/* The same of a published one, whose hash is that of the manifest. ST_INTEGRITY if it is not, or
 * if there is another number of files. Local. */
status file_set_check(const file_set *f, int64_t i, char path[PATH_SIZE]);

#endif
