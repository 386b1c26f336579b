/* Segments synthetic and real slices with the referee and compares both with their labels. */
#include "pipeline/evaluate/fidelity.h"

#include "io/alloc.h"
#include "io/manifest.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/data/texture.h"
#include "pipeline/segmenter/referee.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIDELITY_KIND "fidelity"
enum { BINS = 4096 }; /* of the histograms of CT values, over the window */
static const double RANGE_SIGMAS = 6;

/* Sums of one structure over the volumes of a set. */
typedef struct structure_sums {
    double dice, dice_count;
    double median, median_squared, median_count; /* HU, of volumes */
} structure_sums;
enum { STRUCTURE_SUMS = sizeof(structure_sums) / sizeof(double) };

/* A set of slices and its measures; the arrays but `runs` are owned. */
typedef struct measured {
    store *from;
    split_run *runs;
    int64_t run_count;
    slices *slices;
    structure_sums *structures; /* [labels] */
    texture_sums *textures;     /* [labels] */
    double *slice_dice; /* [slices]: mean over the structures of the map; 1 if it has none */
    double *median;     /* [runs][labels], HU; 0: the structure is not there */
} measured;

typedef struct fidelity {
    const stage_context *stage;
    store *real, *made;
    split split;
    segmenter referee;
    split_run *made_runs;
    measured synthetic, held_out, known; /* known: the labelled real slices, for CT values */
    int64_t labels;
    char fingerprint[SHA256_HEX], output[PATH_SIZE];
} fidelity;

/* Fingerprint of the record of a synthetic store. Local. */
static status fingerprint_of(const stage_context *s, const char *synthetic, char hex[SHA256_HEX]) {
    static const char *const keys[] = {"seed", "engine", "data", "evaluate.fidelity"};
    status st = ST_OK;
    char path[PATH_SIZE], upstream[2 * SHA256_HEX + 16];
    manifest referee = {0};
    TRY(stage_path(s, "referee", path));
    st = manifest_read(path, REFEREE_KIND, &referee);
    if (st == ST_INPUT)
        st = status_fail(st,
                         "%s holds no referee, which evaluate.fidelity needs: run ctaug referee "
                         "first, or set evaluate.fidelity to 0",
                         path);
    TRY(st);
    snprintf(upstream, sizeof upstream, "fidelity %s %s", synthetic, referee.seal);
    TRY(study_fingerprint(s->study, keys, sizeof keys / sizeof *keys, upstream, hex));
done:
    manifest_free(&referee);
    return st;
}

/* Local. */
static status open_set(const fidelity *f, store *from, split_run *runs, int64_t count,
                       measured *out) {
    status st = ST_OK;
    slice_source source = {from, runs, count};
    *out = (measured){.from = from, .runs = runs, .run_count = count};
    TRY(slices_open(f->stage->study, &source, 1, &out->slices));
    TRY(array_alloc(&out->structures, f->labels, sizeof *out->structures, "structures"));
    TRY(array_alloc(&out->textures, f->labels, sizeof *out->textures, "structures"));
    TRY(array_alloc(&out->slice_dice, slices_count(out->slices), sizeof *out->slice_dice,
                    "Dice of slices"));
    TRY(array_alloc(&out->median, count * f->labels, sizeof *out->median, "medians"));
done:
    return st;
}

static void close_set(measured *m) {
    slices_close(m->slices);
    free(m->structures);
    free(m->textures);
    free(m->slice_dice);
    free(m->median);
}

/* Opens the stores; computes the fingerprint. Local. */
static status open_stores(fidelity *f) {
    status st = ST_OK;
    char path[PATH_SIZE];
    TRY(stage_path(f->stage, "store", path));
    TRY(store_open(path, &f->real));
    TRY(stage_path(f->stage, "synthetic", path));
    TRY(store_open(path, &f->made));
    TRY(stage_path(f->stage, "fidelity", f->output));
    TRY(fingerprint_of(f->stage, store_manifest(f->made)->seal, f->fingerprint));
    f->labels = store_labels(f->real)->count;
done:
    return st;
}

/* Opens the referee and the slices. Local. */
static status open_sets(fidelity *f) {
    status st = ST_OK;
    int64_t count = 0;
    const split *sp = &f->split;
    TRY(split_create(f->real, f->stage->study, &f->split));
    TRY(referee_open(f->stage, store_labels(f->real), &f->referee));
    TRY(slices_all_runs(f->made, &f->made_runs, &count));
    TRY(open_set(f, f->made, f->made_runs, count, &f->synthetic));
    TRY(open_set(f, f->real, sp->runs[SPLIT_VALIDATION], sp->run_count[SPLIT_VALIDATION],
                 &f->held_out));
    TRY(open_set(f, f->real, sp->runs[SPLIT_TRAIN], sp->run_count[SPLIT_TRAIN], &f->known));
done:
    return st;
}

static void close_all(fidelity *f) {
    close_set(&f->synthetic);
    close_set(&f->held_out);
    close_set(&f->known);
    segmenter_close(&f->referee);
    split_free(&f->split);
    store_close(f->real);
    store_close(f->made);
    free(f->made_runs);
}

/* The slices of one run: images, labels of the map and of the referee. */
typedef struct run_slices {
    int64_t count;
    float *images;              /* [count][size][size] */
    uint8_t *labels, *segments; /* the same */
} run_slices;

static void run_slices_free(run_slices *r) {
    free(r->images);
    free(r->labels);
    free(r->segments);
}

/* Reads and segments the slices of run r, the first of which is slice `first`. Local. */
static status read_run(fidelity *f, measured *m, int64_t r, int64_t first, run_slices *out) {
    status st = ST_OK;
    const int64_t pixels = f->referee.config.size * f->referee.config.size;
    const int64_t count = m->runs[r].count;
    *out = (run_slices){.count = count};
    TRY(array_alloc(&out->images, count * pixels, sizeof *out->images, "slices"));
    TRY(array_alloc(&out->labels, count * pixels, 1, "label maps"));
    TRY(array_alloc(&out->segments, count * pixels, 1, "label maps"));
    for (int64_t z = 0; z < count; z++) {
        slice_sample sample = {.image = out->images + z * pixels,
                               .labels = out->labels + z * pixels};
        TRY(slices_get(m->slices, first + z, &sample));
    }
    TRY(segmenter_labels(&f->referee, out->images, count, out->segments, NULL));
done:
    return st;
}

/* The Dice of one slice: mean over the structures of its map. counts: scratch. */
static double dice_of_slice(const fidelity *f, const uint8_t *labels, const uint8_t *segments,
                            dice_counts *counts) {
    double sum = 0;
    int64_t n = 0;
    memset(counts, 0, sizeof *counts);
    dice_add(counts, labels, segments, f->referee.config.size * f->referee.config.size);
    for (int k = 1; k < f->labels; k++) {
        if (counts->truth[k] == 0) continue;
        sum += dice_of(counts, k);
        n++;
    }
    return n > 0 ? sum / (double)n : 1;
}

/* The median CT value of each structure of a run, HU, into median[labels]. Local. */
static status measure_medians(const fidelity *f, const run_slices *r, double *median) {
    const double *window = f->stage->study->data.window;
    const int64_t voxels = r->count * f->referee.config.size * f->referee.config.size;
    int64_t *bins = NULL;
    status st = array_alloc(&bins, f->labels * BINS, sizeof *bins, "histograms");
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < voxels; i++) {
        const int64_t bin = (int64_t)(((double)r->images[i] + 1) / 2 * (BINS - 1) + 0.5);
        bins[r->labels[i] * BINS + (bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin)]++;
    }
    for (int64_t k = 1; k < f->labels; k++) {
        int64_t all = 0, below = 0, at = 0;
        for (int b = 0; b < BINS; b++) all += bins[k * BINS + b];
        if (all == 0) continue;
        while (2 * (below + bins[k * BINS + at]) < all) below += bins[k * BINS + at++];
        median[k] = window[0] + (window[1] - window[0]) * (double)at / (BINS - 1);
        if (median[k] == 0) median[k] = 1e-9; /* 0 stands for a structure that is not there */
    }
    free(bins);
    return ST_OK;
}

/* Adds the measures of run r. Local. */
static status measure_run(fidelity *f, measured *m, int64_t r, int64_t first) {
    status st = ST_OK;
    const int64_t size = f->referee.config.size, pixels = size * size;
    const double *window = f->stage->study->data.window;
    const geometry *g = &store_at(m->from, m->runs[r].volume)->space;
    const int64_t side = g->shape[1] > g->shape[2] ? g->shape[1] : g->shape[2];
    const double spacing = g->spacing[1] * (double)side / (double)size;
    run_slices run = {.count = 0};
    dice_counts *counts = NULL;
    double *median = m->median + r * f->labels;
    TRY(array_alloc(&counts, 1, sizeof *counts, "Dice counts"));
    TRY(read_run(f, m, r, first, &run));
    for (int64_t z = 0; z < run.count; z++) {
        const uint8_t *labels = run.labels + z * pixels;
        m->slice_dice[first + z] = dice_of_slice(f, labels, run.segments + z * pixels, counts);
        texture_add(m->textures, run.images + z * pixels, labels, size, window[1] - window[0],
                    spacing);
    }
    memset(counts, 0, sizeof *counts);
    dice_add(counts, run.labels, run.segments, run.count * pixels);
    TRY(measure_medians(f, &run, median));
    for (int64_t k = 1; k < f->labels; k++) {
        structure_sums *s = &m->structures[k];
        if (counts->truth[k] == 0) continue;
        s->dice += dice_of(counts, (int)k);
        s->dice_count++;
        s->median += median[k];
        s->median_squared += median[k] * median[k];
        s->median_count++;
    }
done:
    run_slices_free(&run);
    free(counts);
    return st;
}

/* This rank's runs. Local. */
static status measure_runs(fidelity *f, measured *m) {
    status st = ST_OK;
    const comm *c = f->stage->comm;
    for (int64_t r = 0, first = 0; r < m->run_count; first += m->runs[r++].count)
        if (r % comm_size(c) == comm_rank(c)) TRY(measure_run(f, m, r, first));
done:
    return st;
}

/* All runs of a set, on every rank. Collective. */
static status measure_set(fidelity *f, measured *m) {
    status st = ST_OK;
    const comm *c = f->stage->comm;
    TRY(comm_agree(c, measure_runs(f, m)));
    TRY(comm_sum_f64(c, &m->structures[0].dice, f->labels * STRUCTURE_SUMS));
    TRY(comm_sum_f64(c, &m->textures[0].noise,
                     f->labels * (int64_t)(sizeof(texture_sums) / sizeof(double))));
    TRY(comm_sum_f64(c, m->slice_dice, slices_count(m->slices)));
    TRY(comm_sum_f64(c, m->median, m->run_count * f->labels));
done:
    return st;
}

static double ratio(double a, double b) { return b > 0 ? a / b : (double)NAN; }

/* Synthetic volumes whose median of structure k is outside the range of the real ones. */
static int64_t count_outside(const fidelity *f, int64_t k, double mean, double deviation) {
    int64_t n = 0;
    for (int64_t r = 0; r < f->synthetic.run_count; r++) {
        const double median = f->synthetic.median[r * f->labels + k];
        n += median != 0 && fabs(median - mean) > RANGE_SIGMAS * deviation;
    }
    return n;
}

/* The entry of one structure. New reference. Local. */
static json_t *structure_json(const fidelity *f, int k) {
    const structure_sums *made = &f->synthetic.structures[k], *real = &f->held_out.structures[k],
                         *seen = &f->known.structures[k];
    const double synthetic = ratio(made->dice, made->dice_count),
                 held_out = ratio(real->dice, real->dice_count);
    /* CT values of all labelled real volumes. */
    const double n = real->median_count + seen->median_count;
    const double mean = ratio(real->median + seen->median, n);
    const double square = ratio(real->median_squared + seen->median_squared, n) - mean * mean;
    const double deviation = n > 1 ? sqrt(fmax(0, square) * n / (n - 1)) : (double)NAN;
    texture_sums texture = f->held_out.textures[k];
    texture.noise += f->known.textures[k].noise;
    texture.noise_count += f->known.textures[k].noise_count;
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o, s:o}", "structure",
                     store_labels(f->real)->name[k], "synthetic", log_number(synthetic), "real",
                     log_number(held_out), "ratio", log_number(ratio(synthetic, held_out)),
                     "hu_median_synthetic", log_number(ratio(made->median, made->median_count)),
                     "hu_median_real", log_number(mean), "hu_sd_real", log_number(deviation),
                     "medians_outside",
                     (json_int_t)(isnan(deviation) ? 0 : count_outside(f, k, mean, deviation)),
                     "noise_synthetic", log_number(texture_noise(&f->synthetic.textures[k])),
                     "noise_real", log_number(texture_noise(&texture)));
}

/* The mean step across the borders of all structures, HU per mm. */
static double edge_of(const fidelity *f, const measured *m) {
    texture_sums all = {0};
    for (int64_t k = 1; k < f->labels; k++) {
        all.edge += m->textures[k].edge;
        all.edge_count += m->textures[k].edge_count;
    }
    return texture_edge(&all);
}

/* The dropped slices of each volume; *dropped: their number. New reference. Local. */
static json_t *volumes_json(const fidelity *f, int64_t *dropped) {
    const measured *m = &f->synthetic;
    const double bound = f->stage->study->evaluate.fidelity;
    json_t *list = json_array();
    for (int64_t r = 0, first = 0; r < m->run_count; first += m->runs[r++].count) {
        json_t *slices = json_array(), *dice = json_array();
        for (int64_t z = 0; z < m->runs[r].count; z++) {
            json_array_append_new(dice, log_number(m->slice_dice[first + z]));
            if (m->slice_dice[first + z] >= bound) continue;
            json_array_append_new(slices, json_integer(z));
            *dropped += 1;
        }
        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "id",
                                              store_at(m->from, m->runs[r].volume)->id, "dropped",
                                              slices, "dice", dice));
    }
    return list;
}

/* fidelity.json. New reference; NULL: out of memory. Local. */
static json_t *record_json(const fidelity *f) {
    int64_t dropped = 0;
    json_t *structures = json_array(), *volumes = volumes_json(f, &dropped);
    for (int k = 1; k < f->labels; k++) json_array_append_new(structures, structure_json(f, k));
    return json_pack(
        "{s:f, s:I, s:I, s:o, s:o, s:o, s:o}", "bound", f->stage->study->evaluate.fidelity,
        "slices", (json_int_t)slices_count(f->synthetic.slices), "dropped", (json_int_t)dropped,
        "structures", structures, "edge_hu_mm_synthetic", log_number(edge_of(f, &f->synthetic)),
        "edge_hu_mm_real", log_number(edge_of(f, &f->known)), "volumes", volumes);
}

/* Local; called on rank 0. */
static status publish(const fidelity *f) {
    status st = ST_OK;
    manifest m = {.kind = FIDELITY_KIND};
    char path[PATH_SIZE], *text = NULL;
    json_t *record = record_json(f);
    if (record) text = json_dumps(record, JSON_INDENT(1) | JSON_REAL_PRECISION(9));
    if (!text) TRY(status_memory("fidelity.json", 0));
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", f->fingerprint);
    TRY(file_make_dirs(f->output));
    TRY(manifest_remove(f->output));
    TRY(path_join(path, f->output, "fidelity.json"));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
    TRY(manifest_add_file(&m, f->output, "fidelity.json"));
    TRY(manifest_write(&m, f->output));
    log_info(f->stage->log,
             "evaluate: the referee drops %" PRId64 " of %" PRId64 " synthetic slices (Dice < %g)",
             (int64_t)json_integer_value(json_object_get(record, "dropped")),
             slices_count(f->synthetic.slices), f->stage->study->evaluate.fidelity);
done:
    json_decref(record);
    manifest_free(&m);
    free(text);
    return st;
}

status fidelity_measure(const stage_context *stage) {
    status st = ST_OK;
    fidelity f = {.stage = stage};
    bool current = false;
    if (stage->study->evaluate.fidelity <= 0) return ST_OK;
    TRY(comm_agree(stage->comm, open_stores(&f)));
    TRY(stage_is_current(stage, f.output, FIDELITY_KIND, f.fingerprint, &current));
    if (current) goto done;
    TRY(comm_agree(stage->comm, open_sets(&f)));
    TRY(measure_set(&f, &f.synthetic));
    TRY(measure_set(&f, &f.held_out));
    TRY(measure_set(&f, &f.known));
    TRY(comm_agree(stage->comm, comm_rank(stage->comm) == 0 ? publish(&f) : ST_OK));
done:
    close_all(&f);
    return st;
}

status fidelity_read(const stage_context *stage, const char *synthetic, char seal[SHA256_HEX],
                     json_t **record) {
    status st = ST_OK;
    manifest m = {0};
    json_error_t error;
    char path[PATH_SIZE], directory[PATH_SIZE], expected[SHA256_HEX];
    *record = NULL;
    seal[0] = '\0';
    if (stage->study->evaluate.fidelity <= 0) return ST_OK;
    TRY(stage_path(stage, "fidelity", directory));
    TRY(fingerprint_of(stage, synthetic, expected));
    TRY(manifest_read(directory, FIDELITY_KIND, &m));
    if (strcmp(m.fingerprint, expected) != 0)
        TRY(status_fail(ST_INPUT, "%s was measured on other slices: run ctaug evaluate",
                        directory));
    for (int64_t i = 0; i < m.count; i++) TRY(manifest_check_file(&m, directory, i));
    TRY(path_join(path, directory, "fidelity.json"));
    *record = json_load_file(path, 0, &error);
    if (!*record) TRY(status_fail(ST_INTEGRITY, "%s:%d: %s", path, error.line, error.text));
    memcpy(seal, m.seal, SHA256_HEX);
done:
    manifest_free(&m);
    return st;
}

/* Whether slice z of volume i was dropped. */
static bool is_dropped(const json_t *record, int64_t i, int64_t z) {
    const json_t *list =
        json_object_get(json_array_get(json_object_get(record, "volumes"), (size_t)i), "dropped");
    for (size_t k = 0; k < json_array_size(list); k++)
        if (json_integer_value(json_array_get(list, k)) == z) return true;
    return false;
}

status fidelity_runs(const store *made, const json_t *record, split_run **runs, int64_t *count) {
    int64_t slices = 0, n = 0;
    for (int64_t i = 0; i < store_count(made); i++) slices += store_at(made, i)->space.shape[0];
    *count = 0;
    status st = array_alloc(runs, slices, sizeof **runs, "slice runs");
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < store_count(made); i++)
        for (int64_t z = 0; z < store_at(made, i)->space.shape[0]; z++) {
            split_run *last = n > 0 ? &(*runs)[n - 1] : NULL;
            if (is_dropped(record, i, z)) continue;
            if (last && last->volume == i && last->first + last->count == z)
                last->count++;
            else
                (*runs)[n++] = (split_run){i, z, 1};
        }
    *count = n;
    if (n > 0) return ST_OK;
    free(*runs);
    *runs = NULL;
    return status_fail(ST_INPUT, "the referee would drop every synthetic slice: lower "
                                 "evaluate.fidelity, or train longer");
}

json_t *fidelity_summary(const json_t *record) {
    json_t *summary = record ? json_deep_copy(record) : NULL;
    if (summary) json_object_del(summary, "volumes");
    return summary;
}
