/* Connects the file of weights with the network. */
#include "pipeline/common/inception.h"
#include "io/alloc.h"
#include "io/file.h"
#include "io/safetensors.h"

#include <stdio.h>

struct inception {
    inception_v3 *net;
    char hash[SHA256_HEX];
};

/* For inception_v3_source. */
static status read_tensor(void *context, const char *name, int rank, const int64_t *shape,
                          float *values) {
    return safetensors_read(context, name, rank, shape, values);
}

status inception_open(const char *safetensors_path, int64_t batch, inception **out) {
    status st = ST_OK;
    inception *n = NULL;
    safetensors *file = NULL;
    *out = NULL;
    TRY(array_alloc(&n, 1, sizeof *n, "Inception v3"));
    TRY(safetensors_open(safetensors_path, &file));
    snprintf(n->hash, sizeof n->hash, "%s", safetensors_hash(file));
    const inception_v3_source source = {read_tensor, file};
    TRY(inception_v3_create(&source, batch, &n->net));
    *out = n;
    n = NULL;
done:
    safetensors_close(file);
    inception_close(n);
    return st;
}

void inception_close(inception *n) {
    if (!n) return;
    inception_v3_destroy(n->net);
    free(n);
}

status inception_features(inception *n, const float *images, int64_t count, int64_t size,
                          float *features) {
    return inception_v3_features(n->net, images, count, size, features);
}

const char *inception_hash(const inception *n) { return n->hash; }
