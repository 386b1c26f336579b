/* Reads slices of a store at the size at which the page shows them. */
#include "pipeline/report/shown_slice.h"

#include "io/alloc.h"
#include "model/warp.h"

#include <math.h>

const named_window shown_windows[SHOWN_WINDOWS] = {
    {"soft tissue", 400, 40}, {"lung", 1500, -600}, {"bone", 1800, 400}};

status shown_slice_open(const study *s, shown_slice *out) {
    status st = ST_OK;
    int64_t side = s->data.size < SHOWN_SIDE_MAX ? s->data.size : SHOWN_SIDE_MAX;
    *out = (shown_slice){.side = side, .window = {s->data.window[0], s->data.window[1]}};
    TRY(array_alloc(&out->resampled, side * side, sizeof(float), "a slice"));
    TRY(array_alloc(&out->hu, side * side, sizeof(int16_t), "a slice"));
    TRY(array_alloc(&out->labels, side * side, 1, "a label map"));
done:
    return st;
}

void shown_slice_close(shown_slice *s) {
    free(s->resampled);
    free(s->hu);
    free(s->labels);
}

status shown_slice_read(shown_slice *out, store *from, int64_t volume, int64_t z) {
    status st = ST_OK;
    const int64_t *shape = store_at(from, volume)->space.shape;
    int16_t *hu = NULL;
    uint8_t *labels = NULL;
    TRY(array_alloc(&hu, shape[1] * shape[2], sizeof *hu, "a slice"));
    TRY(array_alloc(&labels, shape[1] * shape[2], 1, "a label map"));
    TRY(store_read_slice(from, volume, z, hu, labels));
    resize_image(hu, shape[1], shape[2], (float)out->window[0], out->resampled, out->side);
    resize_labels(labels, shape[1], shape[2], out->labels, out->side);
    for (int64_t i = 0; i < out->side * out->side; i++)
        out->hu[i] = (int16_t)lroundf(out->resampled[i]);
done:
    free(hu);
    free(labels);
    return st;
}

status shown_slice_read_labels(shown_slice *out, store *from, int64_t volume, int64_t z) {
    status st = ST_OK;
    const int64_t *shape = store_at(from, volume)->space.shape;
    uint8_t *labels = NULL;
    TRY(array_alloc(&labels, shape[1] * shape[2], 1, "a label map"));
    TRY(store_read_slice(from, volume, z, NULL, labels));
    resize_labels(labels, shape[1], shape[2], out->labels, out->side);
done:
    free(labels);
    return st;
}

status shown_slice_picture(const shown_slice *s, const double window[2], bool tinted, image *out) {
    static const uint8_t black[3] = {0, 0, 0};
    status st = image_create(s->side, s->side, black, out);
    if (st == ST_OK)
        image_draw_slice(out, 0, 0, 1, s->hu, tinted ? s->labels : NULL, s->side, s->side,
                         window[0], window[1]);
    return st;
}
