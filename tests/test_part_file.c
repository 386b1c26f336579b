/* Part files: read back as written; nothing that was changed, cut or made from other inputs is
 * taken. */
#include "io/part_file.h"
#include "tests/scratch.h"

enum { N = 300 };

static char ours[SHA256_HEX], theirs[SHA256_HEX];
static unsigned char data[N], back[N];

static const char *write_one(void) {
    const char *path = in_home("part");
    for (int i = 0; i < N; i++) data[i] = (unsigned char)(i * 7);
    assert_ok(part_write(path, ours, data, N));
    return path;
}

static void parts_read_back(void **state) {
    (void)state;
    const char *path = write_one();
    assert_ok(part_read(path, ours, back, N));
    assert_memory_equal(back, data, N);
    assert_ok(part_write(in_home("empty"), ours, data, 0));
    assert_ok(part_read(in_home("empty"), ours, back, 0));
    assert_int_equal(part_read(in_home("none"), ours, back, N), ST_INPUT);
    /* Under the name of another part. */
    assert_int_equal(rename(in_home("part"), in_home("part-2")), 0);
    assert_int_equal(part_read(in_home("part-2"), ours, back, N), ST_INTEGRITY);
}

static void other_inputs_are_refused(void **state) {
    (void)state;
    const char *path = write_one();
    assert_int_equal(part_read(path, theirs, back, N), ST_INTEGRITY);
    assert_says("belongs to other inputs");
    assert_int_equal(part_read(path, ours, back, N - 1), ST_INTEGRITY);
    assert_int_equal(part_read(path, ours, back, N + 1), ST_INTEGRITY);
}

/* Every single bit of the file, and every length. */
static void every_flip_and_cut_is_found(void **state) {
    (void)state;
    char *all = NULL;
    int64_t size = 0;
    assert_ok(file_read(write_one(), 1 << 20, &all, &size));
    for (int64_t bit = 0; bit < 8 * size; bit++) {
        all[bit / 8] ^= (char)(1 << bit % 8);
        put_file(in_home("part"), all, size);
        assert_int_equal(part_read(in_home("part"), ours, back, N), ST_INTEGRITY);
        all[bit / 8] ^= (char)(1 << bit % 8);
    }
    for (int64_t length = 0; length < size; length++) {
        put_file(in_home("part"), all, length);
        assert_int_equal(part_read(in_home("part"), ours, back, N), ST_INTEGRITY);
    }
    free(all);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_read_back),
        cmocka_unit_test(other_inputs_are_refused),
        cmocka_unit_test(every_flip_and_cut_is_found),
    };
    if (!begin_scratch() || bytes_sha256("a", 1, ours) != ST_OK ||
        bytes_sha256("b", 1, theirs) != ST_OK)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return end_scratch() ? failed : 1;
}
