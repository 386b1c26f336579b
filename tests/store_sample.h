/* Synthetic stores for the tests of io/store_*.c: shape and values of volume i follow from i, so a
 * reader can check them. Included by one C file of a program, which sets `world`.
 */
#ifndef CTAUG_TESTS_STORE_SAMPLE_H
#define CTAUG_TESTS_STORE_SAMPLE_H

#include "io/store.h"
#include "tests/scratch.h"

#include <hdf5.h>

static comm *world;

static const label_set LABELS = {3, {"background", "liver", "bone"}};

enum { MANY = 12, SMALL = 3 };

static inline int64_t voxels(const geometry *g) { return g->shape[0] * g->shape[1] * g->shape[2]; }

/* Volume i of every store here. Its HU (hu_at) do not compress to almost nothing. */
static inline store_entry entry(int64_t i) {
    store_entry e = {
        .space = {.shape = {2 + i % 3, 6 + i % 2, 5},
                  .spacing = {1.5, 0.957, 0.1 + i},
                  .origin = {-7.25, i / 3.0, 1e-3},
                  .direction = {0, 0, 1, 0, 1, 0, 1, 0, 0}},
        .contrast = i % 2,
        .traits = {(kernel_class)((i + 1) % KERNEL_CLASSES), (body_part)((i + 1) % BODY_PARTS)}};
    snprintf(e.id, sizeof e.id, "p-%03d", (int)i);
    return e;
}

static inline int16_t hu_at(int64_t i, int64_t k) {
    return (int16_t)((i * 7919 + k * 104729) % 4096 - 1024);
}
static inline uint8_t label_at(int64_t i, int64_t k) {
    return (uint8_t)((i + k / 4) % LABELS.count);
}

static inline volume make_volume(int64_t i) {
    store_entry e = entry(i);
    volume v = {.space = e.space, .contrast = e.contrast, .traits = e.traits};
    snprintf(v.id, sizeof v.id, "%s", e.id);
    assert_int_equal(volume_alloc(&v), ST_OK);
    for (int64_t k = 0; k < voxels(&v.space); k++) {
        v.hu[k] = hu_at(i, k);
        v.labels[k] = label_at(i, k);
    }
    return v;
}

/* A plan for the first n volumes; about 2 of them fill a shard. */
static inline store_plan make_plan(const char *directory, store_entry *entries, int64_t n) {
    for (int64_t i = 0; i < n; i++) entries[i] = entry(i);
    return (store_plan){.directory = directory,
                        .fingerprint = "f00d",
                        .labels = &LABELS,
                        .entries = entries,
                        .count = n,
                        .shard_bytes = 600};
}

static inline status write_plan(const store_plan *plan) {
    store_writer *w = NULL;
    status st = store_writer_open(world, plan, &w);
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < plan->count && st == ST_OK; i++) {
        volume v = make_volume(i);
        assert_true(store_writer_is_mine(w, i));
        st = store_writer_put(w, i, &v);
        volume_free(&v);
    }
    return store_writer_finish(w, st);
}

static inline status write_store(const char *directory, int64_t n) {
    store_entry entries[MANY];
    store_plan plan = make_plan(directory, entries, n);
    return write_plan(&plan);
}

static inline bool volume_is(const volume *v, int64_t i) {
    store_entry e = entry(i);
    bool same = !strcmp(v->id, e.id) && !memcmp(&v->space, &e.space, sizeof e.space) &&
                v->contrast == e.contrast && v->traits.kernel == e.traits.kernel &&
                v->traits.body == e.traits.body;
    for (int64_t k = 0; same && k < voxels(&e.space); k++)
        same = v->hu[k] == hu_at(i, k) && v->labels[k] == label_at(i, k);
    return same;
}

/* Opens the store and reads every volume. Returns the first failure; *right: all were as written.
 */
static inline status read_all(const char *directory, bool *right) {
    store *s = NULL;
    *right = true;
    status st = store_open(directory, &s);
    for (int64_t i = 0; st == ST_OK && i < store_count(s); i++) {
        volume v;
        st = store_read_volume(s, i, &v);
        if (st == ST_OK) *right &= volume_is(&v, i);
        volume_free(&v);
    }
    store_close(s);
    return st;
}

static inline void assert_good(const char *directory, int64_t n) {
    bool right = false;
    store *s = NULL;
    assert_int_equal(read_all(directory, &right), ST_OK);
    assert_true(right);
    assert_int_equal(store_open(directory, &s), ST_OK);
    assert_int_equal(store_count(s), n);
    store_close(s);
    assert_int_equal(store_verify(directory), ST_OK);
}

static inline uint64_t some(uint64_t *seed) {
    return (*seed = *seed * 6364136223846793005u + 1) >> 33;
}

static inline int clear(void **state) {
    (void)state;
    return file_remove_tree(in_home("s")) != ST_OK || file_remove_tree(in_home("t")) != ST_OK;
}

/* Starts MPI and makes the scratch directory. */
static inline bool begin_tests(int *argc, char ***argv) {
    return comm_start(argc, argv, &world) == ST_OK && begin_scratch();
}

/* Also fails if a reader or writer, even a failed one, left an HDF5 object open. */
static inline int end_tests(int failed) {
    ssize_t left = H5Fget_obj_count((hid_t)H5F_OBJ_ALL, H5F_OBJ_ALL);
    if (left != 0) fprintf(stderr, "%d HDF5 objects are left open\n", (int)left);
    failed |= left != 0;
    failed |= !end_scratch();
    comm_stop(world);
    return failed;
}

#endif
