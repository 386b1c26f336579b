/* Files of safetensors: what is read, and that no hostile file is believed. The bytes of the files
 * are written here, after the description of the format. */
#include "scratch.h"
#include "io/safetensors.h"

#include <math.h>

enum { ROOM = 4096 };

/* Writes length, header and `bytes` bytes of data; returns the path. */
static const char *put(const char *header, const void *data, int64_t bytes) {
    char file[ROOM];
    const char *path = in_home("weights");
    const uint64_t length = strlen(header);
    assert_true((int64_t)length + bytes + 8 <= ROOM);
    memcpy(file, &length, 8);
    memcpy(file + 8, header, length);
    memcpy(file + 8 + length, data, (size_t)bytes);
    put_file(path, file, 8 + (int64_t)length + bytes);
    return path;
}

/* The file must be refused when opened, with a message that names it and has this part. */
static void refuse(const char *path, const char *part) {
    safetensors *s = NULL;
    const status st = safetensors_open(path, &s);
    if (st != ST_INPUT) fail_msg("status %d, where \"%s\" was expected", (int)st, part);
    assert_null(s);
    assert_says(path);
    assert_says(part);
}

static void tensors_are_read(void **state) {
    (void)state;
    const float matrix[6] = {1, -2.5f, 3e-40f, 4e30f, 0, 6};
    /* 1, -2, the largest number, the smallest one above 0, -0, infinity */
    const uint16_t halves[6] = {0x3c00, 0xc000, 0x7bff, 0x0001, 0x8000, 0x7c00};
    const uint16_t brains[2] = {0x3f80, 0xc0a0}; /* 1, -5 */
    const int64_t count = 3;
    char data[48];
    memcpy(data, matrix, 24);
    memcpy(data + 24, halves, 12);
    memcpy(data + 36, brains, 4);
    memcpy(data + 40, &count, 8);
    /* Not in the order of the data, with spaces at the end. */
    const char *path = put("{\"__metadata__\":{\"format\":\"pt\"},"
                           "\"b\":{\"dtype\":\"BF16\",\"shape\":[2,1],\"data_offsets\":[36,40]},"
                           "\"n\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[40,48]},"
                           "\"m\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                           "\"none\":{\"dtype\":\"F32\",\"shape\":[0,9],\"data_offsets\":[24,24]},"
                           "\"h\":{\"dtype\":\"F16\",\"shape\":[6],\"data_offsets\":[24,36]}}   ",
                           data, 48);
    safetensors *s = NULL;
    float out[6];
    char hash[SHA256_HEX];
    assert_ok(safetensors_open(path, &s));
    assert_ok(file_sha256(path, hash));
    assert_string_equal(safetensors_hash(s), hash);
    assert_ok(safetensors_read(s, "m", 2, (int64_t[]){2, 3}, out));
    assert_memory_equal(out, matrix, sizeof matrix);
    assert_ok(safetensors_read(s, "h", 1, (int64_t[]){6}, out));
    const float wanted[6] = {1, -2, 65504, 0x1p-24f, -0.0f, INFINITY};
    assert_memory_equal(out, wanted, sizeof wanted);
    assert_ok(safetensors_read(s, "b", 2, (int64_t[]){2, 1}, out));
    assert_true(out[0] == 1 && out[1] == -5);
    assert_ok(safetensors_read(s, "none", 2, (int64_t[]){0, 9}, out));

    assert_int_equal(safetensors_read(s, "x", 1, (int64_t[]){6}, out), ST_INPUT);
    assert_says("has no tensor x");
    assert_int_equal(safetensors_read(s, "__metadata__", 0, NULL, out), ST_INPUT);
    assert_int_equal(safetensors_read(s, "m", 2, (int64_t[]){3, 2}, out), ST_INPUT);
    assert_says("tensor m has the shape 2 x 3, needed is 3 x 2");
    assert_int_equal(safetensors_read(s, "m", 1, (int64_t[]){6}, out), ST_INPUT);
    assert_int_equal(safetensors_read(s, "n", 0, NULL, out), ST_INPUT);
    assert_says("tensor n is of type I64");
    safetensors_close(s);
}

static void headers_are_checked(void **state) {
    (void)state;
    const char data[16] = {0};
    refuse(in_home("absent"), "cannot open");
    refuse(home, "not a regular file");
    const char *path = in_home("short");
    put_file(path, "1234567", 7);
    refuse(path, "is no safetensors file: 7 bytes");
    const uint64_t lengths[] = {9, UINT64_MAX, UINT64_MAX - 7, (uint64_t)INT64_MAX, 1 << 30};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char file[16] = "        {}";
        memcpy(file, &lengths[i], 8);
        put_file(path, file, 16);
        refuse(path, "or is cut: a header of");
    }
    refuse(put("", data, 0), "is no JSON");
    refuse(put("{\"a\":", data, 0), "is no JSON");
    refuse(put("[]", data, 0), "is no JSON object");
    refuse(put("{} x", data, 0), "is no JSON");
    refuse(put("{\"\xff\":1}", data, 0), "is no JSON");
    refuse(put("{}", data, 16), "the last 16 bytes belong to no tensor");
    char deep[ROOM];
    memset(deep, '[', ROOM - 16);
    deep[ROOM - 16] = 0;
    refuse(put(deep, data, 0), "is no JSON");
}

/* A file of 16 bytes of data with the tensors "a" and "b", the second as given. */
static const char *second(const char *entry) {
    static const char data[16];
    char header[ROOM];
    snprintf(header, sizeof header,
             "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":%s}", entry);
    return put(header, data, 16);
}

static void entries_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *entry, *says;
    } cases[] = {
        {"3", "tensor b: its entry is not an object"},
        {"{}", "tensor b: its dtype (no text)"},
        {"{\"dtype\":\"F3\",\"shape\":[2],\"data_offsets\":[8,16]}", "tensor b: its dtype F3"},
        {"{\"dtype\":32,\"shape\":[2],\"data_offsets\":[8,16]}", "tensor b: its dtype"},
        {"{\"dtype\":\"F32\",\"data_offsets\":[8,16]}", "tensor b: its shape is not a list"},
        {"{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[8,16]}", "at most 8"},
        {"{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[8,16]}", "whole numbers"},
        {"{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[8,16]}", "whole numbers"},
        {"{\"dtype\":\"F32\",\"shape\":[-1,-2],\"data_offsets\":[8,16]}", "whole numbers"},
        {"{\"dtype\":\"F32\",\"shape\":[\"2\"],\"data_offsets\":[8,16]}", "whole numbers"},
        {"{\"dtype\":\"F32\",\"shape\":[99999999999999999999],\"data_offsets\":[8,16]}", "JSON"},
        {"{\"dtype\":\"F32\",\"shape\":[4611686018427387906],\"data_offsets\":[8,16]}", "larger"},
        {"{\"dtype\":\"F32\",\"shape\":[4294967296,4294967298],\"data_offsets\":[8,16]}", "larger"},
        {"{\"dtype\":\"F32\",\"shape\":[2]}", "tensor b: data_offsets"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8]}", "tensor b: data_offsets"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,12,16]}", "tensor b: data_offsets"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,8]}", "tensor b: data_offsets"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}", "tensor b: data_offsets"},
        {"{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[8,16]}", "takes 12 bytes"},
        {"{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,16]}", "takes 4 bytes"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[16,24]}", "tensor b ends at byte 24"},
        {"{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[4,16]}",
         "tensor b: its bytes overlap"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}", "its bytes overlap"},
        {"{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[12,16]}", "before it are bytes"},
        {"{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[8,12]}", "the last 4 bytes"},
        {"{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]},\"a\":{}", "no JSON: dupl"},
        {"{\"dtype\":\"F32\",\"dtype\":\"F32\"}", "no JSON: dupl"},
        {"{\"dtype\":\"F32\\u0000\",\"shape\":[2],\"data_offsets\":[8,16]}", "no JSON"},
    };
    safetensors *s = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(second(cases[i].entry), cases[i].says);
    assert_ok(
        safetensors_open(second("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}"), &s));
    safetensors_close(s);
}

/* Every prefix of a good file is refused, and no changed byte does harm. */
static void cut_and_changed_files_do_no_harm(void **state) {
    (void)state;
    char *file = NULL;
    int64_t bytes = 0;
    float out[2];
    assert_ok(file_read(second("{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}"), ROOM,
                        &file, &bytes));
    const char *path = in_home("changed");
    for (int64_t i = 0; i < bytes; i++) {
        put_file(path, file, i);
        refuse(path, "");
    }
    for (int64_t i = 0; i < bytes; i++) {
        for (int bit = 0; bit < 8; bit++) {
            safetensors *s = NULL;
            file[i] ^= (char)(1 << bit);
            put_file(path, file, bytes);
            file[i] ^= (char)(1 << bit);
            if (safetensors_open(path, &s) == ST_OK)
                (void)safetensors_read(s, "b", 1, (int64_t[]){2}, out);
            safetensors_close(s);
        }
    }
    free(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tensors_are_read),
        cmocka_unit_test(headers_are_checked),
        cmocka_unit_test(entries_are_checked),
        cmocka_unit_test(cut_and_changed_files_do_no_harm),
    };
    if (!begin_scratch()) return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return end_scratch() ? failed : 1;
}
