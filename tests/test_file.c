/* Files are written completely or not at all; every failure names path and reason. */
#include "tests/scratch.h"

#include <sys/stat.h>

static void assert_content(const char *path, const char *want) {
    char *data = NULL;
    int64_t bytes = 0;
    assert_int_equal(file_read(path, 1 << 20, &data, &bytes), ST_OK);
    assert_int_equal(bytes, strlen(want));
    assert_string_equal(data, want); /* also: a 0 byte follows */
    free(data);
}

static void joins(void **state) {
    (void)state;
    char out[PATH_SIZE], longest[PATH_SIZE] = "";
    assert_int_equal(path_join(out, "a", "b"), ST_OK);
    assert_string_equal(out, "a/b");
    assert_int_equal(path_join(out, "/", "b"), ST_OK);
    assert_string_equal(out, "/b");
    memset(longest, 'x', PATH_SIZE - 3);
    assert_int_equal(path_join(out, "a", longest), ST_OK);
    assert_int_equal(strlen(out), PATH_SIZE - 1);
    assert_int_equal(path_join(out, "ab", longest), ST_USAGE);
    assert_says("xxxx");
}

static void directories(void **state) {
    (void)state;
    assert_int_equal(file_make_dirs(in_home("a/b//c/")), ST_OK);
    assert_int_equal(file_make_dirs(in_home("a/b/c")), ST_OK);
    assert_true(file_exists(in_home("a/b/c")));
    assert_int_equal(file_write_atomic(in_home("a/plain"), "x", 1), ST_OK);
    assert_int_equal(file_make_dirs(in_home("a/plain/d")), ST_STORAGE);
    assert_says("a/plain");
    assert_says("File exists");
    assert_int_equal(file_make_dirs("/proc/nothing/here"), ST_STORAGE);
    assert_says("/proc/nothing");
}

static void writes(void **state) {
    (void)state;
    const char *path = in_home("w");
    assert_int_equal(file_write_atomic(path, "first", 5), ST_OK);
    assert_content(path, "first");
    assert_int_equal(file_write_atomic(path, "", 0), ST_OK);
    assert_content(path, "");
    assert_int_equal(file_write_atomic(in_home("no/w"), "x", 1), ST_STORAGE);
    assert_says("no/w");
    assert_says("No such file");
}

static void publishes(void **state) {
    (void)state;
    assert_int_equal(file_write_atomic(in_home("new"), "old text", 8), ST_OK);
    assert_int_equal(file_write_atomic(in_home("new.tmp.1"), "text", 4), ST_OK);
    assert_int_equal(file_publish(in_home("new.tmp.1"), in_home("new")), ST_OK);
    assert_content(in_home("new"), "text");
    assert_false(file_exists(in_home("new.tmp.1")));
    assert_int_equal(file_publish(in_home("new.tmp.1"), in_home("new")), ST_STORAGE);
    assert_says("new.tmp.1");
    assert_content(in_home("new"), "text");
}

static void cleans_up(void **state) {
    (void)state;
    char other[PATH_SIZE];
    assert_int_equal(file_make_dirs(in_home("t/step.tmp.77/deep")), ST_OK);
    assert_int_equal(file_make_dirs(in_home("kept/deep")), ST_OK);
    assert_int_equal(file_write_atomic(in_home("kept/deep/file"), "k", 1), ST_OK);
    assert_int_equal(file_write_atomic(in_home("t/good"), "g", 1), ST_OK);
    assert_int_equal(file_write_atomic(in_home("t/x.h5.tmp.3"), "x", 1), ST_OK);
    /* A link inside a removed tree: the link is removed, its target stays. */
    snprintf(other, sizeof other, "%s", in_home("kept"));
    assert_int_equal(symlink(other, in_home("t/step.tmp.77/deep/link")), 0);
    assert_int_equal(symlink(other, in_home("t/link.tmp.1")), 0);
    assert_int_equal(file_remove_temporaries(in_home("t")), ST_OK);
    assert_false(file_exists(in_home("t/step.tmp.77")));
    assert_false(file_exists(in_home("t/x.h5.tmp.3")));
    assert_false(file_exists(in_home("t/link.tmp.1")));
    assert_content(in_home("t/good"), "g");
    assert_content(in_home("kept/deep/file"), "k");

    assert_int_equal(file_remove_tree(in_home("kept")), ST_OK);
    assert_false(file_exists(in_home("kept")));
    assert_int_equal(file_remove_tree(in_home("kept")), ST_OK);
    assert_int_equal(file_remove_temporaries(in_home("kept")), ST_OK);
    assert_int_equal(file_remove_temporaries(in_home("t/good")), ST_STORAGE);
    assert_int_equal(file_remove_tree("/proc/self/status"), ST_STORAGE);
    assert_says("/proc/self/status");
}

static void reads(void **state) {
    (void)state;
    char *data = NULL;
    int64_t bytes = 0;
    assert_int_equal(file_write_atomic(in_home("r"), "1234", 4), ST_OK);
    assert_int_equal(file_read(in_home("r"), 4, &data, &bytes), ST_OK);
    free(data);
    assert_int_equal(file_size(in_home("r"), &bytes), ST_OK);
    assert_int_equal(bytes, 4);
    assert_int_equal(file_read(in_home("r"), 3, &data, &bytes), ST_INPUT);
    assert_null(data);
    assert_says("more than the 3");
    assert_int_equal(file_read(in_home("none"), 3, &data, &bytes), ST_INPUT);
    assert_says("No such file");
    assert_int_equal(file_read(home, 3, &data, &bytes), ST_INPUT);
    assert_says("not a regular file");
    assert_int_equal(mkfifo(in_home("fifo"), 0600), 0);
    assert_int_equal(file_read(in_home("fifo"), 3, &data, &bytes), ST_INPUT);
    assert_int_equal(file_size(in_home("none"), &bytes), ST_INPUT);
    assert_int_equal(file_size(home, &bytes), ST_INPUT);
}

/* FIPS 180-2, appendix B: "abc", and one million "a". */
static void hashes(void **state) {
    (void)state;
    char hex[SHA256_HEX], file_hex[SHA256_HEX];
    char *million = malloc(1000000);
    memset(million, 'a', 1000000);
    assert_int_equal(bytes_sha256("abc", 3, hex), ST_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(bytes_sha256(NULL, 0, hex), ST_OK);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(file_write_atomic(in_home("million"), million, 1000000), ST_OK);
    assert_int_equal(file_sha256(in_home("million"), file_hex), ST_OK);
    assert_string_equal(file_hex,
                        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    /* Exactly one buffer long, so the end of the file is an empty read. */
    assert_int_equal(file_write_atomic(in_home("block"), million, 1 << 18), ST_OK);
    assert_int_equal(file_sha256(in_home("block"), file_hex), ST_OK);
    assert_int_equal(bytes_sha256(million, 1 << 18, hex), ST_OK);
    assert_string_equal(hex, file_hex);
    assert_int_equal(file_sha256(in_home("none"), hex), ST_INPUT);
    assert_says("none");
    free(million);
}

static void locks(void **state) {
    (void)state;
    int one = -1, two = -1;
    char holder[64];
    snprintf(holder, sizeof holder, "in use by process %ld on ", (long)getpid());
    assert_ok(file_lock(in_home("lock"), &one));
    assert_true(one >= 0);
    assert_int_equal(file_lock(in_home("lock"), &two), ST_USAGE);
    assert_int_equal(two, -1);
    assert_says(in_home("lock"));
    assert_says(holder);
    file_unlock(one);
    assert_ok(file_lock(in_home("lock"), &two));
    file_unlock(two);
    file_unlock(-1);
    assert_int_equal(file_lock(in_home("none/lock"), &two), ST_STORAGE);
}

/* Links that somebody planted at names of ours: what they lead to is never written. */
static void does_not_follow_links(void **state) {
    (void)state;
    char victim[PATH_SIZE], temporary[PATH_SIZE];
    int lock = -1;
    snprintf(victim, sizeof victim, "%s", in_home("victim"));
    assert_ok(file_write_atomic(victim, "precious", 8));
    assert_ok(file_make_dirs(in_home("run/deep")));
    assert_ok(file_write_atomic(in_home("run/deep/file"), "x", 1));
    assert_ok(file_refuse_links_below(in_home("run")));
    assert_ok(file_refuse_links_below(in_home("run/none")));

    /* The temporary name of this process, and the name itself. */
    snprintf(temporary, sizeof temporary, "%s.tmp.%ld", in_home("run/new"), (long)getpid());
    assert_int_equal(symlink(victim, temporary), 0);
    assert_int_equal(symlink(victim, in_home("run/new")), 0);
    assert_ok(file_write_atomic(in_home("run/new"), "mine", 4));
    assert_content(in_home("run/new"), "mine");
    assert_ok(file_refuse_link(in_home("run/new")));

    assert_int_equal(symlink(victim, in_home("run/deep/lock")), 0);
    assert_int_equal(file_lock(in_home("run/deep/lock"), &lock), ST_INTEGRITY);
    assert_int_equal(lock, -1);
    assert_says("run/deep/lock is a symbolic link");
    assert_int_equal(file_refuse_links_below(in_home("run")), ST_INTEGRITY);
    assert_says("run/deep/lock is a symbolic link");
    assert_int_equal(file_refuse_links_below(in_home("run/deep/lock")), ST_INTEGRITY);
    assert_content(victim, "precious");
}

/* On a file system of 64 KiB, which then becomes read-only. The exit code says which check failed.
 */
static int on_small_disk(const char *where) {
    char path[PATH_SIZE], big[1 << 17];
    memset(big, 'b', sizeof big);
    snprintf(path, sizeof path, "%s/file", where);
    if (!own_mounts() || !mount_small(where, 64 << 10)) return 77;
    if (file_write_atomic(path, "small", 5) != ST_OK) return 1;
    if (file_write_atomic(path, big, sizeof big) != ST_STORAGE) return 2;
    if (!strstr(status_message(), path) || !strstr(status_message(), "No space left")) return 3;
    char *data = NULL;
    int64_t bytes = 0;
    if (file_read(path, 100, &data, &bytes) != ST_OK || strcmp(data, "small") != 0) return 4;
    free(data);
    /* The incomplete temporary file is removed, so its space can be used again. */
    if (file_write_atomic(path, big, 1 << 15) != ST_OK) return 5;

    if (!make_read_only(where)) return 77;
    if (file_write_atomic(path, "x", 1) != ST_STORAGE) return 6;
    if (!strstr(status_message(), path) || !strstr(status_message(), "Read-only")) return 7;
    if (file_make_dirs(where) != ST_OK) return 8; /* it exists already */
    snprintf(path, sizeof path, "%s/sub/sub", where);
    if (file_make_dirs(path) != ST_STORAGE || !strstr(status_message(), "Read-only")) return 9;
    snprintf(path, sizeof path, "%s/file", where);
    if (file_remove_tree(path) != ST_STORAGE || !file_exists(path)) return 10;
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2 && !strcmp(argv[1], "disk")) return on_small_disk(argv[2]);
    if (!begin_scratch()) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(directories),
        cmocka_unit_test(writes),
        cmocka_unit_test(publishes),
        cmocka_unit_test(cleans_up),
        cmocka_unit_test(reads),
        cmocka_unit_test(hashes),
        cmocka_unit_test(locks),
        cmocka_unit_test(does_not_follow_links),
        cmocka_unit_test(full_and_read_only),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return !end_scratch() || failed;
}
