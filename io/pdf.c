/* PDF with Cairo. Its contexts keep the first error, which pdf_finish() reports. */
#include "io/pdf.h"

#include "io/alloc.h"
#include "io/printable.h"

#include <cairo-pdf.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct pdf {
    cairo_surface_t *surface;
    cairo_t *context;
    uint8_t *bytes;
    size_t used, capacity;
    status st; /* of what Cairo does not know */
};

static cairo_status_t append(void *to, const unsigned char *data, unsigned n) {
    pdf *p = to;
    if (p->used + n > p->capacity) {
        size_t capacity = 2 * (p->used + n);
        uint8_t *more = realloc(p->bytes, capacity);
        if (!more) return CAIRO_STATUS_NO_MEMORY;
        p->bytes = more;
        p->capacity = capacity;
    }
    memcpy(p->bytes + p->used, data, n);
    p->used += n;
    return CAIRO_STATUS_SUCCESS;
}

static bool is_time(const char *text) {
    static const char form[] = "0000-00-00T00:00:00Z";
    if (strlen(text) != sizeof form - 1) return false;
    for (size_t i = 0; i < sizeof form - 1; i++)
        if (form[i] == '0' ? text[i] < '0' || text[i] > '9' : text[i] != form[i]) return false;
    return true;
}

status pdf_create(const char *title, const char *created, pdf **out) {
    char safe[512];
    status st = array_alloc(out, 1, sizeof **out, "a PDF");
    if (st != ST_OK) return st;
    pdf *p = *out;
    printable(title, false, safe, sizeof safe);
    p->surface = cairo_pdf_surface_create_for_stream(append, p, PDF_WIDTH, PDF_HEIGHT);
    cairo_pdf_surface_set_metadata(p->surface, CAIRO_PDF_METADATA_TITLE, safe);
    cairo_pdf_surface_set_metadata(p->surface, CAIRO_PDF_METADATA_CREATE_DATE,
                                   is_time(created) ? created : "1970-01-01T00:00:00Z");
    p->context = cairo_create(p->surface);
    return ST_OK;
}

void pdf_free(pdf *p) {
    if (!p) return;
    cairo_destroy(p->context);
    cairo_surface_destroy(p->surface);
    free(p->bytes);
    free(p);
}

status pdf_finish(pdf *p, uint8_t **bytes, int64_t *n) {
    status st = p->st;
    cairo_show_page(p->context);
    cairo_surface_finish(p->surface);
    cairo_status_t fault = cairo_status(p->context);
    if (fault == CAIRO_STATUS_SUCCESS) fault = cairo_surface_status(p->surface);
    if (st == ST_OK && fault != CAIRO_STATUS_SUCCESS)
        st = status_fail(ST_INTERNAL, "PDF: %s", cairo_status_to_string(fault));
    *bytes = NULL;
    *n = 0;
    if (st == ST_OK) {
        *bytes = p->bytes;
        *n = (int64_t)p->used;
        p->bytes = NULL;
    }
    pdf_free(p);
    return st;
}

void pdf_next_page(pdf *p) { cairo_show_page(p->context); }

void pdf_colour(pdf *p, const double rgb[3]) {
    cairo_set_source_rgb(p->context, rgb[0], rgb[1], rgb[2]);
}

void pdf_font(pdf *p, double size, bool bold) {
    cairo_select_font_face(p->context, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(p->context, size);
}

double pdf_text_width(pdf *p, const char *text) {
    char safe[1024];
    cairo_text_extents_t extents;
    printable(text, false, safe, sizeof safe);
    cairo_text_extents(p->context, safe, &extents);
    return extents.x_advance;
}

void pdf_text(pdf *p, double x, double y, const char *text) {
    char safe[1024];
    printable(text, false, safe, sizeof safe);
    cairo_move_to(p->context, x, y);
    cairo_show_text(p->context, safe);
    cairo_new_path(p->context);
}

void pdf_line(pdf *p, double width, bool dashed, double x0, double y0, double x1, double y1) {
    static const double dashes[] = {3, 2.4};
    cairo_set_line_width(p->context, width);
    cairo_set_dash(p->context, dashes, dashed ? 2 : 0, 0);
    cairo_move_to(p->context, x0, y0);
    cairo_line_to(p->context, x1, y1);
    cairo_stroke(p->context);
}

void pdf_polygon(pdf *p, const double (*xy)[2], int n) {
    for (int i = 0; i < n; i++) cairo_line_to(p->context, xy[i][0], xy[i][1]);
    cairo_close_path(p->context);
    cairo_fill(p->context);
}

void pdf_circle(pdf *p, double x, double y, double radius) {
    const double turn = 6.283185307179586;
    cairo_arc(p->context, x, y, radius, 0, turn);
    cairo_fill(p->context);
}

/* A Cairo image of the raster; its status says whether there is one. */
static cairo_surface_t *image_of(const uint8_t *rgb, int64_t height, int64_t width) {
    cairo_surface_t *s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    uint8_t *to = cairo_image_surface_get_data(s);
    int64_t stride = cairo_image_surface_get_stride(s);
    for (int64_t y = 0; to && y < height; y++)
        for (int64_t x = 0; x < width; x++) {
            const uint8_t *from = rgb + (y * width + x) * 3;
            uint32_t pixel = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 8 | from[2];
            memcpy(to + y * stride + x * 4, &pixel, sizeof pixel);
        }
    cairo_surface_mark_dirty(s);
    return s;
}

void pdf_picture(pdf *p, const uint8_t *rgb, int64_t height, int64_t width, double x, double y,
                 double shown) {
    enum { SIDE_MAX = 32767 };
    if (height < 1 || width < 1 || height > SIDE_MAX || width > SIDE_MAX) {
        p->st = status_fail(ST_INTERNAL, "PDF: a picture of %" PRId64 " x %" PRId64 " pixels",
                            height, width);
        return;
    }
    cairo_surface_t *s = image_of(rgb, height, width);
    double scale = shown / (double)width;
    cairo_save(p->context);
    cairo_translate(p->context, x, y);
    cairo_scale(p->context, scale, scale);
    cairo_set_source_surface(p->context, s, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(p->context), CAIRO_FILTER_NEAREST);
    cairo_paint(p->context);
    cairo_restore(p->context);
    cairo_surface_destroy(s);
}
