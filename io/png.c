/* PNG encoding into memory. libpng reports errors with longjmp(): what must survive the jump is
 * kept in struct sink, outside of the function that calls setjmp(). */
#include "io/png.h"

#include "io/alloc.h"

#include <inttypes.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct sink {
    uint8_t *bytes;
    size_t used, capacity;
    char error[128]; /* libpng's message; "" if it gave none */
} sink;

static void append(png_structp png, png_bytep data, size_t n) {
    sink *s = png_get_io_ptr(png);
    if (s->used + n > s->capacity) {
        size_t capacity = 2 * (s->used + n);
        uint8_t *more = realloc(s->bytes, capacity);
        if (!more) png_error(png, "out of memory");
        s->bytes = more;
        s->capacity = capacity;
    }
    memcpy(s->bytes + s->used, data, n);
    s->used += n;
}

static void flush(png_structp png) { (void)png; }

static void fail(png_structp png, png_const_charp message) {
    sink *s = png_get_error_ptr(png);
    snprintf(s->error, sizeof s->error, "%s", message);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp warning) {
    (void)png;
    (void)warning;
}

/* Whether encoding succeeded; *s holds the bytes or the error. */
static int encode(sink *s, png_structp png, png_infop info, const uint8_t *rgb, int64_t height,
                  int64_t width) {
    if (setjmp(png_jmpbuf(png))) return 0;
    png_set_write_fn(png, s, append, flush);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < height; y++) png_write_row(png, rgb + y * width * 3);
    png_write_end(png, info);
    return 1;
}

status png_encode(const uint8_t *rgb, int64_t height, int64_t width, uint8_t **out,
                  int64_t *bytes) {
    sink s = {0};
    int good = 0;
    *out = NULL;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &s, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (info) good = encode(&s, png, info, rgb, height, width);
    png_destroy_write_struct(&png, &info);
    if (!good) {
        free(s.bytes);
        return status_fail(ST_INTERNAL, "PNG of %" PRId64 " x %" PRId64 " pixels: %s", height,
                           width, *s.error ? s.error : "out of memory");
    }
    *out = s.bytes;
    *bytes = (int64_t)s.used;
    return ST_OK;
}
