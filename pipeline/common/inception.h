/* Inception v3 (model/net/inception_v3.h) with weights from a safetensors file: the features of the
 * published FID.
 *
 * The file is the user's. It holds the state dict of pytorch-fid's network, published as
 * pt_inception-2015-12-05-6726825d.pth, which Python's safetensors.torch.save_file() converts.
 */
#ifndef CTAUG_PIPELINE_COMMON_INCEPTION_H
#define CTAUG_PIPELINE_COMMON_INCEPTION_H

#include "model/net/inception_v3.h"

typedef struct inception inception;

/* Reads the weights (F32, F16 or BF16; other tensors of the file are left alone) and opens the
 * network for up to `batch` images at once and the present number of threads. inception_close()
 * frees *out. ST_INPUT naming file and tensor. Local. */
status inception_open(const char *safetensors_path, int64_t batch, inception **out);
void inception_close(inception *n);

/* images [count, size, size] in [-1, 1], features [count, 2048]: inception_v3_features(). Local. */
status inception_features(inception *n, const float *images, int64_t count, int64_t size,
                          float *features);

/* SHA-256 of the file of weights as it was read. Lives as long as n. Local. */
const char *inception_hash(const inception *n);

#endif
