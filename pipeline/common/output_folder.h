/* A new folder that is whole or not there: all ranks write into it under a temporary name, and it
 * takes its own name when all of them are done. A folder that has something in it is not touched.
 */
#ifndef CTAUG_PIPELINE_COMMON_OUTPUT_FOLDER_H
#define CTAUG_PIPELINE_COMMON_OUTPUT_FOLDER_H

#include "io/comm.h"
#include "io/file.h"

typedef struct output_folder {
    char out[PATH_SIZE];   /* its name, without a trailing "/" */
    char aside[PATH_SIZE]; /* where to write: out + ".tmp.fresh" */
    bool open;
} output_folder;

/* Makes folder->aside, empty. ST_USAGE, naming `out`, if that is there and not an empty folder;
 * ST_STORAGE if it cannot be made. Collective. */
status output_folder_open(const comm *c, const char *out, output_folder *folder);

/* Agrees on `st`, then publishes the folder, or removes it if any rank failed; the message of the
 * first fault stays. Does nothing but agree after a failed output_folder_open(). Collective. */
status output_folder_close(const comm *c, output_folder *folder, status st);

#endif
