/* Record files: records come back in any order as they were written; equal content gives equal
 * bytes; other shapes, types and counts, and damage in any record, are found. */
#include "io/record_file.h"
#include "tests/scratch.h"

enum { RECORDS = 7, Y = 3, X = 5, Z = 2, VALUES = Y * X * Z, PIXELS = 12 * 12 };

static const record_field FIELDS[] = {{.name = "latent", .shape = {Y, X, Z}},
                                      {.name = "codes", .bytes = true, .shape = {12, 12, 1}}};
enum { N = 2 };

static float latent[RECORDS * VALUES];
static uint8_t codes[RECORDS * PIXELS];

static void write_one(const char *path) {
    for (int i = 0; i < RECORDS * VALUES; i++) latent[i] = (float)(i * 7919 % 1000) / 3;
    for (int i = 0; i < RECORDS * PIXELS; i++) codes[i] = (uint8_t)(i * 31 % 251);
    assert_ok(record_file_write(path, FIELDS, N, RECORDS, (const void *const[]){latent, codes}));
}

static void records_come_back(void **state) {
    (void)state;
    static const int order[] = {3, 0, 6, 6, 1, 5, 2, 4};
    float values[VALUES];
    uint8_t pixels[PIXELS];
    record_file *f = NULL;
    write_one(in_home("a.h5"));
    assert_ok(record_file_open(in_home("a.h5"), FIELDS, N, RECORDS, &f));
    for (size_t k = 0; k < sizeof order / sizeof *order; k++) {
        assert_ok(record_file_read(f, order[k], (void *const[]){values, pixels}));
        assert_memory_equal(values, latent + order[k] * VALUES, sizeof values);
        assert_memory_equal(pixels, codes + order[k] * PIXELS, sizeof pixels);
    }
    assert_int_equal(record_file_read(f, RECORDS, (void *const[]){values, pixels}), ST_INTERNAL);
    assert_int_equal(record_file_read(f, -1, (void *const[]){values, pixels}), ST_INTERNAL);
    record_file_close(f);
    record_file_close(NULL);
}

static void equal_content_gives_equal_bytes(void **state) {
    (void)state;
    char *a = NULL, *b = NULL;
    int64_t bytes[2];
    write_one(in_home("a.h5"));
    write_one(in_home("b.h5"));
    assert_ok(file_read(in_home("a.h5"), 1 << 22, &a, &bytes[0]));
    assert_ok(file_read(in_home("b.h5"), 1 << 22, &b, &bytes[1]));
    assert_int_equal(bytes[0], bytes[1]);
    assert_memory_equal(a, b, (size_t)bytes[0]);
    free(a);
    free(b);
}

static void other_forms_are_refused(void **state) {
    (void)state;
    record_file *f = NULL;
    record_field other[N];
    write_one(in_home("a.h5"));
    assert_int_equal(record_file_open(in_home("a.h5"), FIELDS, N, RECORDS - 1, &f), ST_INTEGRITY);
    assert_says("another shape");
    for (int kind = 0; kind < 3; kind++) {
        memcpy(other, FIELDS, sizeof other);
        if (kind == 0) other[0].shape[2] = Z + 1;
        if (kind == 1) other[1].bytes = false;
        if (kind == 2) other[1].name = "labels";
        assert_int_equal(record_file_open(in_home("a.h5"), other, N, RECORDS, &f), ST_INTEGRITY);
        assert_null(f);
    }
    put_file(in_home("text"), "no HDF5", 7);
    assert_int_equal(record_file_open(in_home("text"), FIELDS, N, RECORDS, &f), ST_INTEGRITY);
    assert_int_equal(record_file_open(in_home("none"), FIELDS, N, RECORDS, &f), ST_INTEGRITY);
    memcpy(other, FIELDS, sizeof other);
    other[0].shape[0] = 0;
    assert_int_equal(record_file_open(in_home("a.h5"), other, N, RECORDS, &f), ST_INTERNAL);
}

/* A flipped bit anywhere either is found or changes nothing that is read. */
static void damage_is_found(void **state) {
    (void)state;
    char *all = NULL;
    int64_t bytes = 0, found = 0;
    float values[VALUES];
    uint8_t pixels[PIXELS];
    write_one(in_home("a.h5"));
    assert_ok(file_read(in_home("a.h5"), 1 << 22, &all, &bytes));
    for (int64_t at = 600; at < bytes; at += 37) {
        record_file *f = NULL;
        put_file(in_home("b.h5"), all, bytes);
        flip_bit(in_home("b.h5"), at);
        status st = record_file_open(in_home("b.h5"), FIELDS, N, RECORDS, &f);
        for (int64_t i = 0; i < RECORDS && st == ST_OK; i++) {
            st = record_file_read(f, i, (void *const[]){values, pixels});
            if (st != ST_OK) break;
            assert_memory_equal(values, latent + i * VALUES, sizeof values);
            assert_memory_equal(pixels, codes + i * PIXELS, sizeof pixels);
        }
        if (st != ST_OK) assert_int_equal(st, ST_INTEGRITY);
        found += st != ST_OK;
        record_file_close(f);
    }
    assert_true(found > 20);
    free(all);
}

static int begin(void **state) {
    (void)state;
    return begin_scratch() ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    return end_scratch() ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(records_come_back), cmocka_unit_test(equal_content_gives_equal_bytes),
        cmocka_unit_test(other_forms_are_refused), cmocka_unit_test(damage_is_found)};
    return cmocka_run_group_tests(tests, begin, end);
}
