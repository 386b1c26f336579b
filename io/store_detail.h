/* What a store's manifest adds about its volumes: the entry list and the label names.
 *
 * Private to io/store_*.c. With it a store is opened without a look into HDF5. "detail" is
 * {"labels": [names], "volumes": [{id, shape, spacing, origin, direction, contrast, shard}],
 *  "provenance": any}.
 */
#ifndef CTAUG_IO_STORE_DETAIL_H
#define CTAUG_IO_STORE_DETAIL_H

#include "io/store.h"

enum { SHARD_NAME = 32 };

#define STORE_KIND "store"
#define STORE_INDEX "index.h5"

/* "shard-00012.h5". Local. */
void store_shard_name(int64_t shard, char out[SHARD_NAME]);

/* Ids (1..64 printable ASCII characters without space, "/", "\" or "..") that are unique, shapes,
 * finite geometry, contrast 0 or 1, shards that ascend from 0 without a gap, label names:
 * `code` naming `where` and the fault. Local. */
status store_detail_check(const store_entry *entries, int64_t count, const label_set *labels,
                          status code, const char *where);

/* A new object; provenance may be NULL. Local. */
status store_detail_make(const store_entry *entries, int64_t count, const label_set *labels,
                         const json_t *provenance, json_t **out);

/* Reads and checks; *entries is the caller's (free()). ST_INTEGRITY. Local. */
status store_detail_read(const json_t *detail, const char *where, store_entry **entries,
                         int64_t *count, label_set *labels);

#endif
