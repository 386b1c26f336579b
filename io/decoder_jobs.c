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

static status do_labels(helper_task *task) {
    const labels_request *ask = task->data;
    const char *at = (const char *)(ask + 1);
    const char *order[STRUCTURES_MAX];
    char *shared = task->shared;
    label_files files = {.count = ask->files, .kind = ask->kind};
    structure_names names = {0};
    const seg_target to = {&ask->space, ask->frame_of_reference_uid, ask->fractional};
    files.paths = (const char(*)[PATH_SIZE])at;
    at += ask->files * PATH_SIZE;
    names.set.count = (int)ask->names;
    memcpy(names.set.name, at, (size_t)ask->names * LABEL_NAME);
    at += ask->names * LABEL_NAME;
    names.texts.at = (char(*)[STRUCTURE_TEXT])at; /* only read */
    names.texts.count = ask->texts;
    at += ask->texts * STRUCTURE_TEXT;
    status st = array_alloc(&names.values, ask->texts, sizeof *names.values, "label values");
    if (st != ST_OK) return st;
    memcpy(names.values, at, (size_t)ask->texts * sizeof *names.values);
    at += ask->texts * (int64_t)sizeof *names.values;
    for (int64_t k = 0; k < ask->order; k++) order[k] = at + k * LABEL_NAME;
    files.overlap = (overlap_rule){ask->overlap, order, (int)ask->order};
    st = label_files_read(&files, &to, &names, (uint8_t *)shared + LABELS_AT,
                          (label_tally *)task->shared);
    free(names.values);
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
