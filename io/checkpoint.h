/* Checkpoints: the complete state of a training, from which it resumes bit for bit.
 *
 * <directory>/step-00001200/{state.h5, manifest.json}. state.h5 holds named f32 arrays (parameters,
 * EMA, optimiser moments, with the names and shapes of the parameters, readable with h5py) and
 * named scalars (position). Random numbers are counter-based (model/rng.h): seed and position are
 * their whole state.
 */
#ifndef CTAUG_IO_CHECKPOINT_H
#define CTAUG_IO_CHECKPOINT_H

#include "io/manifest.h"

enum { CHECKPOINT_NAME = 128 };

typedef struct checkpoint_array {
    char name[CHECKPOINT_NAME]; /* path inside the file: "ema/down.0.conv.weight" */
    int rank;
    int64_t shape[4];
    float *at; /* source when writing, target when reading; owned by the caller */
} checkpoint_array;

typedef struct checkpoint_scalar {
    char name[CHECKPOINT_NAME];
    double value;
} checkpoint_scalar;

/* Publishes step-<step>, then removes all but the newest `keep` steps. Local: rank 0 calls it, then
 * the ranks agree. */
status checkpoint_write(const char *directory, int64_t step, const char *fingerprint,
                        const checkpoint_array *arrays, int64_t n_arrays,
                        const checkpoint_scalar *scalars, int64_t n_scalars, int keep);

/* The newest published step with this fingerprint (NULL: any); *step = -1 if there is none. Steps
 * without a valid manifest or with a wrong file size are skipped. Local. */
status checkpoint_latest(const char *directory, const char *fingerprint, int64_t *step);

/* Reads the named arrays and scalars; the file may hold more. ST_INTEGRITY if the hash of the file
 * or a shape differs. Local. */
status checkpoint_read(const char *directory, int64_t step, checkpoint_array *arrays,
                       int64_t n_arrays, checkpoint_scalar *scalars, int64_t n_scalars);

#endif
