/* Draws the closest pairs at the working size, enlarged. */
#include "pipeline/gate/pairs.h"

#include "io/alloc.h"
#include "io/image.h"
#include "model/warp.h"

enum { COLUMNS = 3, GAP = 2, CELL = 128 };

/* Slice k in HU. sample: buffers. Local. */
static status slice_hu(slices *from, int64_t k, const study *s, slice_sample *sample, int16_t *hu) {
    const int64_t pixels = s->data.size * s->data.size;
    const status st = slices_get(from, k, sample);
    for (int64_t i = 0; st == ST_OK && i < pixels; i++)
        hu[i] = window_invert(sample->image[i], s->data.window[0], s->data.window[1]);
    return st;
}

/* Draws pair `row`. hu[3][pixels]: scratch. Local. */
static status draw_pair(const gate_sets *g, const copy_pair *p, int64_t row, slice_sample *sample,
                        int16_t *hu, image *im) {
    status st = ST_OK;
    const study *s = g->study;
    const int64_t size = s->data.size, pixels = size * size;
    const int64_t scale = size < CELL ? CELL / size : 1, step = size * scale + GAP;
    const double *window = s->data.window, half = (window[1] - window[0]) / 2;
    TRY(slice_hu(g->made, p->made, s, sample, hu));
    TRY(slice_hu(g->reference, p->training, s, sample, hu + pixels));
    for (int64_t i = 0; i < pixels; i++) {
        const int difference = hu[i] - hu[pixels + i];
        hu[2 * pixels + i] = (int16_t)(difference > INT16_MAX   ? INT16_MAX
                                       : difference < INT16_MIN ? INT16_MIN
                                                                : difference);
    }
    for (int64_t c = 0; c < COLUMNS; c++)
        image_draw_slice(im, row * step, c * step, scale, hu + c * pixels, NULL, size, size,
                         c < 2 ? window[0] : -half, c < 2 ? window[1] : half);
done:
    return st;
}

status pairs_write(const gate_sets *g, const copying *c, const char *path) {
    status st = ST_OK;
    static const uint8_t white[3] = {255, 255, 255};
    const int64_t size = g->study->data.size, pixels = size * size;
    const int64_t step = size * (size < CELL ? CELL / size : 1) + GAP;
    slice_sample sample = {0};
    int16_t *hu = NULL;
    image im = {0};
    TRY(array_alloc(&sample.image, pixels, sizeof *sample.image, "a slice"));
    TRY(array_alloc(&sample.labels, pixels, 1, "a label map"));
    TRY(array_alloc(&hu, COLUMNS * pixels, sizeof *hu, "slices"));
    TRY(image_create(c->pair_count * step - GAP, COLUMNS * step - GAP, white, &im));
    for (int64_t i = 0; i < c->pair_count; i++)
        TRY(draw_pair(g, &c->pairs[i], i, &sample, hu, &im));
    TRY(image_write(&im, path));
done:
    image_free(&im);
    free(sample.image);
    free(sample.labels);
    free(hu);
    return st;
}
