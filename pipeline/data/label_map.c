/* Draws, checks and describes the label maps of synthetic volumes. */
#include "pipeline/data/label_map.h"

#include <stdio.h>
#include <string.h>

int label_map_draw(const label_map_record *r) {
    return r->rejected < LABEL_MAP_DRAWS ? (int)r->rejected : 0;
}

/* One draw with all that it may have, and its check. */
static status make_draw(const study *s, const map_stores *from, const split *sp,
                        const label_limits *limits, int64_t v, int draw, uint8_t *labels,
                        transplant *part, inserted *in, label_fault *fault, int *label) {
    status st = ST_OK;
    deformed d;
    TRY(deformed_plan(s, from->real, sp, v, &d));
    deformed_draw(s, v, draw, &d);
    TRY(deformed_labels(s, from, &d, labels));
    TRY(transplant_structure(s, from->real, sp, limits, v, draw, &d, labels, part));
    insert_blobs(s, store_labels(from->real), limits, &d.entry.space, v, draw, labels, in);
    TRY(label_limits_check(limits, labels, d.entry.space.shape, d.entry.space.spacing, in->volume,
                           fault, label));
done:
    deformed_free(&d);
    return st;
}

/* The deformed map of the first draw alone. */
static status make_plain(const study *s, const map_stores *from, const split *sp, int64_t v,
                         uint8_t *labels) {
    status st = ST_OK;
    deformed d;
    TRY(deformed_plan(s, from->real, sp, v, &d));
    TRY(deformed_labels(s, from, &d, labels));
done:
    deformed_free(&d);
    return st;
}

status label_map_make(const study *s, const map_stores *from, const split *sp,
                      const label_limits *limits, int64_t v, uint8_t *labels,
                      label_map_record *out) {
    status st = ST_OK;
    memset(out, 0, sizeof *out);
    for (int draw = 0; draw < LABEL_MAP_DRAWS; draw++) {
        transplant part = {0};
        inserted in;
        label_fault fault = LABELS_GOOD;
        int label = 0;
        TRY(make_draw(s, from, sp, limits, v, draw, labels, &part, &in, &fault, &label));
        if (fault == LABELS_GOOD) {
            out->transplanted = part.label;
            out->donor = part.donor;
            memcpy(out->blobs, in.blobs, sizeof out->blobs);
            goto done;
        }
        out->fault[draw] = fault;
        out->label[draw] = label;
        out->rejected++;
    }
    TRY(make_plain(s, from, sp, v, labels));
done:
    return st;
}

int64_t label_map_blobs(const label_map_record *r) {
    int64_t n = 0;
    for (int i = 0; i < STUDY_LIST; i++) n += r->blobs[i];
    return n;
}

status label_map_inpaint(const study *s, const map_stores *from, const label_limits *limits,
                         const deformed *d, int64_t v, uint8_t *labels, label_map_record *out) {
    status st = ST_OK;
    memset(out, 0, sizeof *out);
    for (int draw = 0; draw < LABEL_MAP_DRAWS; draw++) {
        inserted in;
        label_fault fault = LABELS_GOOD;
        int label = 0;
        TRY(deformed_labels(s, from, d, labels));
        insert_blobs(s, store_labels(from->real), limits, &d->entry.space, v, draw, labels, &in);
        TRY(label_limits_check(limits, labels, d->entry.space.shape, d->entry.space.spacing,
                               in.volume, &fault, &label));
        if (fault == LABELS_GOOD) {
            memcpy(out->blobs, in.blobs, sizeof out->blobs);
            goto done;
        }
        out->fault[draw] = fault;
        out->label[draw] = label;
        out->rejected++;
    }
done:
    return st;
}

status label_map_describe(const study *s, const store *real, const label_map_record *r,
                          json_t *to) {
    const label_set *names = store_labels(real);
    json_t *faults = json_array(), *blobs = json_object();
    char name[2 * LABEL_NAME + 8];
    int failed = 0;
    for (int64_t k = 0; k < r->rejected; k++)
        failed |= json_array_append_new(
            faults, json_pack("{s:s, s:s}", "structure", names->name[r->label[k]], "fault",
                              named_table_name(&label_faults, (int)r->fault[k])));
    for (int i = 0; i < s->generate.insert_count; i++) {
        const study_insert *e = &s->generate.insert[i];
        snprintf(name, sizeof name, "%s in %s", e->structure, e->host);
        failed |= json_object_set_new(blobs, name, json_integer((json_int_t)r->blobs[i]));
    }
    if (r->transplanted > 0)
        failed |=
            json_object_set_new(to, "transplanted",
                                json_pack("{s:s, s:s}", "structure", names->name[r->transplanted],
                                          "from", store_at(real, r->donor)->id));
    failed |= json_object_set_new(to, "rejected", faults);
    failed |= json_object_set_new(to, "plain", json_boolean(r->rejected == LABEL_MAP_DRAWS));
    failed |= json_object_set_new(to, "inserted", blobs);
    return failed ? status_memory("provenance", 0) : ST_OK;
}
