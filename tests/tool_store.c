/* For tests/test_store_ranks.py: writes a store of synthetic volumes on the ranks of mpirun. Usage:
 * tool_store DIRECTORY VOLUMES [RANK], where RANK fails on purpose. HU and labels follow from
 * volume and voxel by a formula that the script repeats in numpy. */
#include "io/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 100 };

static store_entry entry(int64_t i) {
    store_entry e = {.space = {.shape = {3 + i % 4, 37 + i % 3, 40},
                               .spacing = {1.5 + 0.1 * i, 0.957, 0.957},
                               .origin = {-100.5, 0.25 * i, 1e-3 / 3},
                               .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}},
                     .contrast = i % 2};
    snprintf(e.id, sizeof e.id, "p-%04d", (int)(i * 37 % 101));
    return e;
}

static status put(store_writer *w, int64_t i, const store_entry *e) {
    status st;
    volume v = {.space = e->space, .contrast = e->contrast};
    memcpy(v.id, e->id, sizeof v.id);
    TRY(volume_alloc(&v));
    int64_t n = v.space.shape[0] * v.space.shape[1] * v.space.shape[2];
    for (int64_t k = 0; k < n; k++) {
        v.hu[k] = (int16_t)((i * 7919 + k * 104729) % 65536 - 32768);
        v.labels[k] = (uint8_t)((i + k / 4) % 3);
    }
    TRY(store_writer_put(w, i, &v));
done:
    volume_free(&v);
    return st;
}

int main(int argc, char **argv) {
    status st;
    comm *c = NULL;
    store_writer *w = NULL;
    store_entry entries[MANY];
    const label_set labels = {3, {"background", "liver", "bone"}};
    TRY(comm_start(&argc, &argv, &c));
    int64_t count = argc > 2 ? atoll(argv[2]) : 0;
    int fails = argc > 3 ? atoi(argv[3]) : -1;
    if (argc < 3 || count > MANY) TRY(status_fail(ST_USAGE, "tool_store DIRECTORY VOLUMES [RANK]"));
    for (int64_t i = 0; i < count; i++) entries[i] = entry(i);
    const store_plan plan = {.directory = argv[1],
                             .fingerprint = "f00d",
                             .labels = &labels,
                             .entries = entries,
                             .count = count,
                             .shard_bytes = 10000};
    TRY(store_writer_open(c, &plan, &w));
    for (int64_t i = 0; i < count && st == ST_OK; i++)
        if (store_writer_is_mine(w, i)) st = put(w, i, &entries[i]);
    if (comm_rank(c) == fails) st = status_fail(ST_INPUT, "no volume for rank %d", fails);
    TRY(store_writer_finish(w, st));
done:
    if (st != ST_OK && (!c || comm_rank(c) == 0)) fprintf(stderr, "%s\n", status_message());
    comm_stop(c);
    return (int)st;
}
