/* The prompts of a user (generate.prompts): a text file in UTF-8 with a caption on each line, which
 * the volumes take in turn. Blank lines do not count. Of a prompt with more tokens than a sentence
 * (pipeline/common/text_model.h) the end is cut off when it is encoded. */
#ifndef CTAUG_PIPELINE_COMMON_PROMPTS_H
#define CTAUG_PIPELINE_COMMON_PROMPTS_H

#include "io/file.h"

typedef struct prompts {
    char *text; /* owned */
    char **line;
    int64_t count;
    char sha256[SHA256_HEX]; /* of the file */
} prompts;

/* Reads at most 1 MiB. ST_INPUT naming the file for one that is missing, without a prompt, or with
 * a line of CAPTION_SIZE bytes or more (model/text/grammar.h) or a 0 byte. The caller calls
 * prompts_free(), also after a failure. Local. */
status prompts_read(const char *path, prompts *out);
void prompts_free(prompts *p);

/* The prompt of volume v, from 0. Local. */
const char *prompts_of(const prompts *p, int64_t v);

#endif
