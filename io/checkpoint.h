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

/* What a directory of checkpoints has for a training. */
typedef struct checkpoint_choice {
    int64_t step;          /* the newest good one; -1: none */
    char seal[SHA256_HEX]; /* its content (io/manifest.h) */
    bool others;           /* there are good ones with another fingerprint */
    int64_t damaged;       /* set aside, now or earlier */
} checkpoint_choice;

/* Finds the newest checkpoint with this fingerprint whose hash is right. Damaged ones that are
 * newer are set aside as "step-00001200.damaged-1", never overwritten, and reported with the
 * reason. The strings live during the call. ST_INTEGRITY if one was written by a newer version of
 * ctaug, or if there were checkpoints and none is good. Local: rank 0 calls it. */
typedef void (*checkpoint_report)(void *context, const char *moved_to, const char *reason);
status checkpoint_find(const char *directory, const char *fingerprint, checkpoint_report report,
                       void *context, checkpoint_choice *out);

/* A good checkpoint. */
typedef struct checkpoint_kept {
    int64_t step;
    char seal[SHA256_HEX];
} checkpoint_kept;

/* All checkpoints with this fingerprint whose hashes are right, newest first. The caller frees *out
 * with free(). Local. */
status checkpoint_list(const char *directory, const char *fingerprint, checkpoint_kept **out,
                       int64_t *count);

/* Writes the arrays alone to the file `path`, over an old one, in the form of state.h5 and with an
 * fsync, for a publication with a manifest of its own. Local. */
status checkpoint_write_arrays(const char *path, const checkpoint_array *arrays, int64_t n);

/* Reads the named arrays of such a file, whose hash the caller has compared; it may hold more.
 * ST_INTEGRITY if a shape differs. Local. */
status checkpoint_read_arrays(const char *path, const checkpoint_array *arrays, int64_t n);

/* Reads all arrays "<group>/<name>" of such a file, whose hash the caller has compared, in the
 * order of their names, which are without the group: *n of them, 0 if there is no such group. The
 * caller frees them with checkpoint_group_free(), also after a failure. ST_INTEGRITY if something
 * else is in the group. Local. */
status checkpoint_read_group(const char *path, const char *group, checkpoint_array **arrays,
                             int64_t *n);
void checkpoint_group_free(checkpoint_array *arrays, int64_t n);

/* Reads the named arrays and scalars; the file may hold more. ST_INTEGRITY if the hash of the file
 * or a shape differs. Local. */
status checkpoint_read(const char *directory, int64_t step, checkpoint_array *arrays,
                       int64_t n_arrays, checkpoint_scalar *scalars, int64_t n_scalars);

#endif
