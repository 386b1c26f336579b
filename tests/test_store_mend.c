/* Mending a store: damaged files get the bytes that the manifest vouches for, or stay as they are.
 * Parts: what an unfinished writer left is taken again, unless it was changed. (Whole runs:
 * test_repair.py, test_ingest_stop.py.) */
#include "tests/store_sample.h"

enum { VOLUMES = 7, FILES = 6 };

static const char *const files[FILES] = {"shard-00000.h5", "shard-00001.h5", "shard-00002.h5",
                                         "shard-00003.h5", "index.h5",       "manifest.json"};

typedef struct hashes {
    char of[FILES][SHA256_HEX];
} hashes;

static const char *in_store(const char *name) {
    char path[64];
    snprintf(path, sizeof path, "s/%s", name);
    return in_home(path);
}

/* "" for a file that is missing. */
static hashes hash_all(void) {
    hashes h = {0};
    for (int i = 0; i < FILES; i++)
        if (file_exists(in_store(files[i]))) assert_ok(file_sha256(in_store(files[i]), h.of[i]));
    return h;
}

static hashes write_sample(void) {
    assert_ok(write_store(in_home("s"), VOLUMES));
    assert_false(file_exists(in_store("shard-00004.h5")));
    return hash_all();
}

/* Mends; volume `other` gets one other voxel (-1: none). */
static status mend(int64_t other, int64_t *damaged, int64_t *made) {
    store_writer *w = NULL;
    status st = store_mend_open(world, in_home("s"), "f00d", &w, damaged);
    *made = 0;
    if (st != ST_OK) return st;
    assert_int_equal(store_writer_count(w), VOLUMES);
    for (int64_t i = 0; i < VOLUMES && st == ST_OK; i++) {
        if (!store_writer_is_mine(w, i)) continue;
        volume v = make_volume(i);
        assert_string_equal(store_writer_at(w, i)->id, v.id);
        if (i == other) v.hu[3]++;
        st = store_writer_put(w, i, &v);
        ++*made;
        volume_free(&v);
    }
    return store_mend_finish(w, st);
}

static void assert_no_temporaries(void) {
    char command[PATH_SIZE];
    snprintf(command, sizeof command, "! ls '%s' | grep -q tmp", in_home("s"));
    assert_int_equal(system(command), 0);
}

static void damaged_files_become_what_they_were(void **state) {
    (void)state;
    int64_t damaged, made;
    const hashes whole = write_sample();
    assert_ok(mend(-1, &damaged, &made));
    assert_int_equal(damaged, 0);
    assert_int_equal(made, 0);
    for (int i = 0; i < FILES - 1; i++) {
        flip_bit(in_store(files[i]), 100);
        assert_int_equal(unlink(in_store(files[(i + 1) % (FILES - 1)])), 0);
        assert_ok(mend(-1, &damaged, &made));
        assert_int_equal(damaged, 2);
        const hashes now = hash_all();
        assert_memory_equal(&now, &whole, sizeof now);
        assert_no_temporaries();
        assert_good(in_home("s"), VOLUMES);
    }
}

static void another_shard_is_not_put_in_its_place(void **state) {
    (void)state;
    int64_t damaged, made;
    const hashes whole = write_sample();
    flip_bit(in_store(files[0]), 100);
    flip_bit(in_store(files[2]), 100);
    const hashes before = hash_all();
    store *s = NULL;
    assert_ok(store_open(in_home("s"), &s));
    int64_t other = 0;
    while (store_at(s, other)->shard != 2) other++;
    store_close(s);
    assert_int_equal(mend(other, &damaged, &made), ST_INTEGRITY);
    assert_says("shard-00002.h5: made again, it is not what it was");
    const hashes now = hash_all();
    assert_string_equal(now.of[0], whole.of[0]);
    assert_string_equal(now.of[2], before.of[2]);
    assert_no_temporaries();
    assert_ok(mend(-1, &damaged, &made));
    assert_int_equal(damaged, 1);
    assert_good(in_home("s"), VOLUMES);
}

static void what_cannot_be_mended_is_left(void **state) {
    (void)state;
    int64_t damaged;
    store_writer *w = NULL;
    write_sample();
    flip_bit(in_store(files[1]), 100);
    hashes before = hash_all();
    /* A volume that could not be read. */
    assert_ok(store_mend_open(world, in_home("s"), "f00d", &w, &damaged));
    assert_int_equal(store_mend_finish(w, status_fail(ST_INPUT, "unreadable")), ST_INPUT);
    assert_string_equal(status_message(), "unreadable");
    /* Volumes that are missing. */
    assert_ok(store_mend_open(world, in_home("s"), "f00d", &w, &damaged));
    assert_int_equal(store_mend_finish(w, ST_OK), ST_INTERNAL);
    assert_int_equal(store_mend_open(world, in_home("s"), "beef", &w, &damaged), ST_INPUT);
    assert_null(w);
    hashes now = hash_all();
    assert_memory_equal(&now, &before, sizeof now);
    flip_bit(in_store("manifest.json"), 30);
    assert_int_equal(store_mend_open(world, in_home("s"), "f00d", &w, &damaged), ST_INTEGRITY);
    assert_null(w);
    assert_no_temporaries();
}

/* ---- parts ---- */

/* Writes the store s with parts in t; the first `given` volumes are put, of the others those taken
 * are counted, or put. `end`: what the writer ends with. */
static int64_t write_with_parts(const char *fingerprint, int64_t given, status end) {
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, VOLUMES);
    store_writer *w = NULL;
    int64_t count = 0;
    plan.parts = in_home("t");
    plan.fingerprint = fingerprint;
    assert_ok(store_writer_open(world, &plan, &w));
    for (int64_t i = 0; i < (end == ST_OK ? VOLUMES : given); i++) {
        bool taken = false;
        if (end == ST_OK) assert_ok(store_writer_take(w, i, &taken));
        count += taken;
        if (taken) continue;
        volume v = make_volume(i);
        if (i == 1) { /* an unlabelled one */
            memset(v.labels, 0, (size_t)voxels(&v.space));
            assert_ok(store_writer_unlabel(w, i));
        }
        assert_ok(store_writer_put(w, i, &v));
        volume_free(&v);
    }
    assert_int_equal(store_writer_finish(w, end), end);
    return count;
}

static void parts_are_taken_again(void **state) {
    (void)state;
    write_with_parts("f00d", 0, ST_OK);
    const hashes whole = hash_all();
    for (int64_t given = 0; given <= VOLUMES; given++) {
        assert_ok(file_remove_tree(in_home("s")));
        write_with_parts("f00d", given, ST_STOPPED);
        assert_true(file_exists(in_home("t")));
        assert_int_equal(write_with_parts("f00d", 0, ST_OK), given);
        const hashes now = hash_all();
        assert_memory_equal(&now, &whole, sizeof now);
        assert_false(file_exists(in_home("t")));
    }
}

static void changed_parts_are_not_taken(void **state) {
    (void)state;
    write_with_parts("f00d", 0, ST_OK);
    const hashes whole = hash_all();
    write_with_parts("f00d", 4, ST_STOPPED);
    flip_bit(in_home("t/volume-00000000"), 150);
    assert_int_equal(truncate(in_home("t/volume-00000002"), 40), 0);
    assert_int_equal(write_with_parts("f00d", 0, ST_OK), 2);
    const hashes now = hash_all();
    assert_memory_equal(&now, &whole, sizeof now);
    write_with_parts("f00d", 4, ST_STOPPED);
    assert_int_equal(write_with_parts("beef", 0, ST_OK), 0);
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(damaged_files_become_what_they_were, clear),
        cmocka_unit_test_teardown(another_shard_is_not_put_in_its_place, clear),
        cmocka_unit_test_teardown(what_cannot_be_mended_is_left, clear),
        cmocka_unit_test_teardown(parts_are_taken_again, clear),
        cmocka_unit_test_teardown(changed_parts_are_not_taken, clear),
    };
    if (!begin_tests(&argc, &argv)) return 1;
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
