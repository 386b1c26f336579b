/* What the child does for each kind of request. */
#include "io/decoder_jobs.h"

#include <string.h>

/* ---- headers ---- */

status read_headers_here(const char *path, dicom_header **frames, int64_t *count) {
    status st;
    dicom_header one;
    *frames = NULL;
    *count = 0;
    TRY(dicom_read_header(path, &one));
    if (one.kind == DICOM_CT && one.frames > 1) return dicom_read_frames(path, frames, count);
    TRY(array_alloc(frames, 1, sizeof **frames, "a header"));
    **frames = one;
    *count = 1;
done:
    return st;
}

static status do_headers(helper_task *task) {
    dicom_header *frames;
    int64_t count;
    status st = read_headers_here(task->data, &frames, &count);
    task->reply = frames;
    task->reply_bytes = count * (int64_t)sizeof *frames;
    return st;
}

static status do_salvage(helper_task *task) {
    salvage_reply *reply;
    status st = array_alloc(&reply, 1, sizeof *reply, "a header");
    if (st != ST_OK) return st;
    task->reply = reply;
    task->reply_bytes = sizeof *reply;
    return dicom_salvage(task->data, &reply->header, &reply->remains);
}

/* ---- pixels ---- */

static status do_ct(helper_task *task) { return dicom_read_ct(task->data, task->shared); }

/* ---- labels ---- */

static status do_seg_fits(helper_task *task) {
    const fits_request *ask = task->data;
    bool *fits;
    status st = array_alloc(&fits, 1, sizeof *fits, "a reply");
    if (st != ST_OK) return st;
    task->reply = fits;
    task->reply_bytes = sizeof *fits;
    return dicom_seg_fits(ask->path, &ask->space, ask->frame_of_reference_uid, fits);
}

static status do_label_texts(helper_task *task) {
    const texts_request *ask = task->data;
    structure_texts texts = {0};
    status st = label_file_texts(ask->path, ask->kind, &texts);
    task->reply = texts.at;
    task->reply_bytes = texts.count * STRUCTURE_TEXT;
    return st;
}

static status do_label_grid(helper_task *task) {
    const texts_request *ask = task->data;
    geometry *space;
    status st = array_alloc(&space, 1, sizeof *space, "a grid");
    if (st != ST_OK) return st;
    task->reply = space;
    task->reply_bytes = sizeof *space;
    return label_file_grid(ask->path, ask->kind, space);
}

/* What comes next in a request. */
static const void *next(const char **at, int64_t bytes) {
    const char *here = *at;
    *at += bytes;
    return here;
}

/* A table of names; the caller frees names->values. */
static status read_table(const char **at, structure_names *names) {
    int64_t texts;
    memcpy(&texts, next(at, sizeof texts), sizeof texts);
    const char *text = next(at, texts * STRUCTURE_TEXT);
    const int64_t bytes = texts * (int64_t)sizeof *names->values;
    const void *values = next(at, bytes);
    names->texts.at = (char(*)[STRUCTURE_TEXT])text; /* only read */
    names->texts.count = texts;
    status st = array_alloc(&names->values, texts, sizeof *names->values, "label values");
    if (st == ST_OK) memcpy(names->values, values, (size_t)bytes);
    return st;
}

static status do_labels(helper_task *task) {
    const labels_request *ask = task->data;
    const char *at = (const char *)(ask + 1), *order[STRUCTURES_MAX];
    const packed_file *packed = next(&at, ask->files * (int64_t)sizeof *packed);
    const char *set = next(&at, ask->names * LABEL_NAME);
    const char *ordered = next(&at, ask->order * LABEL_NAME);
    const seg_target to = {&ask->space, ask->frame_of_reference_uid, ask->fractional};
    label_file *items = NULL;
    structure_names *names = NULL;
    status st;
    TRY(array_alloc(&items, ask->files, sizeof *items, "files of masks"));
    TRY(array_alloc(&names, ask->tables, sizeof *names, "names"));
    for (int64_t k = 0; k < ask->tables; k++) {
        names[k].set.count = (int)ask->names;
        memcpy(names[k].set.name, set, (size_t)ask->names * LABEL_NAME);
        TRY(read_table(&at, &names[k]));
    }
    for (int64_t k = 0; k < ask->files; k++)
        items[k] =
            (label_file){packed[k].path, (dicom_kind)packed[k].kind, &names[packed[k].table]};
    for (int64_t k = 0; k < ask->order; k++) order[k] = ordered + k * LABEL_NAME;
    st = label_files_read(&(label_files){items, ask->files, {ask->overlap, order, (int)ask->order}},
                          &to, (uint8_t *)task->shared + LABELS_AT, (label_tally *)task->shared);
done:
    for (int64_t k = 0; names && k < ask->tables; k++) free(names[k].values);
    free(names);
    free(items);
    return st;
}

status decoder_serve(void) {
    static helper_job *const jobs[JOBS] = {[JOB_HEADERS] = do_headers,
                                           [JOB_SALVAGE] = do_salvage,
                                           [JOB_CT] = do_ct,
                                           [JOB_SEG_FITS] = do_seg_fits,
                                           [JOB_LABEL_TEXTS] = do_label_texts,
                                           [JOB_LABEL_GRID] = do_label_grid,
                                           [JOB_LABELS] = do_labels};
    return helper_serve(jobs, JOBS);
}
