/* The generation stage: paints synthetic volumes for deformed label maps of the real store, or for
 * the user's own masks (generate.masks), with each painter of generate.painters in turn, and writes
 * a store for each; then the held-out and the in-painted volumes (pipeline/common/volume_kind.h) in
 * the same way.
 *
 * With generate.ground: captions the maps only say what captions say: the slices are labelled by
 * the referee (pipeline/segmenter/referee.h).
 *
 * The unit of work is a batch of neighbouring slices of one volume. Which slices a unit has does
 * not depend on the number of ranks. The units are distributed over the ranks, and each is written
 * to a file of its own, so that a stopped generation resumes with the missing units. At the end the
 * volumes are assembled from the units' files.
 */
#include "pipeline/generate/maps.h"
#include "pipeline/common/contact_sheet.h"
#include "pipeline/common/costs.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/pseudo_store.h"
#include "pipeline/generate/painter.h"
#include "pipeline/generate/surroundings.h"
#include "pipeline/segmenter/referee.h"
#include "pipeline/stage.h"

#include "io/activity.h"
#include "io/alloc.h"
#include "io/part_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { INPAINT_BATCH = 4 };

/* Volumes that every painter paints. */
typedef struct volume_set {
    volume_kind kind;
    maps *maps; /* NULL until the first painter needs them */
    int64_t unit_count;
    int64_t *first_unit; /* [volumes]: number of a volume's first unit */
} volume_set;

typedef struct generation {
    const stage_context *stage;
    map_stores stores;
    split split;
    own_masks own;         /* if generate.masks is set */
    painter_inputs inputs; /* of every painter */
    volume_set sets[VOLUME_KINDS];
    volume_set *set; /* that is painted now */
    /* One unit; the arrays have generate.batch slices, those that are painted first. */
    slice_sample *conditions;
    uint64_t *index; /* global sample indices, which the noise depends on */
    int64_t *slots;  /* number of the slice in the unit */
    uint8_t *labels;
    float *sources;         /* images of the source slices */
    uint8_t *source_labels; /* of in-painted volumes: those of one source slice */
    float *keep;            /* of in-painted volumes: what stays of the images */
    float *images;          /* [-1, 1] */
    int16_t *hu;            /* in the order of the unit */
    segmenter referee;      /* with generate.ground: captions, once it is needed */
    /* The painter at work. */
    const painter *by;
    int64_t batch; /* slices that it paints at once */
    const char *name;
    void *painter;
    double painting; /* seconds of this rank in paint() */
    char fingerprint[SHA256_HEX];
    char folder[32];       /* of its store in the run directory */
    char units[PATH_SIZE]; /* directory of the units' files */
    char output[PATH_SIZE];
} generation;

/* ST_INTEGRITY unless the store of pseudo-labels has the unlabelled volumes in their order. Local.
 */
static status check_pseudo(const generation *g) {
    const store *real = g->stores.real, *pseudo = g->stores.pseudo;
    for (int64_t i = 0; i < g->split.run_count[SPLIT_UNLABELLED]; i++) {
        const store_entry *own = store_at(real, g->split.runs[SPLIT_UNLABELLED][i].volume);
        const store_entry *labels = i < store_count(pseudo) ? store_at(pseudo, i) : NULL;
        if (!labels || strcmp(labels->id, own->id) != 0 ||
            memcmp(labels->space.shape, own->space.shape, sizeof own->space.shape) != 0)
            return status_fail(ST_INTEGRITY,
                               "the pseudo-labels lack those of volume %s: remove %s/pseudo and "
                               "run ctaug referee again",
                               own->id, g->stage->study->out);
    }
    return ST_OK;
}

/* Opens the real store, splits it, and opens the pseudo-labels. Local. */
static status open_inputs(generation *g) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(stage_path(g->stage, "store", path));
    TRY(store_open(path, &g->stores.real));
    TRY(split_create(g->stores.real, g->stage->study, &g->split));
    if (deformed_uses_pseudo(g->stage->study, &g->split)) {
        TRY(pseudo_store_open(g->stage, g->stores.real, &g->stores.pseudo));
        TRY(check_pseudo(g));
    }
    g->inputs = (painter_inputs){g->stage, g->stores, &g->split};
done:
    return st;
}

/* What the maps of a set follow from: all but the synthetic ones are those of patients. */
static maps_origin origin_of(generation *g, const volume_set *set) {
    const bool own = g->stage->study->generate.masks[0] && set->kind == VOLUMES_SYNTHETIC;
    return (maps_origin){g->stores, &g->split, set->kind, own ? &g->own : NULL};
}

/* Sets the painter at work; computes g->fingerprint, g->output and g->units, and checks whether the
 * output is there already. Collective. */
static status check_current(generation *g, int kind, bool *current) {
    status st = ST_OK;
    const stage_context *s = g->stage;
    char name[sizeof g->folder + 32];
    g->by = painters[kind];
    g->name = named_table_name(&painter_kinds, kind);
    TRY(g->by->find(&g->inputs, &g->painter, g->fingerprint));
    const own_masks *own = origin_of(g, g->set).own;
    if (own) st = fingerprint_of_own_masks(g->fingerprint, own->fingerprint, g->fingerprint);
    if (st == ST_OK)
        st = volume_kind_fingerprint(s->study, g->set->kind, g->fingerprint, g->fingerprint);
    snprintf(g->folder, sizeof g->folder, "%s%s", g->by->folder, volume_kind_suffix(g->set->kind));
    snprintf(name, sizeof name, "%s.parts-%.16s", g->folder, g->fingerprint);
    if (st == ST_OK) st = stage_path(s, name, g->units);
    if (st == ST_OK) st = stage_path(s, g->folder, g->output);
    TRY(comm_agree(s->comm, st));
    TRY(stage_is_current(s, g->output, "store", g->fingerprint, current));
done:
    return st;
}

static int64_t volumes_of(const generation *g) { return maps_count(g->set->maps); }

/* Divides the volumes of the set into units. Local. */
static status plan_units(generation *g) {
    status st = ST_OK;
    const study *s = g->stage->study;
    volume_set *set = g->set;
    const int64_t volumes = volumes_of(g);
    TRY(array_alloc(&set->first_unit, volumes, sizeof *set->first_unit, "work units"));
    for (int64_t v = 0; v < volumes; v++) {
        int64_t slices = maps_entry(set->maps, v)->space.shape[0];
        set->first_unit[v] = set->unit_count;
        set->unit_count += (slices + s->generate.batch - 1) / s->generate.batch;
    }
done:
    return st;
}

/* Allocates the arrays of a unit. Local. */
static status allocate_unit(generation *g) {
    status st = ST_OK;
    const study *s = g->stage->study;
    int64_t batch = s->generate.batch, pixels = s->data.size * s->data.size;
    TRY(array_alloc(&g->conditions, batch, sizeof *g->conditions, "conditions"));
    TRY(array_alloc(&g->index, batch, sizeof *g->index, "sample indices"));
    TRY(array_alloc(&g->slots, batch, sizeof *g->slots, "slices of a unit"));
    TRY(array_alloc(&g->source_labels, pixels, 1, "a label map"));
    TRY(array_alloc(&g->keep, batch * pixels, sizeof(float), "surroundings"));
    TRY(array_alloc(&g->labels, batch * pixels, 1, "label maps"));
    TRY(array_alloc(&g->sources, batch * pixels, sizeof(float), "source slices"));
    TRY(array_alloc(&g->images, batch * pixels, sizeof(float), "painted slices"));
    TRY(array_alloc(&g->hu, batch * pixels, sizeof(int16_t), "painted slices"));
done:
    return st;
}

/* Path of a unit's file. Local. */
static status unit_path(const generation *g, int64_t unit, char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "unit-%08" PRId64 ".hu", unit);
    return path_join(path, g->units, name);
}

/* The volume that a unit belongs to. */
static int64_t volume_of(const generation *g, int64_t unit) {
    int64_t v = volumes_of(g) - 1;
    while (g->set->first_unit[v] > unit) v--;
    return v;
}

/* A unit has the slices [*first, *first + count) of volume *v; returns count. */
static int64_t slices_of(const generation *g, int64_t unit, int64_t *v, int64_t *first) {
    int64_t batch = g->stage->study->generate.batch;
    *v = volume_of(g, unit);
    *first = (unit - g->set->first_unit[*v]) * batch;
    int64_t left = maps_entry(g->set->maps, *v)->space.shape[0] - *first;
    return left < batch ? left : batch;
}

/* Sets the conditions of slice k of volume v at slot n. *changed: whether there is anything to
 * paint. Local. */
static status set_condition(generation *g, int64_t v, int64_t k, int64_t n, const uint8_t *labels,
                            bool *changed) {
    status st = ST_OK;
    const study *s = g->stage->study;
    const bool inpainted = g->set->kind == VOLUMES_INPAINTED;
    const bool measured = s->model.text == SWITCH_ON || s->model.numbers == SWITCH_ON;
    const bool wants_source =
        g->by->wants_source || s->model.tissue == SWITCH_ON || inpainted || measured;
    const int64_t pixels = s->data.size * s->data.size;
    const int64_t number = v + volume_kind_first(g->set->kind);
    slice_sample *c = &g->conditions[n];
    c->labels = inpainted ? g->source_labels : NULL; /* the map's are other ones */
    c->image = wants_source ? g->sources + n * pixels : NULL;
    TRY(maps_condition(g->set->maps, v, k, c));
    c->labels = g->labels + n * pixels;
    memcpy(c->labels, labels + k * pixels, (size_t)pixels);
    g->index[n] = ((uint64_t)number << 20) + (uint64_t)k;
    *changed = !inpainted ||
               surroundings_keep(g->source_labels, c->labels, s->data.size, g->keep + n * pixels);
done:
    return st;
}

/* Writes an image as slice b of the unit. */
static void put_slice(generation *g, int64_t b, const float *image) {
    const study *s = g->stage->study;
    const int64_t pixels = s->data.size * s->data.size;
    for (int64_t i = 0; i < pixels; i++)
        g->hu[b * pixels + i] = window_invert(image[i], s->data.window[0], s->data.window[1]);
}

/* Paints the slices [first, first + count) of volume v. Slices of in-painted volumes without an
 * inserted structure stay as they are. Local. */
static status paint_slices(generation *g, int64_t v, int64_t first, int64_t count) {
    status st = ST_OK;
    const int64_t pixels = g->stage->study->data.size * g->stage->study->data.size;
    const float *keep = g->set->kind == VOLUMES_INPAINTED ? g->keep : NULL;
    const uint8_t *labels = NULL;
    int64_t n = 0;
    TRY(maps_labels(g->set->maps, v, &labels));
    for (int64_t b = 0; b < count; b++) {
        bool changed = false;
        TRY(set_condition(g, v, first + b, n, labels, &changed));
        if (changed)
            g->slots[n++] = b;
        else
            put_slice(g, b, g->conditions[n].image);
    }
    const double start = log_seconds();
    for (int64_t from = 0; from < n; from += g->batch)
        TRY(g->by->paint(g->painter, g->conditions + from, g->index + from,
                         keep ? keep + from * pixels : NULL,
                         n - from < g->batch ? n - from : g->batch, g->images + from * pixels));
    g->painting += log_seconds() - start;
    for (int64_t i = 0; i < n; i++) put_slice(g, g->slots[i], g->images + i * pixels);
done:
    return st;
}

/* Paints a unit and writes its file, unless there is a good one. Local. */
static status paint_unit(generation *g, int64_t unit) {
    status st = ST_OK;
    const study *s = g->stage->study;
    char path[PATH_SIZE];
    int64_t v, first, count = slices_of(g, unit, &v, &first);
    int64_t bytes = count * s->data.size * s->data.size * (int64_t)sizeof *g->hu;
    TRY(unit_path(g, unit, path));
    st = part_read(path, g->fingerprint, g->hu, bytes);
    if (st == ST_OK) activity_saved(true);
    if (st != ST_INPUT && st != ST_INTEGRITY) goto done;
    if (st == ST_INTEGRITY) log_warning(g->stage->log, "%s: painted again", status_message());
    TRY(paint_slices(g, v, first, count));
    TRY(part_write(path, g->fingerprint, g->hu, bytes));
    activity_step(unit);
    activity_saved(true);
done:
    return st;
}

/* Adds the seconds in paint() since the last call to the costs of this store. Collective. */
static status add_cost(generation *g) {
    char name[COSTS_NAME];
    const double seconds = g->painting;
    g->painting = 0;
    costs_of_painting(g->name, g->fingerprint, name);
    return costs_add(g->stage, name, seconds);
}

/* Paints all units in rounds: in each round every rank paints one unit, then all ranks agree on
 * the status and check for a stop request. All ranks make the same number of rounds. Collective. */
static status paint_all(generation *g) {
    status st = ST_OK;
    const comm *c = g->stage->comm;
    bool stop = false;
    log_progress_begin(g->stage->log, "generate", g->set->unit_count); /* batches of slices */
    for (int64_t round = 0; round < g->set->unit_count && !stop; round += comm_size(c)) {
        int64_t unit = round + comm_rank(c);
        TRY(comm_agree(c, unit < g->set->unit_count ? paint_unit(g, unit) : ST_OK));
        if (g->set->kind != VOLUMES_HELD_OUT) TRY(add_cost(g));
        int64_t finished = round + comm_size(c);
        log_progress_set(g->stage->log,
                         finished < g->set->unit_count ? finished : g->set->unit_count, "batches");
        TRY(stage_should_stop(g->stage, &stop));
    }
    if (stop)
        st = status_fail(ST_STOPPED,
                         "stopped; the slices painted so far are kept: run again to resume");
done:
    log_progress_end(g->stage->log);
    return st;
}

/* The labels that the referee gives the slices of a volume. Local. */
static status label_volume(generation *g, volume *v) {
    status st = ST_OK;
    const study *s = g->stage->study;
    const int64_t pixels = s->data.size * s->data.size;
    if (!g->referee.params) TRY(referee_open(g->stage, store_labels(g->stores.real), &g->referee));
    for (int64_t z = 0; z < v->space.shape[0]; z += s->generate.batch) {
        const int64_t left = v->space.shape[0] - z;
        const int64_t count = left < s->generate.batch ? left : s->generate.batch;
        for (int64_t i = 0; i < count * pixels; i++)
            g->images[i] =
                window_apply((float)v->hu[z * pixels + i], s->data.window[0], s->data.window[1]);
        TRY(segmenter_labels(&g->referee, g->images, count, v->labels + z * pixels, NULL));
    }
done:
    return st;
}

/* Assembles volume v from its units' files; with the labels of its map or of the referee. The
 * caller frees *out, also after a failure. Local. */
static status assemble_volume(generation *g, int64_t v, volume *out) {
    status st = ST_OK;
    const study *s = g->stage->study;
    const store_entry *entry = maps_entry(g->set->maps, v);
    const uint8_t *labels = NULL;
    int64_t pixels = s->data.size * s->data.size, slices = entry->space.shape[0];
    char path[PATH_SIZE];
    *out = (volume){.space = entry->space, .contrast = entry->contrast, .traits = entry->traits};
    snprintf(out->id, sizeof out->id, "%s", entry->id);
    TRY(volume_alloc(out));
    for (int64_t first = 0; first < slices; first += s->generate.batch) {
        int64_t left = slices - first, count = left < s->generate.batch ? left : s->generate.batch;
        int16_t *hu = out->hu + first * pixels;
        TRY(unit_path(g, g->set->first_unit[v] + first / s->generate.batch, path));
        TRY(part_read(path, g->fingerprint, hu, count * pixels * (int64_t)sizeof *hu));
    }
    if (s->generate.ground == GROUND_CAPTIONS) {
        TRY(label_volume(g, out));
        goto done;
    }
    TRY(maps_labels(g->set->maps, v, &labels));
    memcpy(out->labels, labels, (size_t)(slices * pixels));
done:
    return st;
}

/* Writes this rank's volumes. Local. */
static status put_volumes(generation *g, store_writer *w) {
    status st = ST_OK;
    for (int64_t v = 0; v < volumes_of(g) && st == ST_OK; v++) {
        volume assembled = {0};
        if (!store_writer_is_mine(w, v)) continue;
        st = assemble_volume(g, v, &assembled);
        if (st == ST_OK) st = store_writer_put(w, v, &assembled);
        volume_free(&assembled);
    }
    return st;
}

/* What the volumes are painted on, for the provenance. *out: new reference, also after a failure.
 * Local. */
static status list_volumes(const generation *g, json_t **out) {
    status st = ST_OK;
    *out = json_array();
    for (int64_t v = 0; v < volumes_of(g) && st == ST_OK; v++) {
        json_t *one = NULL;
        st = maps_describe(g->set->maps, v, &one);
        if (json_array_append_new(*out, one) != 0 && st == ST_OK)
            st = status_memory("provenance", 0);
    }
    return st;
}

/* What is other in the model's description. 0, or a failure. */
static int describe_inpainting(const generation *g, json_t *model) {
    const study *s = g->stage->study;
    int failed = json_object_set_new(model, "inpainted", json_true());
    failed |= json_object_set_new(model, "resample", json_integer(s->generate.resample));
    failed |= json_object_set_new(model, "appearance", json_real(0));
    if (s->generate.resample > 1) failed |= json_object_del(model, "evaluations");
    return failed;
}

/* The provenance entry of the store's manifest. *out: new reference, also after a failure. Local.
 */
static status provenance(generation *g, json_t **out) {
    status st;
    json_t *list = NULL, *model = g->by->provenance(g->painter);
    const own_masks *own = origin_of(g, g->set).own;
    int failed = 0;
    if (own && model) failed = json_object_set_new(model, "masks", json_string(own->fingerprint));
    if (g->set->kind == VOLUMES_HELD_OUT && model)
        failed = json_object_set_new(model, "held_out", json_true());
    if (g->set->kind == VOLUMES_INPAINTED && model) failed = describe_inpainting(g, model);
    st = list_volumes(g, &list);
    *out =
        json_pack("{s:b, s:s, s:s, s:o}", "synthetic", 1, "painter", g->name, "store_fingerprint",
                  store_manifest(g->stores.real)->fingerprint, "volumes", list);
    failed |= !model || json_object_update(*out, model) != 0;
    json_decref(model);
    return st == ST_OK && failed ? status_memory("provenance", 0) : st;
}

/* Writes and publishes the synthetic store. Collective. */
static status write_store(generation *g) {
    status st = ST_OK;
    int64_t n = volumes_of(g);
    store_entry *entries = NULL;
    store_writer *w = NULL;
    json_t *from = NULL;
    st = provenance(g, &from);
    if (st == ST_OK) st = array_alloc(&entries, n, sizeof *entries, "store entries");
    TRY(comm_agree(g->stage->comm, st));
    for (int64_t v = 0; v < n; v++) entries[v] = *maps_entry(g->set->maps, v);
    store_plan plan = {.directory = g->output,
                       .fingerprint = g->fingerprint,
                       .labels = store_labels(g->stores.real),
                       .provenance = from,
                       .entries = entries,
                       .count = n,
                       .shard_bytes = g->stage->study->ingest.shard_mib << 20};
    TRY(store_writer_open(g->stage->comm, &plan, &w));
    TRY(store_writer_finish(w, put_volumes(g, w)));
done:
    json_decref(from);
    free(entries);
    return st;
}

/* What painting needs: what all painters share, unless it is there already, and the painter's own.
 * Local. */
static status open_painting(generation *g) {
    status st = ST_OK;
    TRY(file_make_dirs(g->units));
    if (!g->set->first_unit) TRY(plan_units(g));
    if (!g->hu) TRY(allocate_unit(g));
    /* Few slices of an in-painted volume have a structure, and a painter computes whole batches. */
    g->batch = g->stage->study->generate.batch;
    if (g->set->kind == VOLUMES_INPAINTED && g->batch > INPAINT_BATCH) g->batch = INPAINT_BATCH;
    TRY(g->by->open(g->painter, g->batch));
done:
    return st;
}

static void close_generation(generation *g) {
    for (int k = 0; k < VOLUME_KINDS; k++) {
        maps_close(g->sets[k].maps);
        free(g->sets[k].first_unit);
    }
    own_masks_free(&g->own);
    segmenter_close(&g->referee);
    split_free(&g->split);
    store_close(g->stores.real);
    store_close(g->stores.pseudo);
    free(g->conditions);
    free(g->index);
    free(g->slots);
    free(g->source_labels);
    free(g->keep);
    free(g->labels);
    free(g->sources);
    free(g->images);
    free(g->hu);
}

/* Writes the contact sheet of the published store, then removes the units' files. If these exist
 * although the store is current, an earlier run was killed before it came here. Local; called on
 * rank 0. */
static status finish(const generation *g) {
    status st = ST_OK;
    char sheet[PATH_SIZE], name[64];
    store *made = NULL;
    TRY(store_open(g->output, &made));
    TRY(stage_path(g->stage, "previews", sheet));
    TRY(file_make_dirs(sheet));
    snprintf(name, sizeof name, "previews/%s.png", g->folder);
    TRY(stage_path(g->stage, name, sheet));
    TRY(contact_sheet_write(g->output, g->stage->study->data.window, sheet));
    TRY(file_remove_tree(g->units));
    log_info(g->stage->log,
             "generate: %" PRId64 " %s volumes by painter %s in %s, contact sheet %s",
             store_count(made), volume_kind_name(g->set->kind), g->name, g->output, sheet);
done:
    store_close(made);
    return st;
}

/* Makes the store of one painter, unless it is current. Collective. */
static status run_painter(generation *g, int kind, volume_set *set) {
    status st = ST_OK;
    const stage_context *stage = g->stage;
    bool current = false;
    g->set = set;
    g->painting = 0;
    TRY(check_current(g, kind, &current));
    if (current) {
        log_info(stage->log, "generate: %s is current", g->output);
    } else {
        stage_works(stage);
        const maps_origin from = origin_of(g, set);
        if (!set->maps) TRY(maps_open(stage, &from, &set->maps));
        TRY(comm_agree(stage->comm, open_painting(g)));
        TRY(paint_all(g));
        TRY(write_store(g));
        log_event(stage->log, "generate",
                  json_pack("{s:I, s:s, s:s}", "volumes", (json_int_t)volumes_of(g), "painter",
                            g->name, "fingerprint", g->fingerprint));
    }
    if (comm_rank(stage->comm) == 0 && (!current || file_exists(g->units))) st = finish(g);
    TRY(comm_agree(stage->comm, st));
done:
    if (g->by) g->by->close(g->painter);
    g->painter = NULL;
    return st;
}

status generate_stage(const stage_context *stage) {
    status st = ST_OK;
    generation g = {.stage = stage};
    for (int k = 0; k < VOLUME_KINDS; k++) g.sets[k].kind = (volume_kind)k;
    TRY(comm_agree(stage->comm, open_inputs(&g)));
    if (stage->study->generate.masks[0])
        TRY(own_masks_find(stage, g.stores.real, &g.split, &g.own));
    for (int k = 0; k < VOLUME_KINDS; k++)
        for (int by = 0; by < PAINTER_KINDS; by++)
            if (volume_kind_wanted(stage->study, (volume_kind)k, (painter_kind)by))
                TRY(run_painter(&g, by, &g.sets[k]));
    for (int k = 0; k < VOLUME_KINDS && comm_rank(stage->comm) == 0 && st == ST_OK; k++) {
        const maps_origin from = origin_of(&g, &g.sets[k]);
        st = maps_remove(stage, &from);
    }
    TRY(comm_agree(stage->comm, st));
    stage_log_next(stage, "evaluate");
done:
    close_generation(&g);
    return st;
}
