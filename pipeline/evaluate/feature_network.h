/* The networks whose features distributions of slices are compared in.
 *
 * `domain`: the encoder of the cell's referee, or in a study without one, of the first segmenter
 * that was trained on real slices alone. `inception_v3`: Inception v3 with the weights of
 * evaluate.inception.
 */
#ifndef CTAUG_PIPELINE_EVALUATE_FEATURE_NETWORK_H
#define CTAUG_PIPELINE_EVALUATE_FEATURE_NETWORK_H

#include "pipeline/common/inception.h"
#include "pipeline/evaluate/comparison.h"
#include "pipeline/segmenter/segmenter.h"

typedef enum network_kind { NETWORK_INCEPTION, NETWORK_DOMAIN, NETWORKS } network_kind;

/* "inception_v3", "domain". Static storage. */
const char *network_name(network_kind kind);

typedef struct feature_network {
    const stage_context *stage; /* of the cell */
    segmenter segmenter;        /* of the domain */
    inception *inception;       /* NULL: the domain */
    int64_t dim;                /* features of a slice */
    char hash[SHA256_HEX];      /* of the parameters, or of the file of weights */
} feature_network;

/* A text that changes with the network of a cell: seal, fingerprint or hash. ST_INPUT if it is not
 * there. Local. */
status feature_network_identity(const comparison *c, network_kind kind, char hex[SHA256_HEX]);

/* Opens a network of a cell, which must outlive *out. The caller calls feature_network_close(),
 * also after a failure. Local. */
status feature_network_open(const comparison *c, network_kind kind, feature_network *out);
void feature_network_close(feature_network *n);

/* The features of n evenly spaced slices of `from`, [n][dim], on every rank. The ranks share the
 * slices. Collective on the ranks of the cell's stage. */
status feature_network_slices(feature_network *f, slices *from, int64_t n, float *features);

#endif
