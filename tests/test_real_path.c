/* real_path() against realpath() of the C library, after file_make_dirs() has made the path. */
#include "io/real_path.h"

#include "tests/scratch.h"

#include <sys/stat.h>

/* A fresh tree: dir/sub, link -> dir, up -> ., dangling -> nowhere. */
static void make_tree(void) {
    assert_ok(file_remove_tree(in_home("t")));
    assert_ok(file_make_dirs(in_home("t/dir/sub")));
    assert_int_equal(symlink("dir", in_home("t/link")), 0);
    assert_int_equal(symlink(".", in_home("t/up")), 0);
    assert_int_equal(symlink("nowhere", in_home("t/dangling")), 0);
}

static void a_path_is_where_it_will_be(void **state) {
    static const char *const paths[] = {"t",
                                        "t/",
                                        "t/dir//sub/.",
                                        "t/link/sub",
                                        "t/link/new/er",
                                        "t/new",
                                        "t/new/../dir",
                                        "t/a/../link/b",
                                        "t/up/up/link/c",
                                        "t/link/sub/../../x",
                                        "t/a/b/../..",
                                        "t/./n/.",
                                        "../../../../../../../../../../tmp"};
    (void)state;
    for (int relative = 0; relative < 2; relative++)
        for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
            char got[PATH_SIZE];
            make_tree();
            assert_int_equal(chdir(home), 0);
            const char *path = relative ? paths[i] : in_home(paths[i]);
            assert_ok(real_path(path, got));
            assert_ok(file_make_dirs(path));
            char *wanted = realpath(path, NULL);
            assert_non_null(wanted);
            assert_string_equal(got, wanted);
            free(wanted);
        }
}

static void a_dangling_link_stays(void **state) {
    char got[PATH_SIZE];
    (void)state;
    make_tree();
    assert_ok(real_path(in_home("t/dangling/x"), got));
    assert_non_null(strstr(got, "/t/dangling/x"));
    assert_int_equal(file_make_dirs(in_home("t/dangling/x")), ST_STORAGE);
}

static void too_long_is_usage(void **state) {
    char got[PATH_SIZE], path[PATH_SIZE];
    (void)state;
    assert_int_equal(chdir(home), 0);
    memset(path, 'a', sizeof path);
    path[sizeof path - 1] = 0;
    assert_int_equal(real_path(path, got), ST_USAGE);
    assert_ok(real_path("", got));
    assert_ok(real_path("/..", got));
    assert_string_equal(got, "/");
}

static void in_and_out(void **state) {
    static const struct {
        const char *path, *folder;
        bool in;
    } cases[] = {{"t/dir", "t/dir", true},         {"t/dir/new/er", "t/dir", true},
                 {"t/dir", "t/dir/sub", false},    {"t/dir2", "t/dir", false},
                 {"t/link/new", "t/dir", true},    {"t/dir/new", "t/link", true},
                 {"t/dir/../new", "t/dir", false}, {"t/up/up/dir/x", "t/dir", true},
                 {"t/dir", "t/missing", false},    {"t", "/", true}};
    (void)state;
    make_tree();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[PATH_SIZE], folder[PATH_SIZE];
        assert_ok(real_path(in_home(cases[i].path), path));
        assert_ok(real_path(cases[i].folder[0] == '/' ? "/" : in_home(cases[i].folder), folder));
        if (real_path_is_in(path, folder) != cases[i].in)
            fail_msg("%s in %s", cases[i].path, cases[i].folder);
    }
}

/* Needs root, and is left out without it. */
static void a_bind_mount_is_seen_through(void **state) {
    char path[PATH_SIZE], folder[PATH_SIZE];
    (void)state;
    make_tree();
    assert_ok(file_make_dirs(in_home("bound")));
    if (!own_mounts() || mount(in_home("t/dir"), in_home("bound"), NULL, MS_BIND, NULL) != 0)
        skip();
    assert_ok(real_path(in_home("bound/sub/new"), path));
    assert_ok(real_path(in_home("t/dir"), folder));
    assert_true(real_path_is_in(path, folder));
    assert_int_equal(umount(in_home("bound")), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_where_it_will_be),
        cmocka_unit_test(a_dangling_link_stays),
        cmocka_unit_test(too_long_is_usage),
        cmocka_unit_test(in_and_out),
        cmocka_unit_test(a_bind_mount_is_seen_through),
    };
    if (!begin_scratch()) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (chdir("/") != 0 || !end_scratch()) return 1;
    return failed;
}
