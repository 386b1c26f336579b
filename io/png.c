/* libpng, writing to memory. It reports errors by longjmp: everything that must survive the jump is
 * in the sink, outside of the function that jumps. */
#include "io/png.h"

#include "io/alloc.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

typedef struct sink {
    uint8_t *bytes;
    size_t used, room;
    char why[128];
} sink;

static void take(png_structp png, png_bytep data, size_t n) {
    sink *s = png_get_io_ptr(png);
    if (s->used + n > s->room) {
        size_t room = 2 * (s->used + n);
        uint8_t *more = realloc(s->bytes, room);
        if (!more) png_error(png, "out of memory");
        s->bytes = more;
        s->room = room;
    }
    memcpy(s->bytes + s->used, data, n);
    s->used += n;
}

static void flush(png_structp png) { (void)png; }

static void fail(png_structp png, png_const_charp why) {
    sink *s = png_get_error_ptr(png);
    snprintf(s->why, sizeof s->why, "%s", why);
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp why) {
    (void)png;
    (void)why;
}

/* Whether all went well; *s has the bytes or the reason. */
static int encode(sink *s, png_structp png, png_infop info, const uint8_t *rgb, int64_t height,
                  int64_t width) {
    if (setjmp(png_jmpbuf(png))) return 0;
    png_set_write_fn(png, s, take, flush);
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
        return status_fail(ST_INTERNAL, "PNG of %lld x %lld pixels: %s", (long long)height,
                           (long long)width, *s.why ? s.why : "out of memory");
    }
    *out = s.bytes;
    *bytes = (int64_t)s.used;
    return ST_OK;
}
