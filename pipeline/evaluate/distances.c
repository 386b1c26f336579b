/* Opens the sets of slices, computes their features on all ranks of the group, and measures them on
 * its first one. */
#include "pipeline/evaluate/distances.h"

#include "io/alloc.h"
#include "io/part_file.h"
#include "pipeline/common/held_out.h"

#include <inttypes.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* Larger sets are thinned evenly: distances between all pairs of a set are held in memory. */
enum { SLICES_MAX = 4096, IMAGES_MAX = 256 };

static bool has_network(const study *s, network_kind network) {
    return network == NETWORK_DOMAIN || *s->evaluate.inception;
}

static bool has_source(const study *s, arm_source source) {
    return arm_source_directory(source) && cells_need(s, source);
}

static int64_t count_sources(const study *s) {
    int64_t n = 0;
    for (int k = 0; k < SOURCES; k++) n += has_source(s, (arm_source)k);
    return n;
}

int64_t distances_early(const study *s) {
    return has_network(s, NETWORK_INCEPTION) ? cells_count(s) * count_sources(s) : 0;
}

int64_t distances_count(const study *s) {
    return distances_early(s) + cells_count(s) * count_sources(s);
}

distances_id distances_at(const study *s, int64_t i) {
    const int64_t sources = count_sources(s), early = distances_early(s);
    const int64_t within = i < early ? i : i - early;
    distances_id id = {.network = i < early ? NETWORK_INCEPTION : NETWORK_DOMAIN,
                       .cell = within / sources};
    for (int64_t k = 0, left = within % sources; k < SOURCES; k++) {
        if (!has_source(s, (arm_source)k)) continue;
        id.source = (arm_source)k;
        if (left-- == 0) break;
    }
    return id;
}

/* SOURCE_SYNTHETIC is the first source that is a store, and every study has it. */
int64_t distances_first(const study *s) {
    return distances_early(s) + cells_first(s) * count_sources(s);
}

/* The slices of a generator that are measured. */
typedef struct made_slices {
    store *from;
    bool held_out;   /* from is owned */
    split_run *runs; /* owned */
    int64_t run_count;
    const char *fidelity; /* seal of the record that leaves some out; "": none */
} made_slices;

/* Local. */
static status open_made(const comparison *c, arm_source source, made_slices *out) {
    status st = ST_OK;
    const json_t *record = NULL;
    *out = (made_slices){.fidelity = ""};
    if (source != SOURCE_INPAINTED) /* their maps are those of training patients */
        TRY(held_out_open(&c->cell.stage, c->real, arm_source_directory(source), &out->from));
    out->held_out = out->from != NULL;
    if (!out->held_out) {
        out->from = c->stores[source];
        if (source == SOURCE_SYNTHETIC) {
            record = c->fidelity;
            out->fidelity = c->fidelity_seal;
        }
    }
    TRY(fidelity_runs(out->from, record, &out->runs, &out->run_count));
done:
    return st;
}

static void close_made(made_slices *m) {
    free(m->runs);
    if (m->held_out) store_close(m->from);
}

/* Whose label maps the slices show. */
static const char *conditions(bool held_out) {
    return held_out ? "held-out maps" : "training maps";
}

/* Fingerprint of a piece, and the path of its result. Local. */
static status describe(const comparison *c, distances_id id, const made_slices *made,
                       char path[PATH_SIZE], char hex[SHA256_HEX]) {
    static const char *const sections[] = {"seed", "engine", "data"};
    status st = ST_OK;
    char name[64], network[SHA256_HEX], upstream[6 * SHA256_HEX];
    TRY(feature_network_identity(c, id.network, network));
    snprintf(upstream, sizeof upstream, "distances %s %s %s %s %s %s", network_name(id.network),
             network, conditions(made->held_out), store_manifest(c->real)->seal,
             store_manifest(made->from)->seal, made->fidelity);
    TRY(study_fingerprint(&c->cell.study, sections, sizeof sections / sizeof *sections, upstream,
                          hex));
    snprintf(name, sizeof name, "distribution-%s-%s.part", arm_source_generator(id.source),
             network_name(id.network));
    TRY(path_join(path, c->parts, name));
done:
    return st;
}

status distances_read(const comparison *c, distances_id id, distances *out) {
    status st = ST_OK;
    made_slices made;
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    TRY(open_made(c, id.source, &made));
    TRY(describe(c, id, &made, path, fingerprint));
    TRY(part_read(path, fingerprint, out, sizeof *out));
done:
    close_made(&made);
    return st;
}

static int by_place(const void *a, const void *b) {
    const split_run *p = a, *q = b;
    if (p->volume != q->volume) return p->volume < q->volume ? -1 : 1;
    return (p->first > q->first) - (p->first < q->first);
}

/* The slices of all training patients, in the order of the store, so that they do not depend on
 * whose labels are hidden. *runs: free(). Local. */
static status open_floor(const comparison *c, split_run **runs, slices **out) {
    status st = ST_OK;
    const split *sp = &c->split;
    const int64_t labelled = sp->run_count[SPLIT_TRAIN], other = sp->run_count[SPLIT_UNLABELLED];
    TRY(array_alloc(runs, labelled + other, sizeof **runs, "slice runs"));
    memcpy(*runs, sp->runs[SPLIT_TRAIN], (size_t)labelled * sizeof **runs);
    if (other > 0)
        memcpy(*runs + labelled, sp->runs[SPLIT_UNLABELLED], (size_t)other * sizeof **runs);
    qsort(*runs, (size_t)(labelled + other), sizeof **runs, by_place);
    const slice_source source = {c->real, *runs, labelled + other};
    TRY(slices_open_unlabelled(&c->cell.study, &source, NULL, out));
done:
    return st;
}

/* The sets of slices that are compared, and their features. */
typedef enum set_kind { SET_REAL, SET_MADE, SET_FLOOR, SETS } set_kind;
typedef struct slice_sets {
    slices *slices[SETS];
    split_run *floor_runs;
    slice_set set[SETS];
} slice_sets;

/* Opens the slices; only images are read. Local. */
static status open_slices(const comparison *c, const made_slices *made, slice_sets *out) {
    status st = ST_OK;
    const study *s = &c->cell.study;
    const slice_source real = {c->real, c->split.runs[SPLIT_TEST], c->split.run_count[SPLIT_TEST]},
                       synthetic = {made->from, made->runs, made->run_count};
    TRY(slices_open_unlabelled(s, &real, NULL, &out->slices[SET_REAL]));
    TRY(slices_open_unlabelled(s, &synthetic, NULL, &out->slices[SET_MADE]));
    TRY(open_floor(c, &out->floor_runs, &out->slices[SET_FLOOR]));
done:
    return st;
}

static void close_sets(slice_sets *s) {
    for (int k = 0; k < SETS; k++) {
        slices_close(s->slices[k]);
        slice_set_free(&s->set[k]);
    }
    free(s->floor_runs);
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Room for the features of dim values. Local. */
static status alloc_sets(slice_sets *s, int64_t dim, int64_t size) {
    status st = ST_OK;
    int64_t n[SETS];
    for (int k = 0; k < SETS; k++) n[k] = least(slices_count(s->slices[k]), SLICES_MAX);
    n[SET_MADE] = n[SET_FLOOR] = least(n[SET_MADE], n[SET_FLOOR]);
    for (int k = 0; k < SETS; k++)
        TRY(slice_set_alloc(n[k], dim, k == SET_REAL ? 0 : least(n[k], IMAGES_MAX), size,
                            &s->set[k]));
done:
    return st;
}

/* Evenly spaced images of a set. Local. */
static status read_images(slices *from, int64_t size, slice_set *out) {
    status st = ST_OK;
    uint8_t *labels = NULL;
    TRY(array_alloc(&labels, size * size, 1, "a label map"));
    for (int64_t i = 0; i < out->image_count; i++) {
        slice_sample sample = {.image = out->images + i * size * size, .labels = labels};
        TRY(slices_get(from, i * slices_count(from) / out->image_count, &sample));
    }
done:
    free(labels);
    return st;
}

/* Measures the sets. Local; called on the first rank. */
static status measure_sets(const comparison *c, slice_sets *s, int64_t dim, distribution *out) {
    status st = ST_OK;
    const study *study = &c->cell.study;
    TRY(read_images(s->slices[SET_MADE], study->data.size, &s->set[SET_MADE]));
    TRY(read_images(s->slices[SET_FLOOR], study->data.size, &s->set[SET_FLOOR]));
    TRY(distribution_measure(&s->set[SET_REAL], &s->set[SET_MADE], &s->set[SET_FLOOR], dim,
                             study->data.size, (uint64_t)study->seed, out));
done:
    return st;
}

/* Features of all sets. Collective. */
static status run_network(feature_network *f, slice_sets *s) {
    status st = ST_OK;
    for (int k = 0; k < SETS; k++)
        TRY(feature_network_slices(f, s->slices[k], s->set[k].n, s->set[k].features));
done:
    return st;
}

status distances_run(const comparison *c, distances_id id) {
    status st = ST_OK;
    const comm *ranks = c->cell.stage.comm;
    const double start = log_seconds();
    made_slices made = {.held_out = false};
    slice_sets sets = {.floor_runs = NULL};
    feature_network network = {.dim = 0};
    distances result;
    char path[PATH_SIZE], fingerprint[SHA256_HEX];
    memset(&result, 0, sizeof result); /* the bytes between members are written, too */
    st = open_made(c, id.source, &made);
    if (st == ST_OK) st = describe(c, id, &made, path, fingerprint);
    if (st == ST_OK) st = open_slices(c, &made, &sets);
    if (st == ST_OK) st = feature_network_open(c, id.network, &network);
    if (st == ST_OK) st = alloc_sets(&sets, network.dim, c->cell.study.data.size);
    if (st == ST_OK) st = file_make_dirs(c->parts);
    TRY(comm_agree(ranks, st));
    TRY(run_network(&network, &sets));
    if (comm_rank(ranks) == 0) {
        st = measure_sets(c, &sets, network.dim, &result.measured);
        memcpy(result.hash, network.hash, sizeof result.hash);
        result.held_out = made.held_out;
        result.seconds = (log_seconds() - start) * comm_size(ranks) * omp_get_max_threads();
        if (st == ST_OK) st = part_write(path, fingerprint, &result, sizeof result);
    }
    TRY(comm_agree(ranks, st));
done:
    feature_network_close(&network);
    close_sets(&sets);
    close_made(&made);
    return st;
}

/* One entry: what was measured, then the measures. New reference; NULL: out of memory. Local. */
static json_t *entry_json(const all_results *all, distances_id id, const distances *d) {
    const int64_t labelled = all->labelled[all->sizes - 1 - id.cell / all->sets];
    json_t *measures = distribution_json(&d->measured);
    json_t *entry = json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:s}", "network", network_name(id.network), "network_hash",
        d->hash, "labelled", (json_int_t)labelled, "set", (json_int_t)(id.cell % all->sets),
        "generator", arm_source_generator(id.source), "conditions", conditions(d->held_out));
    if (!entry || !measures || json_object_update(entry, measures) != 0) {
        json_decref(entry);
        entry = NULL;
    }
    json_decref(measures);
    return entry;
}

/* The entries of one cell and network. Local. */
static status add_entries(const all_results *all, int64_t cell, network_kind network,
                          const distances *results, json_t *list) {
    for (int64_t i = 0; i < distances_count(all->study); i++) {
        const distances_id id = distances_at(all->study, i);
        if (id.cell != cell || id.network != network) continue;
        if (json_array_append_new(list, entry_json(all, id, &results[i])) != 0)
            return status_memory("metrics.json", 0);
    }
    return ST_OK;
}

status distances_json(const all_results *all, const distances *results, json_t *metrics) {
    status st = ST_OK;
    json_t *list = json_array();
    for (int64_t size = 0; size < all->sizes; size++)
        for (int64_t set = 0; set < all->sets; set++)
            for (int k = NETWORKS - 1; k >= 0; k--)
                TRY(add_entries(all, (all->sizes - 1 - size) * all->sets + set, (network_kind)k,
                                results, list));
    if (json_object_set(metrics, "distribution", list) != 0) st = status_memory("metrics.json", 0);
done:
    json_decref(list);
    return st;
}
