/* A damaged or forged store is refused with a message that names file and volume, whichever bit of
 * a shard changed and whatever content shard or manifest were given. */
#include "tests/store_sample.h"

#include <hdf5.h>

static void load(const char *path, char **data, int64_t *bytes) {
    assert_int_equal(file_read(path, 1 << 20, data, bytes), ST_OK);
}

/* Rewrites the manifest for the present files, as a forger would. detail NULL: that of `good`. */
static void seal_again(const manifest *good, json_t *detail) {
    manifest m = {.kind = "store", .fingerprint = "f00d"};
    m.detail = json_incref(detail ? detail : good->detail);
    for (int64_t k = 0; k < good->count; k++)
        assert_int_equal(manifest_add_file(&m, in_home("s"), good->files[k].name), ST_OK);
    assert_int_equal(manifest_write(&m, in_home("s")), ST_OK);
    manifest_free(&m);
}

#define SHARD "s/shard-00000.h5"

/* Writes a store of one volume in one shard, and reads its manifest. */
static void small_store(manifest *m) {
    assert_int_equal(write_store(in_home("s"), 1), ST_OK);
    assert_int_equal(manifest_read(in_home("s"), "store", m), ST_OK);
}

static void flipped_bits(void **state) {
    (void)state;
    manifest m;
    char *data, *path = strdup(in_home(SHARD));
    int64_t bytes;
    bool right;
    uint64_t seed = 1;
    small_store(&m);
    load(path, &data, &bytes);
    for (int k = 0; k < 200; k++) {
        int64_t at = (int64_t)((bytes * k + some(&seed) % bytes) / 200);
        int bit = 1 << some(&seed) % 8;
        data[at] ^= bit;
        put_file(path, data, bytes);
        assert_int_equal(read_all(in_home("s"), &right), ST_INTEGRITY);
        assert_says("shard-00000.h5");
        data[at] ^= bit;
    }
    free(data);
    free(path);
    manifest_free(&m);
}

/* The same with a matching SHA-256: HDF5's own checksums detect the change, or it was not in the
 * data. */
static void flipped_bits_sealed(void **state) {
    (void)state;
    manifest m;
    char *data, *path = strdup(in_home(SHARD));
    int64_t bytes;
    uint64_t seed = 2;
    int refused = 0, chunks = 0;
    small_store(&m);
    load(path, &data, &bytes);
    for (int k = 0; k < 250; k++) {
        bool right = true;
        int64_t at = (int64_t)((bytes * k + some(&seed) % bytes) / 250);
        int bit = 1 << some(&seed) % 8;
        data[at] ^= bit;
        put_file(path, data, bytes);
        seal_again(&m, NULL);
        status st = read_all(in_home("s"), &right);
        if (!(st == ST_INTEGRITY || (st == ST_OK && right)))
            fail_msg("byte %d: status %d, right %d", (int)at, st, right);
        refused += st == ST_INTEGRITY;
        if (st != ST_OK) chunks += strstr(status_message(), "volume p-000: cannot read") != NULL;
        data[at] ^= bit;
    }
    assert_true(refused > 60);
    assert_true(chunks > 0); /* found by Fletcher32, with the volume named */
    free(data);
    free(path);
    manifest_free(&m);
}

static void truncated(void **state) {
    (void)state;
    manifest m;
    char *data, *path = strdup(in_home(SHARD));
    int64_t bytes;
    bool right;
    small_store(&m);
    load(path, &data, &bytes);
    for (int64_t n = 0; n < bytes; n += bytes / 37) {
        put_file(path, data, n);
        assert_int_equal(read_all(in_home("s"), &right), ST_INTEGRITY);
        assert_says("shard-00000.h5");
        seal_again(&m, NULL);
        assert_int_equal(read_all(in_home("s"), &right), ST_INTEGRITY);
        assert_says("shard-00000.h5");
    }
    assert_int_equal(file_remove_tree(path), ST_OK);
    assert_int_equal(read_all(in_home("s"), &right), ST_INTEGRITY);
    assert_says("shard-00000.h5");
    free(data);
    free(path);
    manifest_free(&m);
}

/* Writes a forged raw chunk; returns what the message of the refusal must contain. */
static const char *forge_chunk(int kind, hid_t group, hid_t creation, hid_t space) {
    static uint8_t raw[1 << 12];
    const hsize_t first[] = {0, 0, 0};
    const char *says = "its size in the file is wrong";
    uint32_t left_out = 0;
    hsize_t size = 0;
    hid_t dataset = H5Dopen2(group, "ct", H5P_DEFAULT);
    H5Dget_chunk_storage_size(dataset, first, &size);
    H5Dread_chunk(dataset, H5P_DEFAULT, first, &left_out, raw);
    switch (kind) {
    case 10: /* the checksum, not the data */
        raw[size - 1] ^= 1;
        says = "cannot read slice 0: its Fletcher32 checksum is wrong";
        break;
    case 11:
        left_out = 2;
        size++; /* HDF5 ignores the filter mask of a chunk whose size does not change */
        says = "stored without its filters";
        break;
    case 12:
        size = sizeof raw;
        break;
    case 13:
        size = 3;
        break;
    case 14: /* the checksum of zeros is zero */
        memset(raw, 0, sizeof raw);
        says = "its compressed data are damaged";
        break;
    case 15:
        H5Dclose(dataset);
        H5Ldelete(group, "ct", H5P_DEFAULT);
        dataset = H5Dcreate2(group, "ct", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
        says = "it was never written";
        break;
    }
    if (kind != 15)
        assert_true(H5Dwrite_chunk(dataset, H5P_DEFAULT, left_out, first, size, raw) >= 0);
    H5Dclose(dataset);
    return says;
}

/* Changes a valid shard by plain HDF5 calls; returns what the message of the refusal must contain.
 */
/* Replaces an attribute. */
static void put_number(hid_t group, const char *name, int value) {
    hid_t space = H5Screate(H5S_SCALAR);
    H5Adelete(group, name);
    hid_t at = H5Acreate2(group, name, H5T_STD_I32LE, space, H5P_DEFAULT, H5P_DEFAULT);
    assert_true(H5Awrite(at, H5T_NATIVE_INT, &value) >= 0);
    H5Aclose(at);
    H5Sclose(space);
}

static const char *forge(int kind, hid_t file) {
    hid_t group = H5Gopen2(file, "/volumes/p-000", H5P_DEFAULT);
    hid_t creation = H5Pcreate(H5P_DATASET_CREATE), space, dataset = -1;
    const hsize_t shape[] = {2, 6, 5}, chunk[] = {1, 6, 5}, other[] = {2, 6, 6};
    const char *says = "";
    double spacing[3] = {1.5, 0.957, 0.2};
    uint8_t labels[60] = {0};
    H5Pset_chunk(creation, 3, chunk);
    if (kind != 5) H5Pset_shuffle(creation);
    H5Pset_deflate(creation, 4);
    H5Pset_fletcher32(creation);
    space = H5Screate_simple(3, kind == 3 ? other : shape, NULL);
    switch (kind) {
    case 0:
        H5Lcreate_external("elsewhere.h5", "/x", group, "more", H5P_DEFAULT, H5P_DEFAULT);
        says = "\"volumes/p-000/more\" is a soft or external link";
        break;
    case 1:
        H5Ldelete(group, "ct", H5P_DEFAULT);
        H5Lcreate_soft("/volumes/p-000/labels", group, "ct", H5P_DEFAULT, H5P_DEFAULT);
        says = "\"volumes/p-000/ct\" is a soft or external link";
        break;
    case 2:
        dataset = H5Aopen(group, "spacing", H5P_DEFAULT);
        H5Awrite(dataset, H5T_NATIVE_DOUBLE, spacing);
        H5Aclose(dataset);
        dataset = -1;
        says = "attributes are not those";
        break;
    case 3: /* shape */
        says = "another shape";
        /* fall through */
    case 4: /* type */
        if (kind == 4) says = "another type";
        /* fall through */
    case 5: /* filters */
        if (kind == 5) says = "another layout or filter";
        H5Ldelete(group, "ct", H5P_DEFAULT);
        dataset = H5Dcreate2(group, "ct", kind == 4 ? H5T_STD_U16LE : H5T_STD_I16LE, space,
                             H5P_DEFAULT, creation, H5P_DEFAULT);
        break;
    case 6: /* voxels in another file */
        H5Ldelete(group, "ct", H5P_DEFAULT);
        H5Pclose(creation);
        creation = H5Pcreate(H5P_DATASET_CREATE);
        H5Pset_external(creation, "/etc/passwd", 0, 120);
        dataset = H5Dcreate2(group, "ct", H5T_STD_I16LE, space, H5P_DEFAULT, creation, H5P_DEFAULT);
        says = "another layout or filter";
        break;
    case 7:
        labels[7] = 200;
        dataset = H5Dopen2(group, "labels", H5P_DEFAULT);
        H5Dwrite(dataset, H5T_NATIVE_UCHAR, H5S_ALL, H5S_ALL, H5P_DEFAULT, labels);
        says = "label value 200";
        break;
    case 8:
        H5Ldelete(group, "labels", H5P_DEFAULT);
        says = "cannot open a dataset";
        break;
    case 9: /* a group that contains itself: links are visited once */
        H5Lcreate_hard(file, "/", group, "loop", H5P_DEFAULT, H5P_DEFAULT);
        H5Adelete(group, "contrast");
        says = "cannot find an attribute";
        break;
    case 16: /* labelled in the manifest */
    case 17:
        put_number(group, "labelled", kind == 16 ? 0 : 7);
        says = "its attributes are not those in the manifest";
        break;
    case 18: /* known in the manifest */
        H5Adelete(group, "kernel");
        says = "its attributes are not those in the manifest";
        break;
    case 19:
    case 20:
        put_number(group, kind == 19 ? "kernel" : "body", 2);
        says = "its attributes are not those in the manifest";
        break;
    default:
        says = forge_chunk(kind, group, creation, space);
    }
    if (dataset >= 0) H5Dclose(dataset);
    H5Sclose(space);
    H5Pclose(creation);
    H5Gclose(group);
    return says;
}

static void forged_shards(void **state) {
    (void)state;
    manifest m;
    bool right;
    for (int kind = 0; kind < 21; kind++) {
        small_store(&m);
        hid_t file = H5Fopen(in_home(SHARD), H5F_ACC_RDWR, H5P_DEFAULT);
        assert_true(file >= 0);
        const char *says = forge(kind, file);
        assert_true(H5Fclose(file) >= 0);
        seal_again(&m, NULL);
        manifest_free(&m);
        if (read_all(in_home("s"), &right) != ST_INTEGRITY) fail_msg("kind %d was read", kind);
        assert_says(says);
        assert_says("shard-00000.h5");
        assert_int_equal(store_verify(in_home("s")), ST_INTEGRITY);
    }
}

static void forged_manifests(void **state) {
    (void)state;
    manifest m;
    store *s = NULL;
    small_store(&m);
    for (int kind = 0; kind < 18; kind++) {
        json_t *d = json_deep_copy(m.detail);
        json_t *v = json_array_get(json_object_get(d, "volumes"), 0);
        json_t *labels = json_object_get(d, "labels");
        json_t *shape = json_object_get(v, "shape");
        switch (kind) {
        case 0:
            json_object_set_new(v, "id", json_string("../p-000"));
            break;
        case 1:
            json_object_set_new(v, "shard", json_integer(1));
            break;
        case 2:
            json_object_set_new(v, "shard", json_integer(INT64_MIN));
            break;
        case 3:
            json_array_set_new(shape, 0, json_integer(INT64_MAX));
            break;
        case 4:
            json_array_append_new(shape, json_integer(1));
            break;
        case 5:
            json_array_append(json_object_get(d, "volumes"), v);
            break;
        case 6:
            json_object_set_new(v, "origin", json_string("here"));
            break;
        case 7:
            json_object_del(d, "labels");
            break;
        case 8:
            while (json_array_size(labels) <= LABELS_MAX)
                json_array_append_new(labels, json_string("x"));
            break;
        case 9:
            json_object_set_new(v, "spacing", json_pack("[i, i, i]", 1, 0, 1));
            break;
        case 10:
            json_object_del(d, "volumes");
            break;
        case 11:
            json_object_set_new(v, "contrast", json_integer(7));
            break;
        case 12:
            json_object_set_new(v, "labelled", json_integer(1));
            break;
        case 13:
            json_object_set_new(v, "labelled", json_null());
            break;
        case 14:
            json_object_set_new(v, "kernel", json_string("SOFT"));
            break;
        case 15:
            json_object_set_new(v, "kernel", json_integer(1));
            break;
        case 16:
            json_object_set_new(v, "body", json_null());
            break;
        case 17:
            json_object_set_new(v, "body", json_string("soft"));
            break;
        }
        seal_again(&m, d);
        json_decref(d);
        if (store_open(in_home("s"), &s) != ST_INTEGRITY) fail_msg("kind %d opened", kind);
        assert_null(s);
        assert_says(home);
    }
    /* Plausible, but the file has another shape: found before memory is allocated for it. */
    json_t *d = json_deep_copy(m.detail);
    json_t *v = json_array_get(json_object_get(d, "volumes"), 0);
    json_array_set_new(json_object_get(v, "shape"), 0, json_integer(INT64_C(1) << 34));
    seal_again(&m, d);
    json_decref(d);
    volume out;
    assert_int_equal(store_open(in_home("s"), &s), ST_OK);
    assert_int_equal(store_read_volume(s, 0, &out), ST_INTEGRITY);
    assert_says("another shape");
    store_close(s);
    manifest_free(&m);
}

/* The flag says in the manifest and in the file that a volume has no labels, but it has some; or it
 * is in neither, as in a store of an earlier version. */
static void forged_flags(void **state) {
    (void)state;
    manifest m;
    bool right;
    for (int kind = 0; kind < 2; kind++) {
        small_store(&m);
        hid_t file = H5Fopen(in_home(SHARD), H5F_ACC_RDWR, H5P_DEFAULT);
        json_t *d = json_deep_copy(m.detail), *volumes = json_object_get(d, "volumes");
        for (size_t i = 0; i < json_array_size(volumes); i++) {
            json_t *v = json_array_get(volumes, i);
            char name[VOLUME_ID + 16];
            snprintf(name, sizeof name, "/volumes/%s", json_string_value(json_object_get(v, "id")));
            hid_t group = H5Gopen2(file, name, H5P_DEFAULT);
            if (group < 0) continue; /* in another shard */
            if (kind == 0) {
                put_number(group, "labelled", 0);
                json_object_set_new(v, "labelled", json_false());
            } else {
                H5Adelete(group, "labelled");
                json_object_del(v, "labelled");
            }
            H5Gclose(group);
        }
        assert_true(H5Fclose(file) >= 0);
        seal_again(&m, d);
        json_decref(d);
        manifest_free(&m);
        if (kind == 0) {
            assert_int_equal(read_all(in_home("s"), &right), ST_INTEGRITY);
            assert_says("counts as unlabelled");
        } else {
            assert_int_equal(read_all(in_home("s"), &right), ST_OK);
            assert_true(right);
        }
    }
}

int main(int argc, char **argv) {
    if (!begin_tests(&argc, &argv)) return 1;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(flipped_bits, clear),
        cmocka_unit_test_teardown(flipped_bits_sealed, clear),
        cmocka_unit_test_teardown(truncated, clear),
        cmocka_unit_test_teardown(forged_shards, clear),
        cmocka_unit_test_teardown(forged_manifests, clear),
        cmocka_unit_test_teardown(forged_flags, clear),
    };
    return end_tests(cmocka_run_group_tests(tests, NULL, NULL));
}
