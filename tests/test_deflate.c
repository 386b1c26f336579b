/* What is compressed is the same after zlib, another implementation of the format, unpacks it. */
#include "io/deflate.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void comes_back(const uint8_t *data, int64_t bytes, int64_t at_most) {
    uint8_t *packed = NULL, *back = malloc((size_t)bytes + 1);
    int64_t packed_bytes = 0;
    uLongf back_bytes = (uLongf)bytes + 1;
    assert_non_null(back);
    assert_int_equal(deflate_bytes(data, bytes, &packed, &packed_bytes), ST_OK);
    assert_true(packed_bytes > 0 && packed_bytes <= at_most);
    assert_int_equal(uncompress(back, &back_bytes, packed, (uLong)packed_bytes), Z_OK);
    assert_int_equal(back_bytes, bytes);
    assert_memory_equal(back, data, (size_t)bytes);
    free(packed);
    free(back);
}

static void bytes_come_back(void **state) {
    (void)state;
    enum { MANY = 300000 };
    uint8_t *data = malloc(MANY);
    assert_non_null(data);
    memset(data, 7, MANY);
    comes_back(data, MANY, MANY / 100);
    for (int i = 0; i < MANY; i++) data[i] = (uint8_t)(i * 2654435761u >> 24);
    comes_back(data, MANY, MANY + MANY / 100);
    comes_back(data, 1, 64);
    comes_back(data, 0, 64);
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(bytes_come_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
