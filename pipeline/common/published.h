/* Networks that one stage trains and publishes in a folder of the run directory and later ones use:
 * the autoencoder and the text encoder. All are Local. */
#ifndef CTAUG_PIPELINE_COMMON_PUBLISHED_H
#define CTAUG_PIPELINE_COMMON_PUBLISHED_H

#include "model/nn/params.h"
#include "pipeline/stage.h"

/* The file with its parameters: f32 arrays "parameters/<name>" (io/checkpoint.h). */
#define PUBLISHED_PARAMETERS "parameters.h5"

typedef struct published_network {
    const char *name; /* of its folder, and the kind in its manifest */
    const char *what; /* in messages: "autoencoder" */
    const char *verb; /* that makes it */
    status (*fingerprint)(const study *s, const char *store, char hex[SHA256_HEX]);
} published_network;

/* The seal (io/manifest.h) of the published one of this study and its store. ST_INPUT if it is not
 * there: its verb has to run first. */
status published_seal(const stage_context *stage, const published_network *n,
                      char seal[SHA256_HEX]);

/* The path of one of its files, whose hash is that of the manifest. ST_INPUT as before. */
status published_file(const stage_context *stage, const published_network *n, const char *name,
                      char path[PATH_SIZE]);

/* Reads the parameters of p, which may be a part of the network, from such a file. */
status published_parameters(const char *path, params *p);

/* Notes in a directory of checkpoints that they were trained with the published network; and
 * ST_INPUT unless that is noted there. A network that was deleted and trained again can have other
 * bits under the same fingerprint. */
status published_mark(const stage_context *stage, const published_network *n,
                      const char *directory);
status published_check(const stage_context *stage, const published_network *n,
                       const char *directory);

#endif
