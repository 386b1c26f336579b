/* The store: CT volumes with label maps in HDF5 shards, the one data type between stages.
 *
 * A directory: manifest.json, shard-00000.h5 ..., index.h5 (external links, for h5py). In a shard
 * /volumes/<id>/{ct int16, labels u8}, z y x, chunk = slice, shuffle + deflate + Fletcher32, with
 * attributes spacing, origin, direction, contrast. H5F_LIBVER_LATEST, no times tracked, plugins
 * off; external and soft links are refused when a shard is read. Whole volumes in a shard, filled
 * in order up to `shard_bytes` of voxels: which volume is where follows from the data, never from
 * the rank count, and any number of ranks writes the same bytes.
 */
#ifndef CTAUG_IO_STORE_H
#define CTAUG_IO_STORE_H

#include "io/comm.h"
#include "io/manifest.h"
#include "io/volume.h"

typedef struct store_entry {
    char id[VOLUME_ID];
    geometry space;
    int contrast;
    int64_t shard;
} store_entry;

/* ---- writing ---- */

typedef struct store_writer store_writer;

typedef struct store_plan {
    const char *directory;    /* made if missing; an older store in it is replaced at publish */
    const char *fingerprint;  /* see io/manifest.h */
    const label_set *labels;  /* the names of the label values */
    const json_t *provenance; /* kept under "provenance" in the manifest's detail; may be NULL */
    const store_entry
        *entries; /* id, space and contrast of every volume, in the order of the store */
    int64_t count;
    int64_t shard_bytes; /* target: HU + label bytes of the volumes in a shard */
} store_plan;

/* Shards are dealt to the ranks; see store_writer_is_mine(). Collective. */
status store_writer_open(const comm *c, const store_plan *plan, store_writer **out);

/* Whether this rank writes volume i. Local. */
bool store_writer_is_mine(const store_writer *w, int64_t i);

/* Writes volume i, which must be this rank's; a rank puts its volumes in ascending order. Local. */
status store_writer_put(store_writer *w, int64_t i, const volume *v);

/* Closes, hashes and publishes shards, index, manifest last; frees w. If `local` is a failure on
 * any rank nothing is published, temporaries are removed, and that failure is returned. Collective.
 */
status store_writer_finish(store_writer *w, status local);

/* ---- reading ---- */

typedef struct store store;

/* Opens a published store; each shard's hash is compared when it is first read. Threads may read
 * one store: they take turns. Local. */
status store_open(const char *directory, store **out);
void store_close(store *s);

int64_t store_count(const store *s);
const store_entry *store_at(const store *s, int64_t i);
const label_set *store_labels(const store *s);
const manifest *store_manifest(const store *s);

/* One slice: hu and labels, y x, shape[1]*shape[2] each; either may be NULL. Local. */
status store_read_slice(store *s, int64_t i, int64_t z, int16_t *hu, uint8_t *labels);

/* A whole volume (volume_free()). Local. */
status store_read_volume(store *s, int64_t i, volume *out);

/* "HDF5 1.10.8": the library that runs. Valid on this thread until it ends. Local. */
const char *store_library_version(void);

/* Every hash, every dataset read through. Local. */
status store_verify(const char *directory);

#endif
