/* Makes the label maps of a study on all ranks and reads them from their files. */
#include "pipeline/generate/maps.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/part_file.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/data/native_matrix.h"
#include "pipeline/generate/own_maps.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct maps {
    const stage_context *stage;
    maps_origin from;
    own_maps *own; /* NULL unless from.own is set: they are then all that is used */
    int64_t count;
    char fingerprint[SHA256_HEX];
    char folder[PATH_SIZE];
    deformed *plans;           /* [count] */
    label_map_record *records; /* [count]; of held-out volumes 0 */
    int64_t *number;           /* [count]: of the volumes, before some were left out */
    /* The content of the file of the volume `held` (-1: none): its record and its labels. */
    uint8_t *content;
    int64_t held;
};

/* Fingerprint and folder of the maps of a study. */
static status locate(const stage_context *stage, const maps_origin *from,
                     char fingerprint[SHA256_HEX], char folder[PATH_SIZE]) {
    status st = ST_OK;
    char name[64];
    TRY(fingerprint_of_maps(stage->study, store_manifest(from->stores.real)->seal, fingerprint));
    if (from->own) TRY(fingerprint_of_own_masks(fingerprint, from->own->fingerprint, fingerprint));
    TRY(volume_kind_fingerprint(stage->study, from->kind, fingerprint, fingerprint));
    snprintf(name, sizeof name, "maps.parts-%.16s", fingerprint);
    TRY(stage_path(stage, name, folder));
done:
    return st;
}

static int64_t labels_bytes(const maps *m, int64_t v) {
    int64_t size = m->stage->study->data.size;
    return m->plans[v].entry.space.shape[0] * size * size;
}

static uint8_t *labels_of(maps *m) { return m->content + sizeof(label_map_record); }

static status map_path(const maps *m, int64_t v, char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "map-%08" PRId64 ".labels", m->number[v]);
    return path_join(path, m->folder, name);
}

/* Plans volume v. */
static status plan_volume(maps *m, int64_t v) {
    const study *s = m->stage->study;
    const maps_origin *from = &m->from;
    deformed *d = &m->plans[v];
    if (from->kind == VOLUMES_SYNTHETIC)
        return deformed_plan(s, from->stores.real, from->split, v, d);
    const bool held_out = from->kind == VOLUMES_HELD_OUT;
    status st = deformed_plan_part(s, from->stores.real, from->split,
                                   held_out ? SPLIT_TEST : SPLIT_TRAIN, v, d);
    if (st == ST_OK)
        snprintf(d->entry.id, sizeof d->entry.id, "%s%05" PRId64 "-0",
                 held_out ? "heldout" : "inpainted", v);
    return st;
}

/* Plans the volumes and allocates. Local. */
static status prepare(maps *m) {
    status st = ST_OK;
    const study *s = m->stage->study;
    int64_t largest = 0;
    m->count = m->from.kind == VOLUMES_HELD_OUT ? s->generate.held_out : s->generate.volumes;
    TRY(insert_check(s, store_labels(m->from.stores.real)));
    TRY(file_make_dirs(m->folder));
    TRY(array_alloc(&m->plans, m->count, sizeof *m->plans, "synthetic volumes"));
    TRY(array_alloc(&m->records, m->count, sizeof *m->records, "synthetic volumes"));
    TRY(array_alloc(&m->number, m->count, sizeof *m->number, "synthetic volumes"));
    for (int64_t v = 0; v < m->count; v++) {
        m->number[v] = v;
        TRY(plan_volume(m, v));
        if (labels_bytes(m, v) > largest) largest = labels_bytes(m, v);
    }
    TRY(array_alloc(&m->content, (int64_t)sizeof *m->records + largest, 1, "label maps"));
done:
    return st;
}

/* Draws the map of volume v and its record. Limits are measured when the first map needs them.
 * Local. */
static status draw_map(maps *m, int64_t v, label_limits *limits) {
    status st = ST_OK;
    const study *s = m->stage->study;
    const maps_origin *from = &m->from;
    if (from->kind == VOLUMES_HELD_OUT)
        return deformed_labels(s, &from->stores, &m->plans[v], labels_of(m));
    if (limits->labels == 0) TRY(label_limits_measure(s, from->stores.real, from->split, limits));
    if (from->kind == VOLUMES_SYNTHETIC)
        return label_map_make(s, &from->stores, from->split, limits, v, labels_of(m),
                              &m->records[v]);
    st = label_map_inpaint(s, &from->stores, limits, &m->plans[v],
                           volume_kind_first(from->kind) + v, labels_of(m), &m->records[v]);
done:
    return st;
}

/* Makes the map of volume v and writes its file, unless there is a good one. Local. */
static status make_map(maps *m, int64_t v, label_limits *limits) {
    status st = ST_OK;
    int64_t bytes = (int64_t)sizeof *m->records + labels_bytes(m, v);
    char path[PATH_SIZE];
    TRY(map_path(m, v, path));
    st = part_read(path, m->fingerprint, m->content, bytes);
    if (st == ST_INTEGRITY) log_warning(m->stage->log, "%s: made again", status_message());
    if (st == ST_INPUT || st == ST_INTEGRITY) {
        TRY(draw_map(m, v, limits));
        memcpy(m->content, &m->records[v], sizeof *m->records);
        TRY(part_write(path, m->fingerprint, m->content, bytes));
    }
    if (st == ST_OK) memcpy(&m->records[v], m->content, sizeof *m->records);
    activity_step(v);
done:
    return st;
}

/* Every rank makes its maps, in rounds that all ranks make. Collective. */
static status make_all(maps *m) {
    status st = ST_OK;
    const stage_context *stage = m->stage;
    label_limits limits = {0};
    bool stop = false;
    for (int64_t round = 0; round < m->count && !stop; round += comm_size(stage->comm)) {
        int64_t v = round + comm_rank(stage->comm);
        TRY(comm_agree(stage->comm, v < m->count ? make_map(m, v, &limits) : ST_OK));
        TRY(stage_should_stop(stage, &stop));
    }
    if (stop)
        st = status_fail(ST_STOPPED,
                         "stopped; the label maps made so far are kept: run again to resume");
done:
    label_limits_free(&limits);
    return st;
}

/* Leaves out the in-painted volumes into which nothing could be put: they would be real ones.
 * Local; the same on all ranks. */
static status leave_out_unchanged(maps *m) {
    int64_t kept = 0;
    for (int64_t v = 0; v < m->count; v++) {
        if (label_map_blobs(&m->records[v]) == 0) {
            deformed_free(&m->plans[v]);
            continue;
        }
        m->plans[kept] = m->plans[v];
        m->records[kept] = m->records[v];
        m->number[kept++] = v;
    }
    const int64_t left_out = m->count - kept;
    m->count = kept;
    if (kept == 0)
        return status_fail(ST_INPUT,
                           "generate.inpaint: none of %" PRId64 " volumes got a structure of "
                           "generate.insert: raise its share, or generate.volumes",
                           left_out);
    if (left_out > 0 && comm_rank(m->stage->comm) == 0)
        log_info(m->stage->log,
                 "generate: %" PRId64 " volumes to be in-painted got no structure and are left out",
                 left_out);
    return ST_OK;
}

/* Gives all ranks the records, and plans the draws that were taken. Collective. */
static status share_records(maps *m) {
    status st = ST_OK;
    const study *s = m->stage->study;
    TRY(comm_sum_i64(m->stage->comm, (int64_t *)m->records,
                     m->count * (int64_t)(sizeof *m->records / sizeof(int64_t))));
    for (int64_t v = 0; v < m->count && m->from.kind == VOLUMES_SYNTHETIC; v++)
        deformed_draw(s, v, label_map_draw(&m->records[v]), &m->plans[v]);
    if (m->from.kind == VOLUMES_INPAINTED) st = leave_out_unchanged(m);
done:
    return st;
}

/* "liver too small", one line for each fault and structure. Local; called on rank 0. */
static void log_faults(const maps *m) {
    const label_set *names = store_labels(m->from.stores.real);
    int64_t volumes = m->count, plain = 0, again = 0;
    if (m->from.kind != VOLUMES_SYNTHETIC) return;
    for (int64_t v = 0; v < volumes; v++) {
        plain += m->records[v].rejected == LABEL_MAP_DRAWS;
        again += m->records[v].rejected > 0;
    }
    if (again == 0) return;
    log_info(m->stage->log,
             "generate: %" PRId64 " of %" PRId64 " label maps were drawn again, %" PRId64
             " of them in vain: deformed alone",
             again, volumes, plain);
    for (int fault = LABELS_GOOD + 1; fault < LABEL_FAULTS; fault++)
        for (int label = 1; label < names->count; label++) {
            int64_t n = 0;
            for (int64_t v = 0; v < volumes; v++)
                for (int64_t k = 0; k < m->records[v].rejected; k++)
                    n += m->records[v].fault[k] == fault && m->records[v].label[k] == label;
            if (n > 0)
                log_info(m->stage->log, "generate: %" PRId64 " draws rejected: %s %s", n,
                         names->name[label], named_table_name(&label_faults, fault));
        }
}

status maps_open(const stage_context *stage, const maps_origin *from, maps **out) {
    status st = ST_OK;
    maps *m = NULL;
    st = array_alloc(&m, 1, sizeof *m, "label maps");
    *out = m;
    if (m) {
        *m = (maps){.stage = stage, .from = *from, .held = -1};
        st = locate(stage, from, m->fingerprint, m->folder);
    }
    if (st == ST_OK && !from->own) st = prepare(m);
    TRY(comm_agree(stage->comm, st));
    if (from->own) {
        TRY(own_maps_open(from->own, &from->stores, from->split, m->folder, m->fingerprint,
                          &m->own));
        goto done;
    }
    TRY(make_all(m));
    TRY(share_records(m));
    if (comm_rank(stage->comm) == 0) log_faults(m);
done:
    return st;
}

void maps_close(maps *m) {
    if (!m) return;
    own_maps_close(m->own);
    for (int64_t v = 0; m->plans && v < m->count; v++) deformed_free(&m->plans[v]);
    free(m->plans);
    free(m->records);
    free(m->number);
    free(m->content);
    free(m);
}

int64_t maps_count(const maps *m) { return m->own ? own_maps_count(m->own) : m->count; }

const store_entry *maps_entry(const maps *m, int64_t v) {
    return m->own ? own_maps_entry(m->own, v) : &m->plans[v].entry;
}

status maps_condition(maps *m, int64_t v, int64_t k, slice_sample *out) {
    if (m->own) return own_maps_condition(m->own, v, k, out);
    return deformed_condition(m->stage->study, &m->from.stores, &m->plans[v], k, out);
}

status maps_labels(maps *m, int64_t v, const uint8_t **labels) {
    status st = ST_OK;
    char path[PATH_SIZE];
    if (m->own) return own_maps_labels(m->own, v, labels);
    if (m->held != v) {
        m->held = -1;
        TRY(map_path(m, v, path));
        TRY(part_read(path, m->fingerprint, m->content,
                      (int64_t)sizeof *m->records + labels_bytes(m, v)));
        m->held = v;
    }
    *labels = labels_of(m);
done:
    return st;
}

status maps_describe(const maps *m, int64_t v, json_t **out) {
    if (m->own) return own_maps_describe(m->own, v, out);
    const deformed *plan = &m->plans[v];
    const int64_t *series = store_at(m->from.stores.real, plan->source)->space.shape;
    *out = deformed_json(plan, m->from.stores.real);
    if (!*out) return status_memory("provenance", 0);
    status st = native_matrix_describe(series[1], series[2], *out);
    if (st != ST_OK) return st;
    if (m->from.kind == VOLUMES_HELD_OUT) return ST_OK;
    return label_map_describe(m->stage->study, m->from.stores.real, &m->records[v], *out);
}

status maps_remove(const stage_context *stage, const maps_origin *from) {
    status st = ST_OK;
    char fingerprint[SHA256_HEX], folder[PATH_SIZE];
    TRY(locate(stage, from, fingerprint, folder));
    if (file_exists(folder)) TRY(file_remove_tree(folder));
done:
    return st;
}
