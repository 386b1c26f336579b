/* A volume as it lies in a shard: its compressed chunks, and its part file, from which a stopped
 * run goes on without decoding and compressing it again. Private to io/store_*.c.
 *
 * A chunk is a slice, of CT or of labels: shuffle (CT), deflate, Fletcher32, as the filters of HDF5
 * would make it, but by libdeflate: they are written past the filter pipeline, which is slower.
 */
#ifndef CTAUG_IO_STORE_PACK_H
#define CTAUG_IO_STORE_PACK_H

#include "io/store.h"

/* Chunks of all slices of the CT, then of the labels. */
typedef struct packed_volume {
    int64_t slices, unlabelled;
    uint64_t structures[LABELS_MAX / 64]; /* as in store_entry */
    int64_t *sizes;                       /* bytes of the 2 * slices chunks; owned */
    uint8_t *bytes;                       /* of one chunk after the other; owned */
    int64_t total;
} packed_volume;

/* pack_free() frees *out. Local. */
status pack_volume(const volume *v, bool unlabelled, packed_volume *out);
void pack_free(packed_volume *p);

/* Part files (io/part_file.h). Reading: ST_INPUT if there is none, ST_INTEGRITY if it is not of
 * this fingerprint, not whole, or of another number of slices. Local. */
status pack_save(const char *path, const char fingerprint[SHA256_HEX], const packed_volume *p);
status pack_load(const char *path, const char fingerprint[SHA256_HEX], int64_t slices,
                 packed_volume *out);

#endif
