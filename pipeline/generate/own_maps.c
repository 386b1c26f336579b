/* Three files for each mask: its record, its slices, whose size follows from the record, and once
 * more the list of source slices, which is all of it that the provenance needs. */
#include "pipeline/generate/own_maps.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/part_file.h"
#include "pipeline/data/native_matrix.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct own_maps {
    own_masks *masks;
    map_stores from;
    const split *split;
    const char *folder, *fingerprint;
    own_record *records; /* [masks->count] */
    int64_t *sound;      /* [sound_count]: the masks whose maps could be made */
    int64_t sound_count;
    store_entry *entries; /* [count]: of the volumes */
    int64_t count;
    own_map held; /* the map of mask `mask` (-1: none) */
    int64_t mask;
};

/* ---- the files of one mask ---- */

static status part_path(const own_maps *m, int64_t i, const char *what, char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "mask-%08" PRId64 ".%s", i, what);
    return path_join(path, m->folder, name);
}

/* Reads the slices of mask i, whose record is known, into m->held. Local. */
static status read_slices(own_maps *m, int64_t i) {
    status st;
    char path[PATH_SIZE];
    own_map_free(&m->held);
    m->mask = -1;
    TRY(own_map_alloc(&m->records[i], &m->held));
    TRY(part_path(m, i, "slices", path));
    TRY(part_read(path, m->fingerprint, m->held.block, m->held.bytes));
    m->mask = i;
done:
    return st;
}

/* ST_INPUT or ST_INTEGRITY if mask i has to be made. Local. */
static status read_parts(own_maps *m, int64_t i) {
    status st;
    char path[PATH_SIZE];
    own_record about;
    TRY(part_path(m, i, "record", path));
    TRY(part_read(path, m->fingerprint, &about, sizeof about));
    m->records[i] = about;
    TRY(read_slices(m, i));
done:
    return st;
}

static int64_t list_bytes(const own_record *about) {
    return about->space.shape[0] * (int64_t)sizeof(int64_t);
}

/* Writes the record last. Local. */
static status write_parts(own_maps *m, int64_t i, const own_map *made) {
    status st;
    char path[PATH_SIZE];
    TRY(part_path(m, i, "slices", path));
    TRY(part_write(path, m->fingerprint, made->block, made->bytes));
    TRY(part_path(m, i, "sources", path));
    TRY(part_write(path, m->fingerprint, made->slices, list_bytes(&made->about)));
    TRY(part_path(m, i, "record", path));
    TRY(part_write(path, m->fingerprint, &made->about, sizeof made->about));
    m->records[i] = made->about;
done:
    return st;
}

/* ---- all masks ---- */

/* The file of an item that status_message() begins with, or its first one. Local. */
static const char *file_at_fault(const own_maps *m, const own_mask *item) {
    const dicom_header *headers = m->masks->found.headers;
    for (int64_t k = 0; k < item->count; k++)
        if (fault_message_is_of(headers[item->files[k]].path)) return headers[item->files[k]].path;
    return headers[item->files[0]].path;
}

/* Makes the map of mask i unless it is there; a mask at fault is recorded in `found`. Training maps
 * are measured when the first mask needs them. Local. */
static status make_map(own_maps *m, int64_t i, likeness *like, fault_list *found) {
    const study *s = m->masks->stage->study;
    const own_mask *item = &m->masks->items[i];
    own_map made = {0};
    status st = read_parts(m, i);
    if (st != ST_INPUT && st != ST_INTEGRITY) goto done;
    m->records[i] = (own_record){0};
    if (like->count == 0) TRY(likeness_measure(s, &m->from, m->split, like));
    st = own_map_make(m->masks, i, &m->from, like, &made);
    if (st == ST_INPUT)
        st = fault_add_message(found, &(fault){.scope = FAULT_SEG,
                                               .files = item->count,
                                               .text = {[FAULT_PATH] = file_at_fault(m, item)}});
    else if (st == ST_OK)
        st = write_parts(m, i, &made);
    activity_step(i);
done:
    own_map_free(&made);
    return st;
}

/* Every rank makes its maps, in rounds that all ranks make. Collective. */
static status make_all(own_maps *m, fault_list *found) {
    status st = ST_OK;
    const stage_context *stage = m->masks->stage;
    likeness like = {0};
    bool stop = false;
    for (int64_t round = 0; round < m->masks->count && !stop; round += comm_size(stage->comm)) {
        const int64_t i = round + comm_rank(stage->comm);
        TRY(comm_agree(stage->comm, i < m->masks->count ? make_map(m, i, &like, found) : ST_OK));
        TRY(stage_should_stop(stage, &stop));
    }
    if (stop)
        st =
            status_fail(ST_STOPPED, "stopped; the masks read so far are kept: run again to resume");
done:
    likeness_free(&like);
    return st;
}

/* Gives all ranks the records and faults; judges. Collective. */
static status share(own_maps *m, fault_list *found) {
    status st = ST_OK;
    own_masks *masks = m->masks;
    const stage_context *s = masks->stage;
    const int64_t known = masks->faults.count;
    TRY(comm_sum_i64(s->comm, (int64_t *)m->records,
                     masks->count * (int64_t)(sizeof *m->records / sizeof(int64_t))));
    TRY(faults_gather(s->comm, found));
    for (int64_t k = 0; k < found->count && st == ST_OK; k++)
        st = fault_add(&masks->faults, &found->items[k]);
    TRY(comm_agree(s->comm, st));
    TRY(own_masks_judge(masks, known));
    for (int64_t i = 0; i < masks->count; i++)
        if (m->records[i].made) m->sound[m->sound_count++] = i;
    if (m->sound_count == 0)
        st = status_fail(ST_INPUT, "generate.masks: none of the masks can be used: see above");
done:
    return st;
}

/* Warns of overlaps and of contours that are not painted; for rank 0. Local. */
static void warn(const own_maps *m) {
    journal *log = m->masks->stage->log;
    int64_t overlapped = 0, off_slices = 0;
    for (int64_t i = 0; i < m->masks->count; i++) {
        overlapped += m->records[i].overlapped;
        off_slices += m->records[i].off_slices;
    }
    if (overlapped > 0)
        log_warning(log,
                    "generate.masks: %" PRId64
                    " voxels lie in two or more structures: joined by ingest.overlap",
                    overlapped);
    if (off_slices > 0)
        log_warning(log, "generate.masks: %" PRId64 " contours lie on no slice: not painted",
                    off_slices);
}

static scan_traits traits_of(const own_record *about) {
    return (scan_traits){.kernel = (kernel_class)about->kernel, .body = (body_part)about->body};
}

/* Local. */
static status plan_volumes(own_maps *m) {
    const study *s = m->masks->stage->study;
    m->count = s->generate.volumes > m->sound_count ? s->generate.volumes : m->sound_count;
    status st = array_alloc(&m->entries, m->count, sizeof *m->entries, "synthetic volumes");
    for (int64_t v = 0; v < m->count && st == ST_OK; v++) {
        const own_record *about = &m->records[m->sound[v % m->sound_count]];
        store_entry *entry = &m->entries[v];
        /* As deformed_plan() names them. */
        snprintf(entry->id, sizeof entry->id, "synthetic%05" PRId64 "-0", v);
        entry->space = about->space;
        entry->contrast = (int)about->contrast;
        entry->traits = traits_of(about);
    }
    return st;
}

/* Local. */
static status prepare(own_maps *m) {
    status st;
    const int64_t n = m->masks->count;
    TRY(file_make_dirs(m->folder));
    TRY(array_alloc(&m->records, n, sizeof *m->records, "masks"));
    TRY(array_alloc(&m->sound, n, sizeof *m->sound, "masks"));
done:
    return st;
}

status own_maps_open(own_masks *masks, const map_stores *from, const split *sp, const char *folder,
                     const char *fingerprint, own_maps **out) {
    const comm *c = masks->stage->comm;
    fault_list found = {0};
    own_maps *m = NULL;
    status st = array_alloc(&m, 1, sizeof *m, "masks");
    *out = m;
    if (m) {
        *m = (own_maps){.masks = masks,
                        .from = *from,
                        .split = sp,
                        .folder = folder,
                        .fingerprint = fingerprint,
                        .mask = -1};
        st = prepare(m);
    }
    TRY(comm_agree(c, st));
    TRY(make_all(m, &found));
    TRY(share(m, &found));
    if (comm_rank(c) == 0) warn(m);
    TRY(comm_agree(c, plan_volumes(m)));
done:
    faults_free(&found);
    return st;
}

void own_maps_close(own_maps *m) {
    if (!m) return;
    own_map_free(&m->held);
    free(m->records);
    free(m->sound);
    free(m->entries);
    free(m);
}

/* ---- volumes ---- */

int64_t own_maps_count(const own_maps *m) { return m->count; }

const store_entry *own_maps_entry(const own_maps *m, int64_t v) { return &m->entries[v]; }

/* Reads the map of volume v unless it is held. */
static status hold(own_maps *m, int64_t v) {
    const int64_t i = m->sound[v % m->sound_count];
    return m->mask == i ? ST_OK : read_slices(m, i);
}

status own_maps_labels(own_maps *m, int64_t v, const uint8_t **labels) {
    status st = hold(m, v);
    *labels = m->held.labels;
    return st;
}

status own_maps_condition(own_maps *m, int64_t v, int64_t k, slice_sample *out) {
    const study *s = m->masks->stage->study;
    const int64_t pixels = s->data.size * s->data.size;
    status st = hold(m, v);
    if (st != ST_OK) return st;
    const own_record *about = &m->held.about;
    const geometry *source = &store_at(m->from.real, about->source)->space;
    const int64_t depth = about->own_image ? about->space.shape[0] : source->shape[0];
    const int64_t at = about->own_image ? k : m->held.slices[k];
    for (int64_t i = 0; out->image && i < pixels; i++)
        out->image[i] = window_apply((float)m->held.image[k * pixels + i], s->data.window[0],
                                     s->data.window[1]);
    out->position = depth > 1 ? (float)at / (float)(depth - 1) : 0;
    out->contrast = (int)about->contrast;
    out->traits = traits_of(about);
    out->spacing = slice_spacing(&about->space, m->masks->stage->study->data.size);
    out->volume = about->source;
    out->slice = m->held.slices[k];
    return ST_OK;
}

/* The source slices of mask i as a list. Local. */
static status list_sources(const own_maps *m, int64_t i, json_t *out) {
    status st;
    const own_record *about = &m->records[i];
    char path[PATH_SIZE];
    int64_t *slices = NULL;
    TRY(array_alloc(&slices, about->space.shape[0], sizeof *slices, "a list of slices"));
    TRY(part_path(m, i, "sources", path));
    TRY(part_read(path, m->fingerprint, slices, list_bytes(about)));
    for (int64_t k = 0; k < about->space.shape[0]; k++)
        json_array_append_new(out, json_integer(slices[k]));
done:
    free(slices);
    return st;
}

status own_maps_describe(const own_maps *m, int64_t v, json_t **out) {
    status st;
    const int64_t i = m->sound[v % m->sound_count];
    const own_mask *item = &m->masks->items[i];
    const own_record *about = &m->records[i];
    json_t *hashes = json_array(), *slices = json_array();
    for (int64_t k = 0; k < item->count; k++)
        json_array_append_new(hashes, json_string(m->masks->files[item->files[k]].sha256));
    st = list_sources(m, i, slices);
    *out = json_pack("{s:s, s:o, s:s, s:o, s:s}", "id", m->entries[v].id, "mask", hashes, "source",
                     store_at(m->from.real, about->source)->id, "source_slices", slices, "image",
                     about->own_image ? "series" : "source");
    if (!*out) st = status_memory("provenance", 0);
    return st == ST_OK ? native_matrix_describe(about->rows, about->columns, *out) : st;
}
