/* The store: CT volumes with label maps in HDF5 shards. Stages exchange volumes only as stores.
 *
 * A store is a directory: manifest.json, shard-00000.h5 ..., and index.h5 (external links, for
 * h5py). A shard holds
 *
 *   /volumes                  attribute "labels": the names of the label values
 *   /volumes/<id>             attributes spacing, origin, direction, contrast, labelled (0, 1);
 *                             if they are known, kernel and body, the numbers of kernel_class and
 *                             body_part (io/scan_traits.h): 1 soft, 2 sharp; 1 head ... 9 leg
 *   /volumes/<id>/ct          int16 HU, z y x; chunk = slice; shuffle, deflate, Fletcher32
 *   /volumes/<id>/labels      u8, the same
 *
 * A volume that is not labelled has labels 0 that say nothing. A store without the attribute, of an
 * earlier version, holds labelled volumes.
 *
 * The files are in the format H5F_LIBVER_LATEST, without times. Reading uses no plugins and refuses
 * external and soft links. A shard holds whole volumes; shards are filled in order up to
 * `shard_bytes` of voxels. The place of a volume follows from the data, not from the number of
 * ranks: any number of ranks writes the same bytes.
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
    scan_traits traits;
    bool unlabelled; /* its label map, all 0, says nothing */
    int64_t shard;
    /* Bit k: label k occurs (store_has_structure()). Set by the writer, whatever the plan says; 0
     * in stores of earlier versions. */
    uint64_t structures[LABELS_MAX / 64];
} store_entry;

static inline bool store_has_structure(const store_entry *e, int label) {
    return e->structures[label / 64] >> (label % 64) & 1;
}

/* ---- writing ---- */

typedef struct store_writer store_writer;

typedef struct store_plan {
    const char *directory;    /* created if missing; publishing replaces an older store in it */
    const char *fingerprint;  /* see io/manifest.h */
    const label_set *labels;  /* the names of the label values */
    const json_t *provenance; /* becomes "provenance" in the manifest's detail; may be NULL */
    const store_entry
        *entries; /* all but shard and structures of the volumes, in the order of the store */
    int64_t count;
    const char *parts;   /* a directory for volumes that are finished, until the store is; see
                            store_writer_take(); NULL: none */
    int64_t shard_bytes; /* target size of a shard: bytes of HU and labels before compression */
} store_plan;

/* Copies the plan, which must be the same on all ranks, and distributes the shards over the ranks;
 * see store_writer_is_mine(). store_writer_finish() frees *out. Collective. */
status store_writer_open(const comm *c, const store_plan *plan, store_writer **out);

/* Whether this rank writes volume i. Local. */
bool store_writer_is_mine(const store_writer *w, int64_t i);

/* Writes volume i, which must belong to this rank; a rank writes its volumes in ascending order.
 * Local. */
status store_writer_put(store_writer *w, int64_t i, const volume *v);

/* Writes volume i as an earlier store_writer_put() did that had the same `parts` and fingerprint:
 * *taken; false if there is no such part, or not a whole one. Made of the same part, the store has
 * the same bytes, whoever wrote which volume when. Local. */
status store_writer_take(store_writer *w, int64_t i, bool *taken);

/* Leaves volume i, which must belong to this rank and is not written, out of the store. Local. */
status store_writer_drop(store_writer *w, int64_t i);

/* Volume i, which must belong to this rank and is not written yet, becomes an unlabelled one.
 * Local.
 */
status store_writer_unlabel(store_writer *w, int64_t i);

/* Replaces the provenance of the plan; the same on all ranks. Copies it. Local. */
status store_writer_describe(store_writer *w, const json_t *provenance);

/* Closes, hashes and publishes the shards, then the index, the manifest last, and removes the
 * parts; frees w. Shards without a volume do not count. If `local` is a failure on any rank,
 * nothing is published, temporaries are removed, the parts stay, and that failure is returned.
 * Collective. */
status store_writer_finish(store_writer *w, status local);

/* ---- mending ---- */

/* Opens the damaged shards of a published store to be written again. *damaged: the number of files
 * that are missing or not as the manifest says; if it is 0, nothing is to be written. The caller
 * puts the volumes for which store_writer_is_mine() holds, as they were; store_mend_finish() frees
 * *out. ST_INTEGRITY if the manifest is damaged; ST_INPUT if it has another fingerprint.
 * Collective. */
status store_mend_open(const comm *c, const char *directory, const char *fingerprint,
                       store_writer **out, int64_t *damaged);

/* The volumes of the store, owned by the writer. Local. */
int64_t store_writer_count(const store_writer *w);
const store_entry *store_writer_at(const store_writer *w, int64_t i);

/* Puts the shards in their place, and the index if it is damaged; frees w. ST_INTEGRITY, naming the
 * shard, if one is not what the manifest vouches for; the others are put in their place. If `local`
 * is a failure on any rank, nothing is changed, and that failure is returned. Collective. */
status store_mend_finish(store_writer *w, status local);

/* ---- reading ---- */

typedef struct store store;

/* Opens a published store; store_close() frees *out. The hash of a shard is compared when it is
 * first read. Several threads may read one store; their calls are serialised. Local. */
status store_open(const char *directory, store **out);
void store_close(store *s);

/* The results of these functions are owned by the store. Local. */
int64_t store_count(const store *s);
const store_entry *store_at(const store *s, int64_t i);
const label_set *store_labels(const store *s);
const manifest *store_manifest(const store *s);

/* ST_INPUT unless both stores have the same label values with the same names. Local. */
status store_check_same_labels(const store *a, const store *b);

/* One slice: hu and labels, y x, shape[1]*shape[2] each; either may be NULL. Local. */
status store_read_slice(store *s, int64_t i, int64_t z, int16_t *hu, uint8_t *labels);

/* A whole volume (volume_free()). Local. */
status store_read_volume(store *s, int64_t i, volume *out);

/* "HDF5 1.10.8": name and version of the HDF5 library; "" if unknown. Valid on this thread until it
 * ends. Local. */
const char *store_library_version(void);

/* Compares every hash and reads every dataset completely. ST_INTEGRITY naming what is damaged.
 * Local. */
status store_verify(const char *directory);

#endif
