/* A user's own captions of the volumes of a store: captions.csv, RFC 4180, UTF-8, with the header
 * "pseudonym,text" and a line for each volume that has one.
 *
 * A volume is named by its pseudonym, as in the store. The texts become part of what a network
 * learns, so they must say nothing of who is shown: like names of structures they come from the
 * user alone, never from headers of the archive, and no message shows one.
 */
#ifndef CTAUG_PIPELINE_DATA_OWN_CAPTIONS_H
#define CTAUG_PIPELINE_DATA_OWN_CAPTIONS_H

#include "io/csv.h"

typedef struct own_captions {
    csv_table table;
    char ***sorted; /* [count]: the records by pseudonym, each its cells {pseudonym, text}; owned */
    int64_t count;
} own_captions;

/* Reads at most 256 MiB with 2^20 captions of at most CAPTION_SIZE - 1 bytes
 * (model/text/grammar.h). ST_INPUT naming file and line for what io/csv.h refuses, another header,
 * a pseudonym that is empty, too long or occurs twice, a text that is empty or too long.
 * own_captions_free() frees *out. Local. */
status own_captions_read(const char *path, own_captions *out);
void own_captions_free(own_captions *c);

/* The caption of a pseudonym, owned by c; NULL if it has none. Local. */
const char *own_captions_find(const own_captions *c, const char *pseudonym);

#endif
