/* Reads the masks of a volume onto one grid, turns it and resamples it slice by slice. */
#include "pipeline/generate/own_map.h"

#include "io/alloc.h"
#include "io/decoder.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static const int16_t OUTSIDE_HU = -1024; /* around a slice: air */
static const double SQUARE = 0.01;       /* relative difference of the sides of a pixel, at most */
static const int64_t VOXELS_MAX = INT64_C(1) << 30;

status own_map_alloc(const own_record *about, own_map *out) {
    const int64_t *shape = about->space.shape, slices = shape[0], pixels = shape[1] * shape[2];
    const int64_t bytes =
        (int64_t)sizeof *out->slices + pixels * (int64_t)(sizeof *out->image + sizeof *out->labels);
    *out = (own_map){.about = *about};
    status st = array_alloc(&out->block, slices, bytes, "label maps");
    if (st != ST_OK) return st;
    out->bytes = slices * bytes;
    out->slices = out->block;
    out->image = (int16_t *)(out->slices + slices);
    out->labels = (uint8_t *)(out->image + slices * pixels);
    return ST_OK;
}

void own_map_free(own_map *m) {
    free(m->block);
    *m = (own_map){0};
}

static const dicom_header *file_at(const own_masks *masks, const own_mask *item, int64_t k) {
    return &masks->found.headers[item->files[k]];
}

/* ---- reading ---- */

/* The grid of masks that lie alone: that of the first file; size: of the working slices. */
static status alone_grid(const dicom_header *file, int64_t size, geometry *space) {
    status st = ST_OK;
    int64_t voxels = 0;
    TRY(decoder_label_grid(file->path, file->kind, space));
    st = geometry_voxels(space, &voxels);
    if (st != ST_OK) TRY(status_fail(st, "%s: %s", file->path, status_message()));
    const turn t = turn_to_lps(space);
    const geometry turned = turn_geometry(&t, space);
    if (voxels > VOXELS_MAX || turned.shape[0] > VOXELS_MAX / (size * size))
        TRY(status_fail(ST_INPUT,
                        "%s: a mask of %" PRId64 " voxels in %" PRId64 " slices is too large",
                        file->path, voxels, turned.shape[0]));
    if (fabs(turned.spacing[1] / turned.spacing[2] - 1) > SQUARE)
        TRY(status_fail(ST_INPUT, "%s: its axial pixels are not square (%g x %g mm): resample it",
                        file->path, turned.spacing[1], turned.spacing[2]));
done:
    return st;
}

/* Joins the masks of all files of an item in the labels of the volume. */
static status read_labels(const own_masks *masks, const own_mask *item, volume *v,
                          own_record *about) {
    const study *s = masks->stage->study;
    const char *order[STRUCTURES_MAX];
    const seg_target to = {&v->space,
                           item->beside ? item->beside->slices[0].frame_of_reference_uid : "",
                           s->ingest.fractional};
    label_file *files = NULL;
    label_tally found = {0};
    status st;
    study_texts_at(&s->ingest.order, order);
    TRY(array_alloc(&files, item->count, sizeof *files, "files of masks"));
    for (int64_t k = 0; k < item->count; k++) {
        const dicom_header *file = file_at(masks, item, k);
        files[k] = (label_file){file->path, file->kind, own_masks_names(masks, file->kind)};
    }
    st = decoder_read_labels(
        &(label_files){files, item->count, {s->ingest.overlap, order, s->ingest.order.count}}, &to,
        v->labels, &found);
    about->overlapped = found.overlapped;
    about->off_slices = found.contours.off_slices;
done:
    free(files);
    return st;
}

/* Reads an item as a volume as the store would hold it; without a series its HU are all 0. */
static status read_item(const own_masks *masks, const own_mask *item, volume *v,
                        own_record *about) {
    status st;
    if (item->beside) {
        TRY(series_read(item->beside, v));
        TRY(read_labels(masks, item, v, about));
        TRY(series_turn(item->beside, v));
    } else {
        TRY(alone_grid(file_at(masks, item, 0), masks->stage->study->data.size, &v->space));
        TRY(volume_alloc(v));
        TRY(read_labels(masks, item, v, about));
        const turn t = turn_to_lps(&v->space);
        TRY(turn_volume(&t, v));
    }
done:
    return st;
}

/* ---- resampling ---- */

static int16_t cut_to_window(const study *s, float hu) {
    const double *w = s->data.window;
    return window_invert(window_apply(hu, w[0], w[1]), w[0], w[1]);
}

/* The slices of the series at the working size. */
static status own_image(const study *s, const volume *v, int16_t *image) {
    status st = ST_OK;
    const int64_t *shape = v->space.shape, size = s->data.size;
    float *slice = NULL;
    TRY(array_alloc(&slice, size, size * (int64_t)sizeof *slice, "a slice"));
    for (int64_t z = 0; z < shape[0]; z++) {
        resize_image(v->hu + z * shape[1] * shape[2], shape[1], shape[2], OUTSIDE_HU, slice, size);
        for (int64_t i = 0; i < size * size; i++)
            image[z * size * size + i] = cut_to_window(s, slice[i]);
    }
done:
    free(slice);
    return st;
}

/* The slices of the source, laid upon the map. */
static status borrowed_image(const study *s, const map_stores *from, const like_map *source,
                             const label_box *box, own_map *m) {
    status st = ST_OK;
    const int64_t size = s->data.size, pixels = size * size;
    float *slice = NULL, *laid = NULL;
    int64_t held = -1;
    TRY(array_alloc(&slice, pixels, sizeof *slice, "a slice"));
    TRY(array_alloc(&laid, pixels, sizeof *laid, "a slice"));
    for (int64_t z = 0; z < m->about.space.shape[0]; z++) {
        const int64_t k = likeness_slice(source, box, z);
        slice_sample sample = {.image = slice};
        if (k != held) TRY(deformed_condition(s, from, &source->plan, k, &sample));
        if (k != held) likeness_lay(source, box, slice, size, laid);
        held = k;
        for (int64_t i = 0; i < pixels; i++)
            m->image[z * pixels + i] = window_invert(laid[i], s->data.window[0], s->data.window[1]);
    }
done:
    free(slice);
    free(laid);
    return st;
}

status own_map_make(const own_masks *masks, int64_t i, const map_stores *from, const likeness *like,
                    own_map *out) {
    status st;
    const study *s = masks->stage->study;
    const own_mask *item = &masks->items[i];
    const int64_t size = s->data.size;
    volume v = {0};
    label_box box;
    own_record about = {.own_image = item->beside != NULL};
    *out = (own_map){0};
    TRY(read_item(masks, item, &v, &about));
    const int64_t *shape = v.space.shape, slices = shape[0];
    about.space = working_geometry(&v.space, size, slices);
    about.rows = shape[1];
    about.columns = shape[2];
    TRY(own_map_alloc(&about, out));
    for (int64_t z = 0; z < slices; z++)
        resize_labels(v.labels + z * shape[1] * shape[2], shape[1], shape[2],
                      out->labels + z * size * size, size);
    if (!label_box_find(out->labels, slices, size, &box))
        TRY(status_fail(ST_INPUT, "%s: no voxel of a structure of the store",
                        file_at(masks, item, 0)->path));
    const like_map *source = likeness_nearest(like, out->labels, &box, size);
    out->about.source = source->plan.source;
    for (int64_t z = 0; z < slices; z++)
        out->slices[z] = source->plan.slices[likeness_slice(source, &box, z)];
    out->about.contrast = item->beside ? item->beside->contrast : source->plan.entry.contrast;
    const scan_traits *traits = item->beside ? &item->beside->traits : &source->plan.entry.traits;
    out->about.kernel = traits->kernel;
    out->about.body = traits->body;
    TRY(item->beside ? own_image(s, &v, out->image) : borrowed_image(s, from, source, &box, out));
    out->about.made = 1;
done:
    volume_free(&v);
    return st;
}
