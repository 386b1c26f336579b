/* Manifests: what was published can be read back; broken, changed and forged ones are refused. */
#include "io/manifest.h"
#include "tests/scratch.h"

/* A directory of two files, published. */
static int publish(void **state) {
    (void)state;
    manifest m = {.kind = "store", .fingerprint = "f00d"};
    m.detail = json_pack("{s:f, s:s}", "spacing", 0.957, "site", "M\xc3\xbcnster");
    assert_int_equal(file_write_atomic(in_home("b.h5"), "bbb", 3), ST_OK);
    assert_int_equal(file_write_atomic(in_home("a.h5"), "", 0), ST_OK);
    assert_int_equal(manifest_add_file(&m, home, "b.h5"), ST_OK);
    assert_int_equal(manifest_add_file(&m, home, "a.h5"), ST_OK);
    assert_int_equal(manifest_write(&m, home), ST_OK);
    manifest_free(&m);
    return 0;
}

static status read_status(void) {
    manifest m;
    status st = manifest_read(home, "store", &m);
    manifest_free(&m);
    return st;
}

static void round_trip(void **state) {
    (void)state;
    manifest m;
    char hex[SHA256_HEX];
    assert_int_equal(manifest_read(home, "store", &m), ST_OK);
    assert_string_equal(m.kind, "store");
    assert_string_equal(m.fingerprint, "f00d");
    assert_int_equal(m.version, 1);
    assert_int_equal(m.count, 2);
    assert_string_equal(m.files[0].name, "a.h5");
    assert_string_equal(m.files[1].name, "b.h5");
    assert_int_equal(m.files[1].bytes, 3);
    assert_int_equal(bytes_sha256("bbb", 3, hex), ST_OK);
    assert_string_equal(m.files[1].sha256, hex);
    assert_true(json_number_value(json_object_get(m.detail, "spacing")) == 0.957);
    assert_int_equal(manifest_check_file(&m, home, 0), ST_OK);
    assert_int_equal(manifest_check_file(&m, home, 1), ST_OK);
    manifest_free(&m);
}

static void no_detail_no_files(void **state) {
    (void)state;
    manifest m = {.kind = "report"};
    assert_int_equal(manifest_write(&m, home), ST_OK);
    assert_int_equal(manifest_read(home, NULL, &m), ST_OK);
    assert_null(m.detail);
    assert_int_equal(m.count, 0);
    manifest_free(&m);
}

/* A manifest of a later schema is recognised whatever else is in it; damage is not taken for one.
 */
static void newer_schemas_are_refused(void **state) {
    (void)state;
    manifest m;
    const char *path = in_home("manifest.json"), *later = "{\"version\": 7, \"shards\": {}}";
    assert_int_equal(manifest_refuse_newer(home), ST_OK);
    assert_int_equal(manifest_refuse_newer(in_home("none")), ST_OK);
    put_file(path, later, (int64_t)strlen(later));
    assert_int_equal(manifest_refuse_newer(home), ST_INTEGRITY);
    assert_says("newer version of ctaug (schema 7");
    put_file(path, later, 12);
    assert_int_equal(manifest_refuse_newer(home), ST_OK);
    assert_int_equal(manifest_read(home, NULL, &m), ST_INTEGRITY);
}

static void links_are_refused(void **state) {
    (void)state;
    manifest m;
    assert_int_equal(rename(in_home("a.h5"), in_home("elsewhere")), 0);
    assert_int_equal(symlink("elsewhere", in_home("a.h5")), 0);
    assert_int_equal(manifest_read(home, NULL, &m), ST_INTEGRITY);
    assert_says("a.h5 is a symbolic link");
}

static void wrong_place(void **state) {
    (void)state;
    manifest m;
    assert_int_equal(manifest_read(in_home("none"), "store", &m), ST_INPUT);
    assert_says("none");
    assert_int_equal(manifest_read(home, "checkpoint", &m), ST_INPUT);
    assert_says("holds a store, not a checkpoint");
    assert_int_equal(manifest_add_file(&m, home, "../b.h5"), ST_INTERNAL);
    assert_int_equal(manifest_add_file(&m, home, "none.h5"), ST_INPUT);
}

static void damaged_files(void **state) {
    (void)state;
    manifest m;
    assert_int_equal(file_write_atomic(in_home("b.h5"), "bbbb", 4), ST_OK);
    assert_int_equal(read_status(), ST_INTEGRITY);
    assert_says("b.h5: 4 bytes, but 3");
    assert_int_equal(file_write_atomic(in_home("b.h5"), "bbc", 3), ST_OK);
    assert_int_equal(manifest_read(home, "store", &m), ST_OK); /* sizes agree */
    assert_int_equal(manifest_check_file(&m, home, 1), ST_INTEGRITY);
    assert_says("b.h5: damaged");
    assert_int_equal(file_remove_tree(in_home("b.h5")), ST_OK);
    assert_int_equal(manifest_check_file(&m, home, 1), ST_INTEGRITY);
    assert_int_equal(read_status(), ST_INTEGRITY);
    assert_says("b.h5");
    manifest_free(&m);
}

/* A manifest with any changed bit is refused, also where the value stays the same: the last digit
 * of 0.95699999999999996 may be 7. */
static void flipped_bytes(void **state) {
    (void)state;
    char *text = NULL;
    int64_t bytes = 0;
    assert_int_equal(file_read(in_home("manifest.json"), 1 << 20, &text, &bytes), ST_OK);
    for (int64_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            text[i] ^= 1 << bit;
            put_file(in_home("manifest.json"), text, bytes);
            status st = read_status();
            if (st != ST_INTEGRITY) fail_msg("byte %d bit %d: status %d", (int)i, bit, st);
            text[i] ^= 1 << bit;
        }
    }
    free(text);
}

static void truncated(void **state) {
    (void)state;
    char *text = NULL;
    int64_t bytes = 0;
    assert_int_equal(file_read(in_home("manifest.json"), 1 << 20, &text, &bytes), ST_OK);
    for (int64_t n = 0; n < bytes; n++) {
        put_file(in_home("manifest.json"), text, n);
        assert_int_equal(read_status(), ST_INTEGRITY);
    }
    free(text);
}

#define HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define FILE_OF(name) "{\"name\": \"" name "\", \"bytes\": 0, \"sha256\": \"" HASH "\"}"
#define WITH(version, files)                                                                       \
    "{\"kind\": \"store\", \"version\": " version ", \"fingerprint\": \"f\", \"files\": [" files   \
    "], \"seal\": \"" HASH "\"}"

static void hostile(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } cases[] = {
        {"[]", "not a manifest"},
        {"", "broken JSON"},
        {"{\"kind\": \"store\", \"kind\": \"store\"}", "duplicate"},
        {WITH("2", ""), "version 2"},
        {WITH("1", FILE_OF("../b.h5")), "\"../b.h5\" is no plain"},
        {WITH("1", FILE_OF("/etc/passwd")), "\"/etc/passwd\" is no plain"},
        {WITH("1", FILE_OF("..")), "is no plain"},
        {WITH("1", FILE_OF("")), "is no plain"},
        {WITH("1", FILE_OF("a\\nb")), "is no plain"},
        {WITH("1", FILE_OF("manifest.json")), "is no plain"},
        {WITH("1", FILE_OF("b.h5") "," FILE_OF("a.h5")), "ascending"},
        {WITH("1", FILE_OF("a.h5") "," FILE_OF("a.h5")), "ascending"},
        {WITH("1", "{\"name\": \"a.h5\", \"bytes\": -1, \"sha256\": \"" HASH "\"}"), "bad size"},
        {WITH("1", "{\"name\": \"a.h5\", \"bytes\": 0, \"sha256\": \"zz\"}"), "bad size"},
        {WITH("1", "{\"name\": \"a.h5\", \"bytes\": 1e3, \"sha256\": \"\"}"), "broken entry"},
        {WITH("1", "7"), "broken entry"},
        {WITH("1", FILE_OF("a.h5")), "changed after it was written"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_file(in_home("manifest.json"), cases[i].text, strlen(cases[i].text));
        assert_int_equal(read_status(), ST_INTEGRITY);
        assert_says(cases[i].says);
        assert_says("manifest.json");
    }
}

int main(void) {
    if (!begin_scratch()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(round_trip, publish),
        cmocka_unit_test_setup(no_detail_no_files, publish),
        cmocka_unit_test_setup(newer_schemas_are_refused, publish),
        cmocka_unit_test_setup(links_are_refused, publish),
        cmocka_unit_test_setup(wrong_place, publish),
        cmocka_unit_test_setup(damaged_files, publish),
        cmocka_unit_test_setup(flipped_bytes, publish),
        cmocka_unit_test_setup(truncated, publish),
        cmocka_unit_test_setup(hostile, publish),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
