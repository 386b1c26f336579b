/* Stores: what was written is read back; an older store stays valid until a newer one is complete,
 * also on full or read-only disks. (Damage: test_store_faults.c. Ranks: test_store_ranks.py.) */
#include "tests/store_sample.h"

static int count_matching(const char *part) {
    char command[512];
    int n = -1;
    snprintf(command, sizeof command, "ls -A '%s/s' | grep -c -e '%s'", home, part);
    FILE *f = popen(command, "r");
    assert_int_equal(fscanf(f, "%d", &n), 1);
    pclose(f);
    return n;
}

/* ---- writing and reading ---- */

static void round_trip(void **state) {
    (void)state;
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, 5);
    json_t *provenance = json_pack("{s:s}", "from", "test");
    plan.provenance = provenance;
    assert_int_equal(write_plan(&plan), ST_OK);
    json_decref(provenance);
    assert_good(in_home("s"), 5);

    store *s = NULL;
    assert_int_equal(store_open(in_home("s"), &s), ST_OK);
    assert_int_equal(store_labels(s)->count, 3);
    assert_string_equal(store_labels(s)->name[2], "bone");
    assert_string_equal(store_manifest(s)->fingerprint, "f00d");
    json_t *kept = json_object_get(store_manifest(s)->detail, "provenance");
    assert_string_equal(json_string_value(json_object_get(kept, "from")), "test");
    /* 180 + 315 | 360 + 210 | 270 bytes of voxels: shards filled in order up to 600. */
    const int64_t shards[] = {0, 0, 1, 1, 2};
    for (int64_t i = 0; i < 5; i++) {
        store_entry e = entry(i);
        assert_int_equal(store_at(s, i)->shard, shards[i]);
        assert_memory_equal(&store_at(s, i)->space, &e.space, sizeof e.space);
    }
    int16_t hu[64];
    uint8_t labels[64];
    for (int64_t i = 4; i >= 0; i--)
        for (int64_t z = 0; z < entry(i).space.shape[0]; z++) {
            int64_t n = entry(i).space.shape[1] * entry(i).space.shape[2];
            assert_int_equal(store_read_slice(s, i, z, hu, NULL), ST_OK);
            assert_int_equal(store_read_slice(s, i, z, NULL, labels), ST_OK);
            for (int64_t k = 0; k < n; k++) {
                assert_int_equal(hu[k], hu_at(i, z * n + k));
                assert_int_equal(labels[k], label_at(i, z * n + k));
            }
        }
    assert_int_equal(store_read_slice(s, 0, 2, hu, labels), ST_INTERNAL);
    assert_int_equal(store_read_slice(s, 0, -1, hu, labels), ST_INTERNAL);
    store_close(s);
}

/* More shards than are kept open, read in alternating order. */
static void many_shards(void **state) {
    (void)state;
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, MANY);
    plan.shard_bytes = 1;
    assert_int_equal(write_plan(&plan), ST_OK);
    store *s = NULL;
    assert_int_equal(store_open(in_home("s"), &s), ST_OK);
    assert_int_equal(store_at(s, MANY - 1)->shard, MANY - 1);
    for (int64_t k = 0; k < 5 * MANY; k++) {
        volume v;
        assert_int_equal(store_read_volume(s, k * 5 % MANY, &v), ST_OK);
        assert_true(volume_is(&v, k * 5 % MANY));
        volume_free(&v);
    }
    store_close(s);
}

static void same_bytes(void **state) {
    (void)state;
    const char *names[] = {"shard-00000.h5", "shard-00001.h5", "index.h5", "manifest.json"};
    assert_int_equal(write_store(in_home("s"), 3), ST_OK);
    sleep(1); /* a time stamp of HDF5 counts seconds */
    assert_int_equal(write_store(in_home("t"), 3), ST_OK);
    for (int k = 0; k < 4; k++) {
        char path[PATH_SIZE], one[SHA256_HEX], two[SHA256_HEX];
        assert_int_equal(path_join(path, in_home("s"), names[k]), ST_OK);
        assert_int_equal(file_sha256(path, one), ST_OK);
        assert_int_equal(path_join(path, in_home("t"), names[k]), ST_OK);
        assert_int_equal(file_sha256(path, two), ST_OK);
        assert_string_equal(one, two);
    }
}

/* Volumes that turn out to be at fault while the store is written: their shard is left out with the
 * last of them, and the store is as good as any. */
static void some_are_left_out(void **state) {
    (void)state;
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, 5);
    store_writer *w = NULL;
    json_t *origin = json_pack("{s:i}", "series", 3);
    assert_int_equal(store_writer_open(world, &plan, &w), ST_OK);
    for (int64_t i = 0; i < 5; i++) {
        volume v = make_volume(i);
        if (i == 2 || i == 3) {
            assert_int_equal(store_writer_drop(w, i), ST_OK);
        } else {
            if (i == 4) {
                assert_int_equal(store_writer_unlabel(w, i), ST_OK);
                memset(v.labels, 0,
                       (size_t)(v.space.shape[0] * v.space.shape[1] * v.space.shape[2]));
            }
            assert_int_equal(store_writer_put(w, i, &v), ST_OK);
            assert_int_equal(store_writer_drop(w, i), ST_INTERNAL); /* too late */
        }
        volume_free(&v);
    }
    assert_int_equal(store_writer_describe(w, origin), ST_OK);
    json_decref(origin);
    assert_int_equal(store_writer_finish(w, ST_OK), ST_OK);
    assert_int_equal(count_matching("^shard"), 2);
    assert_int_equal(count_matching("tmp"), 0);
    assert_int_equal(store_verify(in_home("s")), ST_OK);
    store *s = NULL;
    assert_int_equal(store_open(in_home("s"), &s), ST_OK);
    assert_int_equal(store_count(s), 3);
    const int64_t number[] = {0, 1, 4}, shards[] = {0, 0, 1};
    for (int64_t i = 0; i < 3; i++) {
        volume v;
        assert_string_equal(store_at(s, i)->id, entries[number[i]].id);
        assert_int_equal(store_at(s, i)->shard, shards[i]);
        assert_int_equal(store_at(s, i)->unlabelled, number[i] == 4);
        assert_int_equal(store_read_volume(s, i, &v), ST_OK);
        if (i < 2)
            assert_true(volume_is(&v, number[i]));
        else
            assert_int_equal(v.hu[7], hu_at(4, 7));
        volume_free(&v);
    }
    json_t *kept = json_object_get(store_manifest(s)->detail, "provenance");
    assert_int_equal(json_integer_value(json_object_get(kept, "series")), 3);
    store_close(s);
}

static void empty_store(void **state) {
    (void)state;
    assert_int_equal(write_store(in_home("s"), 0), ST_OK);
    assert_good(in_home("s"), 0);
}

static void replaces(void **state) {
    (void)state;
    assert_int_equal(write_store(in_home("s"), 8), ST_OK);
    assert_int_equal(count_matching("^shard"), 5);
    assert_int_equal(write_store(in_home("s"), 2), ST_OK);
    assert_int_equal(count_matching("^shard"), 1);
    assert_good(in_home("s"), 2);

    /* A failure on any rank: the older store stays unchanged, no temporary file remains. */
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, 5);
    store_writer *w = NULL;
    assert_int_equal(store_writer_open(world, &plan, &w), ST_OK);
    volume v = make_volume(0);
    assert_int_equal(store_writer_put(w, 0, &v), ST_OK);
    volume_free(&v);
    assert_int_equal(count_matching("tmp"), 0);
    assert_good(in_home("s"), 2);
    assert_int_equal(store_writer_finish(w, status_fail(ST_STOPPED, "asked to stop")), ST_STOPPED);
    assert_string_equal(status_message(), "asked to stop");
    assert_int_equal(count_matching("tmp"), 0);
    assert_good(in_home("s"), 2);
}

/* What a killed run leaves is not accepted as a store, and the next run removes it. */
static void half_written(void **state) {
    (void)state;
    bool right;
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, 3);
    pid_t child = fork();
    if (child == 0) { /* ends at once, as by SIGKILL; no MPI call after the fork */
        store_writer *w = NULL;
        store_writer_open(world, &plan, &w);
        for (int64_t i = 0; i < 3; i++) {
            volume v = make_volume(i);
            store_writer_put(w, i, &v);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    assert_int_equal(count_matching("tmp"), 1);
    assert_int_equal(read_all(in_home("s"), &right), ST_INPUT);
    assert_says("manifest.json");
    assert_int_equal(write_store(in_home("s"), 1), ST_OK);
    assert_int_equal(count_matching("tmp"), 0);
    assert_good(in_home("s"), 1);
}

/* ---- what a writer refuses ---- */

static void refused_plans(void **state) {
    (void)state;
    store_entry entries[MANY];
    label_set odd = LABELS;
    store_writer *w = NULL;
    const char *names[] = {"", ".", "..", "../x", "a/b", "a b", "a\tb", "\xff", "a..b", "a\\b"};
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        store_plan plan = make_plan(in_home("s"), entries, 2);
        snprintf(entries[1].id, sizeof entries[1].id, "%s", names[k]);
        assert_int_equal(store_writer_open(world, &plan, &w), ST_INPUT);
        assert_null(w);
    }
    for (int k = 0; k < 11; k++) {
        store_plan plan = make_plan(in_home("s"), entries, 3);
        if (k == 0) memset(entries[1].id, 'x', VOLUME_ID); /* not terminated */
        if (k == 1) strcpy(entries[2].id, entries[0].id);
        if (k == 2) entries[1].contrast = 2;
        if (k == 3) entries[1].space.shape[0] = 0;
        if (k == 4) entries[1].space.shape[1] = INT64_MAX;
        if (k == 5) entries[1].space.spacing[2] = 0.0 / 0.0;
        if (k == 6) entries[1].space.spacing[0] = -1;
        if (k == 7) odd.count = 0, plan.labels = &odd;
        if (k == 8) odd.count = 3, strcpy(odd.name[0], "liver"), plan.labels = &odd;
        if (k == 9) entries[1].traits.kernel = KERNEL_CLASSES;
        if (k == 10) entries[1].traits.body = (body_part)-1;
        assert_int_equal(store_writer_open(world, &plan, &w), ST_INPUT);
    }
    assert_int_equal(file_write_atomic(in_home("s"), "in the way", 10), ST_OK);
    store_plan plan = make_plan(in_home("s"), entries, 2);
    assert_int_equal(store_writer_open(world, &plan, &w), ST_STORAGE);
    assert_says(in_home("s"));
}

static void refused_volumes(void **state) {
    (void)state;
    store_entry entries[MANY];
    store_plan plan = make_plan(in_home("s"), entries, 3);
    store_writer *w = NULL;
    volume v = make_volume(1);
    assert_int_equal(store_writer_open(world, &plan, &w), ST_OK);
    assert_int_equal(store_writer_put(w, 0, &v), ST_INTERNAL); /* another volume */
    v.traits.kernel = KERNEL_UNKNOWN;
    assert_int_equal(store_writer_put(w, 1, &v), ST_INTERNAL);
    v.traits = entries[1].traits;
    v.labels[3] = 3;
    assert_int_equal(store_writer_put(w, 1, &v), ST_INPUT);
    assert_says("p-001 has label value 3");
    v.labels[3] = 0;
    assert_int_equal(store_writer_put(w, 1, &v), ST_OK);
    assert_int_equal(store_writer_put(w, 1, &v), ST_INTERNAL); /* twice */
    assert_int_equal(store_writer_finish(w, ST_OK), ST_INTERNAL);
    assert_says("p-002 was never written");
    volume_free(&v);
    assert_int_equal(count_matching("."), 0);
}

/* ---- full and read-only disks ---- */

/* Writes a store of one volume: 48 KiB of noise. */
static status write_noise(const char *directory) {
    store_entry e = entry(0);
    uint64_t seed = 3;
    store_writer *w = NULL;
    e.space.shape[0] = 4;
    e.space.shape[1] = e.space.shape[2] = 64;
    store_plan plan = {.directory = directory,
                       .fingerprint = "big",
                       .labels = &LABELS,
                       .entries = &e,
                       .count = 1,
                       .shard_bytes = 1};
    status st = store_writer_open(world, &plan, &w);
    if (st != ST_OK) return st;
    volume v = {.space = e.space, .contrast = e.contrast, .traits = e.traits};
    snprintf(v.id, sizeof v.id, "%s", e.id);
    st = volume_alloc(&v);
    for (int64_t k = 0; st == ST_OK && k < voxels(&v.space); k++) v.hu[k] = (int16_t)some(&seed);
    if (st == ST_OK) st = store_writer_put(w, 0, &v);
    volume_free(&v);
    return store_writer_finish(w, st);
}

static int on_small_disk(const char *disk) {
    char directory[PATH_SIZE];
    bool right = false;
    snprintf(directory, sizeof directory, "%s/s", disk);
    if (!own_mounts()) return 77;
    /* Sizes at which the disk becomes full at different places: data, metadata, index, manifest. */
    for (int pages = 5; pages <= 20; pages++) {
        if (!mount_small(disk, pages * 4096)) return 77;
        if (write_store(directory, 1) == ST_OK) {
            status st = write_noise(directory);
            if (st != ST_OK && (st != ST_STORAGE || !strstr(status_message(), "No space left") ||
                                !strstr(status_message(), directory))) {
                fprintf(stderr, "%d pages: %d %s\n", pages, st, status_message());
                return 1;
            }
            if (st == ST_OK && pages < 12) return 2; /* too small for the data */
            if (st == ST_OK) {                       /* it fits: the store is complete */
                if (store_verify(directory) != ST_OK) return 3;
                umount2(disk, MNT_DETACH);
                break;
            }
            /* Shards are on disk before the older store is removed. So either that one is still
             * valid or, if the disk became full at the index or manifest, nothing is published. */
            st = read_all(directory, &right);
            if (!(st == ST_OK && right) && st != ST_INPUT) return 4;
            if (pages < 12 && st != ST_OK) return 5;
        } else if (!strstr(status_message(), "No space left")) {
            fprintf(stderr, "%d pages: %s\n", pages, status_message());
            return 6;
        }
        if (umount2(disk, MNT_DETACH) != 0) return 7;
        if (pages == 20) return 8; /* never succeeded */
    }
    if (!mount_small(disk, 1 << 20)) return 77;
    if (write_store(directory, 1) != ST_OK) return 9;
    if (!make_read_only(disk)) return 77;
    if (write_store(directory, 2) != ST_STORAGE || !strstr(status_message(), "Read-only") ||
        !strstr(status_message(), directory)) {
        fprintf(stderr, "%s\n", status_message());
        return 10;
    }
    if (read_all(directory, &right) != ST_OK || !right) return 11; /* reading needs no lock */
    return 0;
}

int main(int argc, char **argv) {
    if (!begin_tests(&argc, &argv)) return 1;
    if (argc > 2 && !strcmp(argv[1], "disk")) return end_tests(on_small_disk(argv[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(round_trip, clear),
        cmocka_unit_test_teardown(many_shards, clear),
        cmocka_unit_test_teardown(same_bytes, clear),
        cmocka_unit_test_teardown(some_are_left_out, clear),
        cmocka_unit_test_teardown(empty_store, clear),
        cmocka_unit_test_teardown(replaces, clear),
        cmocka_unit_test_teardown(half_written, clear),
        cmocka_unit_test_teardown(refused_plans, clear),
        cmocka_unit_test_teardown(refused_volumes, clear),
        cmocka_unit_test(full_and_read_only),
    };
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
