/* What writing and mending a store share. Private to io/store_*.c. */
#ifndef CTAUG_IO_STORE_WRITER_H
#define CTAUG_IO_STORE_WRITER_H

#include "io/store_detail.h"
#include "io/store_hdf5.h"

enum { FATE_AS_PLANNED, FATE_DROPPED, FATE_UNLABELLED };

struct store_writer {
    const comm *comm;
    char directory[PATH_SIZE], fingerprint[SHA256_HEX];
    char parts[PATH_SIZE]; /* "": none */
    label_set labels;
    json_t *provenance;
    store_entry *entries; /* with their shards */
    int64_t count, shards;
    int64_t *fates;          /* what became of each volume of this rank: FATE_... */
    int64_t planned;         /* shards before volumes were left out */
    int64_t next;            /* volumes before this one are written or belong to another rank */
    int64_t open_shard;      /* -1: none */
    hid_t file, volumes;     /* of the open shard: the file and its group "volumes" */
    bool *wanted;            /* by shard: to be written; NULL: all of them; owned */
    manifest_file *finished; /* closed shards of this rank, under their planned names */
    int64_t n_finished;
};

/* A writer of this plan, without a look at the disk. store_writer_free() frees *out. Local. */
status store_writer_prepare(const comm *c, const store_plan *plan, store_writer **out);
void store_writer_free(store_writer *w);

/* ST_INTERNAL unless the writers of all ranks have the same list of volumes. Collective. */
status store_writer_check_same(const store_writer *w);

/* The published path of a file of the store, and its temporary path. Local. */
status store_writer_paths(const store_writer *w, const char *name, char path[PATH_SIZE],
                          char temporary[PATH_SIZE]);

/* Checks that all volumes of this rank were written, and closes its last shard. Local. */
status store_writer_end_shards(store_writer *w);

/* Writes and publishes the index. Local; for rank 0. */
status store_writer_index(const store_writer *w);

/* Removes the temporaries of this rank's shards. Local. */
void store_writer_drop_temporaries(const store_writer *w);

#endif
