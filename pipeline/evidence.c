/* Collecting the numbers of an evaluation and writing them down with all they depend on. */
#include "pipeline/evidence.h"

#include "io/dicom.h"
#include "io/span.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

status evidence_alloc(evidence *e, const label_set *labels, int64_t seeds) {
    e->labels = labels;
    e->seeds = seeds;
    status st = array_alloc(&e->dice, ARMS * seeds * labels->count, sizeof *e->dice, "Dice values");
    if (st == ST_OK)
        st = array_alloc(&e->dice_patients, labels->count, sizeof *e->dice_patients, "Dice values");
    return st;
}

void evidence_free(evidence *e) {
    free(e->dice);
    free(e->dice_patients);
    e->dice = NULL;
    e->dice_patients = NULL;
}

static double *dice_at(const evidence *e, int arm, int64_t seed, int label) {
    return &e->dice[(arm * e->seeds + seed) * e->labels->count + label];
}

void evidence_take_dice(evidence *e, int arm, int64_t seed, const dice_counts *counts) {
    for (int k = 0; k < e->labels->count; k++) {
        double sum = 0;
        int64_t have = 0;
        for (int64_t p = 0; p < e->patients; p++) {
            if (counts[p].truth[k] == 0) continue;
            sum += dice_of(&counts[p], k);
            have++;
        }
        *dice_at(e, arm, seed, k) = have > 0 ? sum / (double)have : (double)NAN;
        e->dice_patients[k] = have;
    }
}

double evidence_dice(const evidence *e, int arm, int label) {
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

int64_t evidence_dice_patients(const evidence *e, int label) { return e->dice_patients[label]; }

/* JSON has no NaN: what was not measured is null. */
static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *dice_json(const evidence *e) {
    static const char *const names[ARMS] = {"real", "real_plus_synthetic"};
    json_t *all = json_object();
    for (int k = 1; k < e->labels->count; k++) {
        json_t *one = json_object(), *seeds = json_object();
        for (int arm = 0; arm < ARMS; arm++) {
            json_t *list = json_array();
            for (int64_t seed = 0; seed < e->seeds; seed++)
                json_array_append_new(list, number(*dice_at(e, arm, seed, k)));
            json_object_set_new(seeds, names[arm], list);
            json_object_set_new(one, names[arm], number(evidence_dice(e, arm, k)));
        }
        json_object_set_new(one, "n_patients", json_integer(e->dice_patients[k]));
        json_object_set_new(one, "seeds", seeds);
        json_object_set_new(all, e->labels->name[k], one);
    }
    return all;
}

static json_t *fid_json(const evidence *e) {
    char extractor[160];
    snprintf(extractor, sizeof extractor,
             "segnet encoder trained on the real training split, sha256:%s", e->encoder_hash);
    return json_pack("{s:o, s:o, s:I, s:I, s:I, s:I, s:s}", "value", number(e->fid), "floor",
                     number(e->fid_floor), "n_real", (json_int_t)e->n_real, "n_synthetic",
                     (json_int_t)e->n_synthetic, "n_floor", (json_int_t)e->n_floor, "dim",
                     (json_int_t)e->feature_dim, "extractor", extractor);
}

static json_t *warnings_json(const evidence *e, const split *sp) {
    json_t *list = json_array();
    char text[256];
    if (sp->by_blocks)
        json_array_append_new(
            list, json_string(
                      "The store holds one patient: training and test are blocks of slices of the "
                      "same patient. This is no patient-level evidence."));
    else if (e->patients < 10) {
        snprintf(text, sizeof text,
                 "Only %lld held-out patient%s: Dice differences of this size are easily chance.",
                 (long long)e->patients, e->patients == 1 ? "" : "s");
        json_array_append_new(list, json_string(text));
    }
    int64_t least = e->n_real < e->n_synthetic ? e->n_real : e->n_synthetic;
    if (least <= 2 * e->feature_dim) {
        snprintf(text, sizeof text,
                 "FID rests on %lld slices for %lld features: covariances of so few are poorly "
                 "determined, and FID is biased upwards. Read it beside its floor only.",
                 (long long)least, (long long)e->feature_dim);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *part_json(const split *sp, split_part part) {
    return json_pack("{s:I, s:I}", "patients", (json_int_t)sp->patients[part], "slices",
                     (json_int_t)sp->slices[part]);
}

static json_t *versions_json(const char *engine) {
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "ctaug", CTAUG_VERSION, "mpi",
                     comm_library_version(), "hdf5", store_library_version(), "dcmtk",
                     dicom_library_version(), engine, kernels_library_version(engine));
}

static json_t *fingerprints_json(const evidence *e, const evidence_context *about) {
    char training[SHA256_HEX] = "";
    const char *real = store_manifest(about->real)->fingerprint;
    if (train_fingerprint(about->stage->study, real, training) != ST_OK) return NULL;
    return json_pack("{s:s, s:s, s:s, s:s}", "store", real, "training", training, "synthetic",
                     store_manifest(about->synthetic)->fingerprint, "metrics", e->fingerprint);
}

status evidence_json(const evidence *e, const evidence_context *about, char **text) {
    const study *s = about->stage->study;
    char created[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(created, sizeof created, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *split_parts = json_pack("{s:b, s:o, s:o, s:o}", "by_blocks", about->split->by_blocks,
                                    "train", part_json(about->split, SPLIT_TRAIN), "validation",
                                    part_json(about->split, SPLIT_VALIDATION), "test",
                                    part_json(about->split, SPLIT_TEST));
    json_t *synthetic =
        json_pack("{s:I, s:I}", "volumes", (json_int_t)store_count(about->synthetic), "slices",
                  (json_int_t)about->synthetic_slices);
    json_t *segmenter =
        json_pack("{s:I, s:I, s:f, s:I, s:I}", "steps", (json_int_t)s->evaluate.steps, "batch",
                  (json_int_t)s->evaluate.batch, "lr", s->evaluate.lr, "seeds",
                  (json_int_t)s->evaluate.seeds, "parameters", (json_int_t)e->parameters);
    json_t *all =
        json_pack("{s:s, s:I, s:s, s:o, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "study",
                  s->name, "seed", (json_int_t)s->seed, "created", created, "versions",
                  versions_json(s->engine), "ranks", comm_size(about->stage->comm), "engine",
                  s->engine, "fingerprints", fingerprints_json(e, about), "split", split_parts,
                  "synthetic", synthetic, "warnings", warnings_json(e, about->split), "fid",
                  fid_json(e), "dice", dice_json(e), "segmenter", segmenter);
    *text = all ? json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(all);
    return *text ? ST_OK : status_memory("metrics.json", 0);
}
