/* An output folder that appears complete or not at all: all ranks write into it under a temporary
 * name, and it is renamed when all of them have succeeded. A folder that is not empty is never
 * overwritten.
 */
#ifndef CTAUG_PIPELINE_COMMON_OUTPUT_FOLDER_H
#define CTAUG_PIPELINE_COMMON_OUTPUT_FOLDER_H

#include "io/comm.h"
#include "io/file.h"

typedef struct output_folder {
    char out[PATH_SIZE];       /* final name, without a trailing "/" */
    char temporary[PATH_SIZE]; /* temporary name, where the ranks write: out + ".tmp.partial" */
    bool open;                 /* output_folder_open() succeeded and close was not called yet */
} output_folder;

/* Creates folder->temporary, empty. ST_USAGE, naming `out`, if `out` exists and is not empty;
 * ST_STORAGE if the folder cannot be created. Collective. */
status output_folder_open(const comm *c, const char *out, output_folder *folder);

/* Agrees on the ranks' `st`, then publishes the folder, or removes it if any rank failed. Returns
 * the agreed status with its message. After a failed output_folder_open() it only agrees.
 * Collective. */
status output_folder_close(const comm *c, output_folder *folder, status st);

#endif
