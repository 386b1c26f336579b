/* The "detail" of a store's manifest: label names and the list of volumes. With it a store is
 * opened without reading HDF5. Private to io/store_*.c.
 *
 *   {"labels": [names], "provenance": any, "structures": [[1, 4], []],
 *    "volumes": [{id, shape, spacing, origin, direction, contrast, labelled, kernel, body, shard}]}
 *
 * "labelled" may be missing: true. "kernel" and "body" (the words of io/scan_traits.h) may be:
 * unknown. "structures" may be: for each volume the label values above 0
 * that occur, ascending.
 */
#ifndef CTAUG_IO_STORE_DETAIL_H
#define CTAUG_IO_STORE_DETAIL_H

#include "io/store.h"

enum { SHARD_NAME = 32 };

#define STORE_KIND "store"
#define STORE_INDEX "index.h5"

/* "shard-00012.h5". Local. */
void store_shard_name(int64_t shard, char out[SHARD_NAME]);

/* Checks ids (unique; 1 to 64 printable ASCII characters without space, "/", "\" or ".."), shapes,
 * finite geometry, contrast (0 or 1), shards (ascending from 0 without gaps) and label names. A
 * failure has the code `code`; its message begins with `where`. Local. */
status store_detail_check(const store_entry *entries, int64_t count, const label_set *labels,
                          status code, const char *where);

/* A new object (json_decref()); provenance may be NULL. Local. */
status store_detail_make(const store_entry *entries, int64_t count, const label_set *labels,
                         const json_t *provenance, json_t **out);

/* Reads and checks; *entries is the caller's (free()). ST_INTEGRITY. Local. */
status store_detail_read(const json_t *detail, const char *where, store_entry **entries,
                         int64_t *count, label_set *labels);

#endif
