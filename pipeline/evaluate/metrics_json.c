/* Collects the results of an evaluation and writes them as JSON, together with what they depend on:
 * data, split, training, versions and fingerprints. */
#include "pipeline/evaluate/metrics_json.h"

#include "io/dicom.h"
#include "io/alloc.h"
#include "pipeline/common/costs.h"
#include "pipeline/common/denoiser_source.h"
#include "pipeline/common/fingerprint.h"
#include "pipeline/common/history.h"
#include "pipeline/common/precision.h"
#include "pipeline/evaluate/fidelity.h"
#include "pipeline/evaluate/costs_json.h"
#include "pipeline/evaluate/protocol_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

status metrics_alloc(metrics *e, const label_set *labels, int64_t seeds) {
    e->labels = labels;
    e->seeds = seeds;
    status st = array_alloc(&e->dice, ARMS * seeds * labels->count, sizeof *e->dice, "Dice values");
    if (st == ST_OK)
        st = array_alloc(&e->dice_patients, labels->count, sizeof *e->dice_patients, "Dice values");
    return st;
}

void metrics_free(metrics *e) {
    free(e->dice);
    free(e->dice_patients);
    e->dice = NULL;
    e->dice_patients = NULL;
}

static double *dice_at(const metrics *e, int arm, int64_t seed, int label) {
    return &e->dice[(arm * e->seeds + seed) * e->labels->count + label];
}

void metrics_set_dice(metrics *e, int arm, int64_t seed, const result *r) {
    for (int k = 0; k < e->labels->count; k++) {
        double sum = 0;
        int64_t patients = 0;
        for (int64_t p = 0; p < e->patients; p++) {
            const double dice = result_at(r, TEST_PLAIN, p, k)[MEASURE_DICE];
            if (isnan(dice)) continue;
            sum += dice;
            patients++;
        }
        *dice_at(e, arm, seed, k) = patients > 0 ? sum / (double)patients : (double)NAN;
        e->dice_patients[k] = patients;
    }
}

double metrics_dice(const metrics *e, int arm, int label) {
    double sum = 0;
    int64_t counted = 0;
    for (int64_t seed = 0; seed < e->seeds; seed++) {
        double d = *dice_at(e, arm, seed, label);
        if (isnan(d)) continue;
        sum += d;
        counted++;
    }
    return counted > 0 ? sum / (double)counted : (double)NAN;
}

int64_t metrics_dice_patients(const metrics *e, int label) { return e->dice_patients[label]; }

static json_t *dice_json(const metrics *e, const study *s) {
    json_t *all = json_object();
    for (int k = 1; k < e->labels->count; k++) {
        json_t *one = json_object(), *seeds = json_object();
        for (int i = 0; i < study_arm_count(s); i++) {
            const evaluation_arm arm = study_arm(s, i);
            const char *name = named_table_name(&evaluation_arms, arm);
            json_t *list = json_array();
            for (int64_t seed = 0; seed < e->seeds; seed++)
                json_array_append_new(list, log_number(*dice_at(e, arm, seed, k)));
            json_object_set_new(seeds, name, list);
            json_object_set_new(one, name, log_number(metrics_dice(e, arm, k)));
        }
        json_object_set_new(one, "n_patients", json_integer(e->dice_patients[k]));
        json_object_set_new(one, "seeds", seeds);
        json_object_set_new(all, e->labels->name[k], one);
    }
    return all;
}

static json_t *fid_json(const distances *e) {
    const distribution *d = &e->measured;
    char extractor[160];
    snprintf(extractor, sizeof extractor,
             "segnet encoder trained on the real training split, sha256:%s", e->hash);
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:s}", "value", log_number(d->fid), "floor",
                     log_number(d->fid_floor), "n_real", (json_int_t)d->n_real, "n_synthetic",
                     (json_int_t)d->n_synthetic, "n_floor", (json_int_t)d->n_floor, "dim",
                     (json_int_t)d->dim, "extractor", extractor);
}

static json_t *warnings_json(const metrics *e, const all_results *all, const split *sp) {
    json_t *list = json_array();
    char text[256];
    if (sp->by_blocks)
        json_array_append_new(
            list, json_string(
                      "The store holds one patient: training and test are blocks of slices of the "
                      "same patient. This is no patient-level evidence."));
    else if (e->patients < 10) {
        snprintf(text, sizeof text,
                 "Only %" PRId64
                 " held-out patient%s: Dice differences of this size may be chance.",
                 e->patients, e->patients == 1 ? "" : "s");
        json_array_append_new(list, json_string(text));
    }
    if (all->sets * all->seeds < 3) {
        snprintf(text, sizeof text,
                 "%" PRId64 " training%s of each arm: a difference may be one of trainings, which "
                 "intervals over patients do not show.",
                 all->sets * all->seeds, all->sets * all->seeds == 1 ? "" : "s");
        json_array_append_new(list, json_string(text));
    }
    if (study_chooses_guidance(all->study))
        json_array_append_new(
            list, json_string("Guidance was chosen on labelled validation patients, who are not "
                              "counted among the labelled ones."));
    /* With two patients validation shares the test patient (pipeline/data/split.h). */
    if (!sp->by_blocks && sp->patients[SPLIT_TRAIN] == 1 && sp->patients[SPLIT_TEST] == 1)
        json_array_append_new(
            list,
            json_string(
                "There are two patients: the validation loss was watched on the test patient."));
    const distribution *fid = &e->fid->measured;
    int64_t slices = fid->n_real < fid->n_synthetic ? fid->n_real : fid->n_synthetic;
    if (slices <= 2 * fid->dim) {
        snprintf(text, sizeof text,
                 "FID rests on %" PRId64 " slices for %" PRId64
                 " features: covariances of so few are poorly determined, and FID is biased "
                 "upwards. Read it beside its floor only.",
                 slices, fid->dim);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *part_json(const split *sp, split_part part) {
    int64_t volumes = 0; /* the runs of a volume are neighbours in the list */
    for (int64_t i = 0; i < sp->run_count[part]; i++)
        volumes += i == 0 || sp->runs[part][i].volume != sp->runs[part][i - 1].volume;
    return json_pack("{s:I, s:I, s:I}", "patients", (json_int_t)sp->patients[part], "volumes",
                     (json_int_t)volumes, "slices", (json_int_t)sp->slices[part]);
}

static json_t *split_json(const split *sp) {
    return json_pack("{s:b, s:o, s:o, s:o}", "by_blocks", sp->by_blocks, "train",
                     part_json(sp, SPLIT_TRAIN), "validation", part_json(sp, SPLIT_VALIDATION),
                     "test", part_json(sp, SPLIT_TEST));
}

static int64_t count_slices(const store *s) {
    int64_t slices = 0;
    for (int64_t i = 0; i < store_count(s); i++) slices += store_at(s, i)->space.shape[0];
    return slices;
}

/* Volumes of a patient are neighbours: a store is sorted by pseudonym (io/series.h). */
static int64_t count_patients(const store *s) {
    int64_t patients = 0;
    for (int64_t i = 0; i < store_count(s); i++)
        patients += i == 0 || !split_same_patient(store_at(s, i - 1)->id, store_at(s, i)->id);
    return patients;
}

/* Size and geometry of the real store, the latter as [min, max]. New reference. Local. */
static json_t *data_json(const store *s) {
    double low[4] = {INFINITY, INFINITY, INFINITY, INFINITY}, high[4] = {0};
    int64_t contrast = 0;
    for (int64_t i = 0; i < store_count(s); i++) {
        const geometry *g = &store_at(s, i)->space;
        const double values[] = {(double)g->shape[1], (double)g->shape[2], g->spacing[0],
                                 g->spacing[1]};
        for (int k = 0; k < 4; k++) {
            low[k] = fmin(low[k], values[k]);
            high[k] = fmax(high[k], values[k]);
        }
        contrast += store_at(s, i)->contrast;
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:[f,f], s:[f,f], s:[f,f], s:[f,f]}", "patients",
                     (json_int_t)count_patients(s), "volumes", (json_int_t)store_count(s), "slices",
                     (json_int_t)count_slices(s), "contrast_volumes", (json_int_t)contrast, "rows",
                     low[0], high[0], "columns", low[1], high[1], "slice_distance_mm", low[2],
                     high[2], "pixel_mm", low[3], high[3]);
}

static json_t *last_of(const history_curve *c) {
    return c->count > 0 ? log_number(c->value[c->count - 1]) : json_null();
}

/* The step of the checkpoint that the synthetic slices were sampled with, and the losses of its
 * training, or distillation, there. Local. */
static status training_json(const metrics_context *about, json_t **out) {
    status st = ST_OK;
    history h = {0};
    denoiser_source source;
    char path[PATH_SIZE];
    TRY(denoiser_source_of(about->first, store_manifest(about->real)->seal, &source));
    TRY(path_join(path, source.folder, "history.json"));
    TRY(history_read(path, (double)about->checkpoint_step, &h));
    *out = json_pack("{s:I, s:I, s:o, s:o}", "steps", (json_int_t)source.steps, "checkpoint_step",
                     (json_int_t)about->checkpoint_step, "train_loss", last_of(&h.train),
                     "validation_loss", last_of(&h.validation));
done:
    history_free(&h);
    return st;
}

static json_t *versions_json(engine_kind engine) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "ctaug", CTAUG_VERSION, "mpi",
                     comm_library_version(), "hdf5", store_library_version(), "dcmtk",
                     dicom_library_version(), named_table_name(&engine_kinds, engine),
                     kernels_library_version(engine));
}

static status fingerprints_json(const metrics *e, const metrics_context *about, json_t **out) {
    status st = ST_OK;
    char training[SHA256_HEX] = "", sampled[SHA256_HEX] = "";
    const study *s = about->first->study;
    const manifest *real = store_manifest(about->real);
    TRY(fingerprint_of_training(s, real->seal, training));
    TRY(fingerprint_of_denoiser(s, real->seal, sampled));
    *out = json_pack("{s:s, s:s, s:s*, s:s, s:s}", "store", real->fingerprint, "training", training,
                     "distillation", s->distil.kind == DISTIL_OFF ? NULL : sampled, "synthetic",
                     store_manifest(about->synthetic)->fingerprint, "metrics", e->fingerprint);
done:
    return st;
}

static json_t *segmenter_json(const metrics *e, const study *s) {
    return json_pack("{s:I, s:I, s:f, s:I, s:I, s:f, s:f}", "steps", (json_int_t)s->evaluate.steps,
                     "batch", (json_int_t)s->evaluate.batch, "lr", s->evaluate.lr, "seeds",
                     (json_int_t)s->evaluate.seeds, "parameters", (json_int_t)e->parameters,
                     "share", s->evaluate.share, "real_only_last", s->evaluate.real_only_last);
}

/* The synthetic slices of the first cell, and what one has cost. Local. */
static status synthetic_json(const metrics_context *about, json_t **out) {
    status st = ST_OK;
    double seconds = 0;
    char name[COSTS_NAME];
    const int64_t slices = count_slices(about->synthetic);
    const json_t *from = json_object_get(store_manifest(about->synthetic)->detail, "provenance");
    costs_of_painting(named_table_name(&painter_kinds, PAINTER_DIFFUSION),
                      store_manifest(about->synthetic)->fingerprint, name);
    st = costs_read(about->first, name, &seconds);
    if (st == ST_INTEGRITY) {
        log_warning(about->stage->log, "%s: the cost of a slice is left out", status_message());
        st = ST_OK;
    }
    TRY(st);
    *out = json_pack("{s:I, s:I, s:O?, s:o}", "volumes", (json_int_t)store_count(about->synthetic),
                     "slices", (json_int_t)slices, "evaluations",
                     json_object_get(from, "evaluations"), "seconds_a_slice",
                     log_number(seconds > 0 ? seconds / (double)slices : (double)NAN));
    if (!*out) st = status_memory("metrics.json", 0);
done:
    return st;
}

status metrics_json(const metrics *e, const metrics_context *about, char **text) {
    status st = ST_OK;
    const study *s = about->stage->study;
    json_t *fingerprints = NULL, *training = NULL, *synthetic = NULL, *all = NULL;
    char created[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    *text = NULL;
    if (gmtime_r(&now, &utc)) strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    TRY(fingerprints_json(e, about, &fingerprints));
    TRY(training_json(about, &training));
    TRY(synthetic_json(about, &synthetic));
    all = json_pack(
        "{s:s, s:I, s:I, s:s, s:o, s:i, s:i, s:s, s:s, s:O, s:o, s:o, s:O, s:O, s:o, s:o, "
        "s:o, s:o}",
        "study", s->name, "seed", (json_int_t)s->seed, "pixels", (json_int_t)s->data.size,
        "created", created, "versions", versions_json(s->engine), "ranks",
        comm_size(about->stage->comm), "threads", omp_get_max_threads(), "engine",
        named_table_name(&engine_kinds, s->engine), "precision",
        named_table_name(&compute_types, about->stage->precision), "fingerprints", fingerprints,
        "data", data_json(about->real), "split", split_json(about->split), "training", training,
        "synthetic", synthetic, "warnings", warnings_json(e, about->all, about->split), "fid",
        fid_json(e->fid), "dice", dice_json(e, s), "segmenter", segmenter_json(e, s));
    if (!all) TRY(status_memory("metrics.json", 0));
    TRY(protocol_json(about->all, all));
    TRY(distances_json(about->all, about->distances, all));
    TRY(likelihood_json(about->all, about->likelihoods, all));
    TRY(obedience_json(about->all, about->obediences, all));
    TRY(costs_json(about->stage, about->all, about->distances, about->likelihoods,
                   about->obediences, all));
    if (about->fidelity) json_object_set_new(all, "fidelity", fidelity_summary(about->fidelity));
    *text = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (!*text) st = status_memory("metrics.json", 0);
done:
    json_decref(all);
    json_decref(synthetic);
    json_decref(training);
    json_decref(fingerprints);
    return st;
}
