/* `ctaug phantom`: writes CT examinations of synthetic patients with their labels as DICOM.
 *
 * Patients are distributed over the ranks round-robin. A patient follows from the seed and the
 * patient's number alone, so the files do not depend on the number of ranks.
 */
#include "io/dicom.h"
#include "io/log.h"
#include "model/phantom/phantom.h"
#include "pipeline/common/output_folder.h"
#include "pipeline/cli/verb.h"
#include "pipeline/stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char phantom_help[] =
    "usage: ctaug phantom --patients N --seed S --out DIR [--size 128] [--slices 40]\n"
    "           [--scanner 1]\n"
    "\n"
    "Writes N abdominal CT examinations of synthetic patients with known labels (lung, heart,\n"
    "liver, spleen, kidney, aorta, bone, liver lesion): DIR/patient-0000/ct-0000.dcm ... and\n"
    "seg.dcm, a DICOM SEG. Anatomy, contrast phase, dose and implants differ from patient to\n"
    "patient and follow from the seed alone.\n"
    "  --patients N   1 to 9999\n"
    "  --seed S       0 or more; the same seed gives the same files\n"
    "  --out DIR      new or empty\n"
    "  --size P       pixels a side, 16 to 1024; the field of view stays (default 128)\n"
    "  --slices K     2 to 400 over 200 mm (default 40, that is 5 mm each)\n"
    "  --scanner B    1, or 2: the same patients on another scanner, with a larger field of view,\n"
    "                 lower dose and a sharp kernel (default 1)\n"
    "\n"
    "  mpirun -n 2 ctaug phantom --patients 20 --seed 1 --out phantom-dicom\n"
    "  ctaug phantom --patients 20 --seed 1 --scanner 2 --out phantom-second\n";

typedef struct request {
    int64_t patients, seed, size, slices, scanner;
    const char *out;
} request;

static status check_range(const char *name, int64_t value, int64_t min, int64_t max) {
    if (value >= min && value <= max) return ST_OK;
    return status_fail(ST_USAGE, "phantom: %s %" PRId64 " is outside of %" PRId64 " to %" PRId64,
                       name, value, min, max);
}

static status request_parse(int argc, char **argv, request *q) {
    status st = ST_OK;
    *q = (request){.size = 128, .slices = 40, .scanner = 1};
    const verb_option options[] = {
        {.name = "--patients", .integer = &q->patients, .required = true},
        {.name = "--seed", .integer = &q->seed, .required = true},
        {.name = "--out", .text = &q->out, .required = true},
        {.name = "--size", .integer = &q->size},
        {.name = "--slices", .integer = &q->slices},
        {.name = "--scanner", .integer = &q->scanner},
        {0}};
    TRY(verb_parse(argc, argv, options, NULL, 0, NULL));
    TRY(check_range("--patients", q->patients, 1, 9999));
    TRY(check_range("--seed", q->seed, 0, INT64_MAX));
    TRY(check_range("--size", q->size, 16, 1024));
    TRY(check_range("--slices", q->slices, 2, 400));
    TRY(check_range("--scanner", q->scanner, 1, 2));
done:
    return st;
}

static void name_labels(label_set *set) {
    set->count = LABEL_COUNT;
    for (int k = 0; k < LABEL_COUNT; k++) {
        snprintf(set->name[k], LABEL_NAME, "%s", phantom_label_name((phantom_label)k));
    }
}

/* Makes patient `index` and scans it into v, which the caller frees with volume_free(). Local. */
static status scan_patient(const request *q, int64_t index, volume *v) {
    status st = ST_OK;
    phantom *patient = NULL;
    phantom_grid grid;
    static const double direction[9] = {0, 0, 1, 0, 1,
                                        0, 1, 0, 0}; /* rows: the axes z, y, x point to S, P, L */
    TRY(phantom_create((uint64_t)q->seed, (uint64_t)index, &patient));
    if (q->scanner == 2) phantom_use_scanner(patient, SCANNER_SECOND);
    phantom_plan(patient, q->size, q->slices, &grid);
    snprintf(v->id, sizeof v->id, "patient-%04" PRId64, index);
    memcpy(v->space.shape, grid.shape, sizeof grid.shape);
    memcpy(v->space.spacing, grid.spacing, sizeof grid.spacing);
    memcpy(v->space.origin, grid.origin, sizeof grid.origin);
    memcpy(v->space.direction, direction, sizeof direction);
    v->contrast = phantom_contrast(patient) != PHASE_NATIVE;
    v->traits =
        (scan_traits){.kernel = q->scanner == 2 ? KERNEL_SHARP : KERNEL_SOFT, .body = BODY_ABDOMEN};
    TRY(volume_alloc(v));
    TRY(phantom_scan(patient, &grid, v->hu, v->labels));
done:
    phantom_free(patient);
    return st;
}

static status write_patient(const request *q, const char *directory, const volume *v) {
    status st = ST_OK;
    char path[PATH_SIZE];
    dicom_identity who = {0};
    label_set set = {0};
    name_labels(&set);
    TRY(path_join(path, directory, v->id));
    snprintf(who.patient_id, sizeof who.patient_id, "%s", v->id);
    snprintf(who.description, sizeof who.description, "ctaug phantom, seed %" PRId64, q->seed);
    snprintf(who.seed_text, sizeof who.seed_text, "phantom %" PRId64 " %s %" PRId64 " %" PRId64,
             q->seed, v->id, q->size, q->slices);
    if (q->scanner == 2)
        strncat(who.seed_text, " 2", sizeof who.seed_text - strlen(who.seed_text) - 1);
    who.version = CTAUG_VERSION;
    who.synthetic = true;
    TRY(dicom_write_volume(path, &who, v, &set));
done:
    return st;
}

/* Writes this rank's patients: every comm_size()-th. Local. */
static status write_share(const request *q, const char *directory, const comm *c, journal *log) {
    status st = ST_OK;
    for (int64_t i = comm_rank(c); i < q->patients && st == ST_OK; i += comm_size(c)) {
        volume v = {0};
        log_progress_set(log, i, NULL);
        st = scan_patient(q, i, &v);
        if (st == ST_OK) st = write_patient(q, directory, &v);
        volume_free(&v);
    }
    return st;
}

status phantom_verb(const comm *c, int argc, char **argv) {
    status st = ST_OK;
    request q;
    journal *log = NULL;
    output_folder folder = {0};
    TRY(comm_agree(c, request_parse(argc, argv, &q)));
    TRY(comm_agree(c, log_open(NULL, comm_rank(c) == 0, &log)));
    TRY(output_folder_open(c, q.out, &folder));
    log_progress_begin(log, "phantom patients", q.patients);
    st = output_folder_close(c, &folder, write_share(&q, folder.temporary, c, log));
    if (st == ST_OK) log_progress_set(log, q.patients, NULL);
    log_progress_end(log);
    if (st == ST_OK && comm_rank(c) == 0) {
        verb_print("%" PRId64 " patients, CT and SEG: %s\n"
                   "next: ctaug run STUDY.yaml --set ingest.dicom=%s\n",
                   q.patients, folder.out, folder.out);
    }
done:
    log_close(log);
    return st;
}
