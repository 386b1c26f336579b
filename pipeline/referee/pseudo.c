/* Segments the unlabelled volumes with the referee, cleans the label maps and writes the store.
 *
 * The unit of work is a volume. It is segmented by one rank and written to a file of its own at the
 * working size, so that a stopped run resumes with the missing ones; at the end the ranks resample
 * the files and write the store.
 */
#include "pipeline/referee/pseudo.h"

#include "io/activity.h"
#include "io/part_file.h"
#include "model/components.h"
#include "model/warp.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/segmenter/referee.h"

#include <inttypes.h>
#include <string.h>

static const double CONFIDENCE = 1.0 / 3, COMPONENT_SHARE = 0.25, MULTIPLE_SHARE = 0.25;
static const int16_t AIR = -1024; /* HU */
enum { IMAGES = 16 /* slices segmented by one call */ };

typedef struct labelling {
    const stage_context *stage;
    store *real;
    const split *split;
    segmenter referee;
    slices *unlabelled;
    int64_t *start;            /* by unlabelled run: its first slice in `unlabelled` */
    float *images;             /* [IMAGES][size][size] */
    float *confidence;         /* [IMAGES][size][size] */
    uint8_t *labels;           /* [slices of the deepest volume][size][size] */
    bool keep_all[LABELS_MAX]; /* structures that keep all components */
    char fingerprint[SHA256_HEX], output[PATH_SIZE], parts[PATH_SIZE];
} labelling;

static int64_t run_count(const labelling *p) { return p->split->run_count[SPLIT_UNLABELLED]; }

static const split_run *run_at(const labelling *p, int64_t i) {
    return &p->split->runs[SPLIT_UNLABELLED][i];
}

static int64_t pixels_of(const labelling *p) {
    return p->stage->study->data.size * p->stage->study->data.size;
}

/* Fingerprint and paths. Local. */
static status find_output(labelling *p) {
    status st = ST_OK;
    char name[64];
    TRY(fingerprint_of_pseudo(p->stage->study, store_manifest(p->real)->seal, p->fingerprint));
    TRY(stage_path(p->stage, "pseudo", p->output));
    snprintf(name, sizeof name, "pseudo.parts-%.16s", p->fingerprint);
    TRY(stage_path(p->stage, name, p->parts));
done:
    return st;
}

/* Opens the referee and the slices, whose true labels are not read; allocates the buffers. Local.
 */
static status open_labelling(labelling *p) {
    status st = ST_OK;
    const study *s = p->stage->study;
    const int64_t pixels = pixels_of(p);
    int64_t deepest = 0, slices = 0;
    slice_source source = {
        .from = p->real, .runs = p->split->runs[SPLIT_UNLABELLED], .run_count = run_count(p)};
    TRY(referee_open(p->stage, store_labels(p->real), &p->referee));
    TRY(slices_open_unlabelled(s, &source, NULL, &p->unlabelled));
    TRY(array_alloc(&p->start, run_count(p), sizeof *p->start, "unlabelled volumes"));
    for (int64_t i = 0; i < run_count(p); i++) {
        p->start[i] = slices;
        slices += run_at(p, i)->count;
        if (run_at(p, i)->count > deepest) deepest = run_at(p, i)->count;
    }
    TRY(array_alloc(&p->images, IMAGES * pixels, sizeof *p->images, "slices"));
    TRY(array_alloc(&p->confidence, IMAGES * pixels, sizeof *p->confidence, "confidences"));
    TRY(array_alloc(&p->labels, deepest * pixels, 1, "label maps"));
    TRY(file_make_dirs(p->parts));
done:
    return st;
}

static void close_labelling(labelling *p) {
    segmenter_close(&p->referee);
    slices_close(p->unlabelled);
    free(p->start);
    free(p->images);
    free(p->confidence);
    free(p->labels);
}

/* Adds to have[label] the labelled training volumes with this structure, and to altered[label]
 * those in which cleaning would remove something. Each rank looks at every comm_size()-th. Local.
 */
static status count_altered(const labelling *p, int64_t have[LABELS_MAX],
                            int64_t altered[LABELS_MAX]) {
    status st = ST_OK;
    const study *s = p->stage->study;
    const int64_t pixels = pixels_of(p);
    slices *train = NULL;
    uint8_t *labels = NULL;
    slice_source source = {.from = p->real,
                           .runs = p->split->runs[SPLIT_TRAIN],
                           .run_count = p->split->run_count[SPLIT_TRAIN]};
    TRY(slices_open(s, &source, 1, &train));
    int64_t first = 0;
    for (int64_t i = 0; i < source.run_count; first += source.runs[i++].count) {
        const int64_t count = source.runs[i].count;
        const int64_t shape[3] = {count, s->data.size, s->data.size};
        int64_t removed[COMPONENT_LABELS];
        bool present[LABELS_MAX] = {false};
        if (i % comm_size(p->stage->comm) != comm_rank(p->stage->comm)) continue;
        free(labels);
        TRY(array_alloc(&labels, count * pixels, 1, "label maps"));
        for (int64_t k = 0; k < count; k++) {
            slice_sample sample = {.image = p->images, .labels = labels + k * pixels};
            TRY(slices_get(train, first + k, &sample));
        }
        for (int64_t k = 0; k < count * pixels; k++) present[labels[k]] = true;
        TRY(components_remove_small(labels, shape, COMPONENT_SHARE, NULL, removed));
        for (int k = 1; k < LABELS_MAX; k++) have[k] += present[k];
        for (int k = 1; k < LABELS_MAX; k++) altered[k] += removed[k] > 0;
    }
done:
    slices_close(train);
    free(labels);
    return st;
}

/* Finds the structures that have several components in the training maps. Collective. */
static status find_multiple(labelling *p) {
    status st = ST_OK;
    int64_t have[LABELS_MAX] = {0}, altered[LABELS_MAX] = {0};
    TRY(comm_agree(p->stage->comm, count_altered(p, have, altered)));
    TRY(comm_sum_i64(p->stage->comm, have, LABELS_MAX));
    TRY(comm_sum_i64(p->stage->comm, altered, LABELS_MAX));
    for (int k = 1; k < LABELS_MAX; k++)
        p->keep_all[k] = altered[k] > 0 && (double)altered[k] >= MULTIPLE_SHARE * (double)have[k];
done:
    return st;
}

static status part_path(const labelling *p, int64_t run, char path[PATH_SIZE]) {
    char name[64];
    snprintf(name, sizeof name, "volume-%08" PRId64 ".labels", run);
    return path_join(path, p->parts, name);
}

/* Segments and cleans the volume of a run into p->labels. Local. */
static status segment(labelling *p, int64_t run) {
    status st = ST_OK;
    const int64_t pixels = pixels_of(p), count = run_at(p, run)->count;
    const int64_t shape[3] = {count, p->stage->study->data.size, p->stage->study->data.size};
    for (int64_t first = 0; first < count; first += IMAGES) {
        const int64_t n = count - first < IMAGES ? count - first : IMAGES;
        uint8_t *labels = p->labels + first * pixels;
        for (int64_t k = 0; k < n; k++) {
            slice_sample sample = {.image = p->images + k * pixels, .labels = labels + k * pixels};
            TRY(slices_get(p->unlabelled, p->start[run] + first + k, &sample));
        }
        TRY(segmenter_labels(&p->referee, p->images, n, labels, p->confidence));
        for (int64_t k = 0; k < n * pixels; k++)
            if ((double)p->confidence[k] < CONFIDENCE) labels[k] = 0;
    }
    TRY(components_remove_small(p->labels, shape, COMPONENT_SHARE, p->keep_all, NULL));
done:
    return st;
}

/* Segments a volume and writes its file, unless there is a good one. Local. */
static status label_volume(labelling *p, int64_t run) {
    status st = ST_OK;
    char path[PATH_SIZE];
    const int64_t bytes = run_at(p, run)->count * pixels_of(p);
    TRY(part_path(p, run, path));
    st = part_read(path, p->fingerprint, p->labels, bytes);
    if (st == ST_OK) activity_saved(true);
    if (st != ST_INPUT && st != ST_INTEGRITY) goto done;
    if (st == ST_INTEGRITY) log_warning(p->stage->log, "%s: segmented again", status_message());
    TRY(segment(p, run));
    TRY(part_write(path, p->fingerprint, p->labels, bytes));
    activity_step(run);
    activity_saved(true);
done:
    return st;
}

/* Segments all volumes in rounds of one for each rank. Collective. */
static status label_all(labelling *p) {
    status st = ST_OK;
    const comm *c = p->stage->comm;
    const int64_t runs = run_count(p);
    bool stop = false;
    log_progress_begin(p->stage->log, "pseudo-labels", runs);
    for (int64_t round = 0; round < runs && !stop; round += comm_size(c)) {
        const int64_t run = round + comm_rank(c), finished = round + comm_size(c);
        TRY(comm_agree(c, run < runs ? label_volume(p, run) : ST_OK));
        log_progress_set(p->stage->log, finished < runs ? finished : runs, "volumes");
        TRY(stage_should_stop(p->stage, &stop));
    }
    if (stop)
        st = status_fail(ST_STOPPED,
                         "stopped; the volumes segmented so far are kept: run again to resume");
done:
    log_progress_end(p->stage->log);
    return st;
}

/* Resamples the label maps in p->labels to the stored resolution of a volume: the inverse of the
 * square in which slices are resampled (model/resize.c). Local. */
static status resample(const labelling *p, volume *v) {
    status st = ST_OK;
    const int64_t *n = v->space.shape, size = p->stage->study->data.size;
    const int64_t side = n[1] > n[2] ? n[1] : n[2], top = (side - n[1]) / 2,
                  left = (side - n[2]) / 2;
    uint8_t *square = NULL;
    int64_t area = 0;
    if (!size_mul(side, side, &area)) TRY(status_fail(ST_INPUT, "%s: slices are too large", v->id));
    TRY(array_alloc(&square, area, 1, "a label map"));
    for (int64_t z = 0; z < n[0]; z++) {
        resize_labels(p->labels + z * size * size, size, size, square, side);
        for (int64_t y = 0; y < n[1]; y++)
            memcpy(v->labels + (z * n[1] + y) * n[2], square + (top + y) * side + left,
                   (size_t)n[2]);
        activity_progress();
    }
done:
    free(square);
    return st;
}

/* Writes this rank's volumes. Local. */
static status put_volumes(labelling *p, store_writer *w, const store_entry *entries) {
    status st = ST_OK;
    char path[PATH_SIZE];
    volume v = {0};
    for (int64_t i = 0; i < run_count(p); i++) {
        if (!store_writer_is_mine(w, i)) continue;
        v = (volume){.space = entries[i].space,
                     .contrast = entries[i].contrast,
                     .traits = entries[i].traits};
        memcpy(v.id, entries[i].id, sizeof v.id);
        TRY(volume_alloc(&v));
        TRY(part_path(p, i, path));
        TRY(part_read(path, p->fingerprint, p->labels, run_at(p, i)->count * pixels_of(p)));
        TRY(resample(p, &v));
        for (int64_t k = 0; k < v.space.shape[0] * v.space.shape[1] * v.space.shape[2]; k++)
            v.hu[k] = AIR;
        TRY(store_writer_put(w, i, &v));
        volume_free(&v);
    }
done:
    volume_free(&v);
    return st;
}

/* The provenance entry of the store's manifest. New reference. Local. */
static json_t *provenance(const labelling *p) {
    const label_set *labels = store_labels(p->real);
    json_t *names = json_array();
    for (int k = 1; k < labels->count; k++)
        if (p->keep_all[k]) json_array_append_new(names, json_string(labels->name[k]));
    return json_pack("{s:b, s:b, s:f, s:f, s:o}", "synthetic", 0, "pseudo_labels", 1, "confidence",
                     CONFIDENCE, "component_share", COMPONENT_SHARE,
                     "structures_with_all_components", names);
}

/* Writes and publishes the store. Collective. */
static status write_store(labelling *p) {
    status st = ST_OK;
    const comm *c = p->stage->comm;
    store_entry *entries = NULL;
    store_writer *w = NULL;
    json_t *from = provenance(p);
    st = from ? array_alloc(&entries, run_count(p), sizeof *entries, "store entries")
              : status_memory("provenance", 0);
    TRY(comm_agree(c, st));
    for (int64_t i = 0; i < run_count(p); i++) {
        entries[i] = *store_at(p->real, run_at(p, i)->volume);
        entries[i].unlabelled = false;
    }
    store_plan plan = {.directory = p->output,
                       .fingerprint = p->fingerprint,
                       .labels = store_labels(p->real),
                       .provenance = from,
                       .entries = entries,
                       .count = run_count(p),
                       .shard_bytes = p->stage->study->ingest.shard_mib << 20};
    TRY(store_writer_open(c, &plan, &w));
    TRY(store_writer_finish(w, put_volumes(p, w, entries)));
done:
    json_decref(from);
    free(entries);
    return st;
}

status pseudo_labels(const stage_context *stage, store *real, const split *sp) {
    status st = ST_OK;
    labelling p = {.stage = stage, .real = real, .split = sp};
    bool current = false;
    if (run_count(&p) == 0) {
        log_info(stage->log, "referee: no training patient is unlabelled: no pseudo-labels");
        goto done;
    }
    TRY(comm_agree(stage->comm, find_output(&p)));
    TRY(stage_is_current(stage, p.output, "store", p.fingerprint, &current));
    if (current) {
        log_info(stage->log, "referee: %s is current", p.output);
    } else {
        stage_works(stage);
        TRY(comm_agree(stage->comm, open_labelling(&p)));
        TRY(find_multiple(&p));
        TRY(label_all(&p));
        TRY(write_store(&p));
        log_event(stage->log, "pseudo-labels", json_pack("{s:I}", "volumes", run_count(&p)));
        log_info(stage->log, "referee: pseudo-labels of %" PRId64 " volumes in %s", run_count(&p),
                 p.output);
    }
    TRY(comm_agree(stage->comm, comm_rank(stage->comm) == 0 ? file_remove_tree(p.parts) : ST_OK));
done:
    close_labelling(&p);
    return st;
}
