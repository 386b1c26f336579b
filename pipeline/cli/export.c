/* `ctaug export`: writes the volumes of a store for other programs, as DICOM, NIfTI,
 * in the layout of nnU-Net, or as PNG.
 *
 * The volumes are distributed over the ranks in contiguous blocks: neighbouring volumes share a
 * shard, so each rank reads few shards. OUT appears complete or not at all and must be new or empty
 * (pipeline/common/output_folder.h).
 */
#include "pipeline/cli/export_card.h"
#include "pipeline/cli/verb.h"
#include "io/dicom_rtstruct.h"
#include "io/image.h"
#include "io/nifti.h"
#include "io/alloc.h"
#include "io/printable.h"
#include "io/real_path.h"
#include "io/store.h"
#include "pipeline/common/output_folder.h"
#include "pipeline/common/release.h"
#include "pipeline/data/native_matrix.h"
#include "pipeline/stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char export_help[] =
    "usage: ctaug export --store DIR --format dicom|nifti|nnunet|png --out DIR [--native]\n"
    "       [--rtstruct] [--share]\n"
    "\n"
    "Writes every volume of a store, real or synthetic, for other programs.\n"
    "  --store DIR      a store: RUN/store or RUN/synthetic\n"
    "  --format dicom   a folder for each volume: CT slices and a SEG with its structures\n"
    "           nifti   ID.nii (HU) and ID_labels.nii for each volume, and labels.tsv\n"
    "           nnunet  imagesTr, labelsTr, dataset.json, as nnU-Net reads them; volumes without\n"
    "                   labels in imagesTs\n"
    "           png     one picture of evenly spaced slices for each volume, structures tinted\n"
    "  --out DIR        new or empty\n"
    "  --native         synthetic volumes, which have data.size pixels, interpolated to the "
    "matrix\n"
    "                   and pixel spacing of the series, or masks, that their label maps are of;\n"
    "                   real volumes have them\n"
    "  --rtstruct       with dicom: the structures also as an RT Structure Set, rtstruct.dcm\n"
    "  --share          files are made with your umask instead of for you alone (0600)\n"
    "README.md and card.json in it say what the data are; the licence is yours to fill in.\n"
    "\n"
    "Synthetic volumes that the gate of their run (RUN/gate) does not let pass are exported with "
    "a\n"
    "warning or, with gate.release: block, refused (exit code 5).\n";

enum { SHEET_COLUMNS = 4, SHEET_ROWS = 4, SHEET_SIDE = 256 };
static const double SHEET_WINDOW[2] = {-1000, 1000}; /* HU */

typedef struct exporter {
    store *from;
    output_folder folder;
    store_content content;
    gate_finding gate;                 /* on rank 0 */
    bool native;                       /* pipeline/data/native_matrix.h; never with CONTENT_REAL */
    bool rtstruct;                     /* DICOM: an RT Structure Set, too */
    study *study;                      /* of the run; NULL: there is none beside the store */
    const char *rules[STRUCTURES_MAX]; /* texts of export.codes */
    structure_codes codes;
} exporter;

/* Writes one volume to the temporary folder. Local. */
typedef status (*export_volume)(const exporter *e, const store_entry *entry, const volume *v);

/* "<temporary folder>/<id><ending>". */
static status volume_path(const exporter *e, const volume *v, const char *ending,
                          char path[PATH_SIZE]) {
    char name[VOLUME_ID + 32];
    snprintf(name, sizeof name, "%s%s", v->id, ending);
    return path_join(path, e->folder.temporary, name);
}

static status export_dicom(const exporter *e, const store_entry *entry, const volume *v) {
    (void)entry;
    static const char *const descriptions[] = {
        [CONTENT_REAL] = "ctaug export",
        [CONTENT_SYNTHETIC] = "ctaug export, SYNTHETIC: no real patient",
        [CONTENT_INPAINTED] = "ctaug export, real CT with SYNTHETIC structures"};
    dicom_identity who = {0};
    char path[PATH_SIZE];
    status st = ST_OK;
    TRY(volume_path(e, v, "", path));
    TRY(file_make_dirs(path));
    /* The part of the id before the last "-" names the patient: series of a patient share it. */
    snprintf(who.patient_id, sizeof who.patient_id, "%s", v->id);
    char *dash = strrchr(who.patient_id, '-');
    if (dash) *dash = 0;
    snprintf(who.description, sizeof who.description, "%s", descriptions[e->content]);
    /* With the fingerprint, volumes of different stores with the same id get different UIDs, as do
     * the same ones at another matrix. */
    snprintf(who.seed_text, sizeof who.seed_text, "export%s %s %s", e->native ? " native" : "",
             store_manifest(e->from)->fingerprint, v->id);
    who.version = CTAUG_VERSION;
    who.synthetic = e->content != CONTENT_REAL;
    who.deidentified = e->content != CONTENT_SYNTHETIC;
    who.codes = &e->codes;
    if (who.synthetic) snprintf(who.model, sizeof who.model, "%s", export_model(e->from));
    TRY(dicom_write_volume(path, &who, v, store_labels(e->from)));
    if (e->rtstruct) TRY(dicom_write_rtstruct(path, &who, v, store_labels(e->from)));
done:
    return st;
}

static const char *nifti_description(const exporter *e) {
    static const char *const of[] = {[CONTENT_REAL] = "CT, HU",
                                     [CONTENT_SYNTHETIC] = "ctaug: synthetic CT, HU",
                                     [CONTENT_INPAINTED] = "ctaug: CT, synthetic structures, HU"};
    return of[e->content];
}

static status export_nifti(const exporter *e, const store_entry *entry, const volume *v) {
    (void)entry;
    char path[PATH_SIZE];
    status st = ST_OK;
    TRY(volume_path(e, v, ".nii", path));
    TRY(nifti_write_i16(path, &v->space, v->hu, nifti_description(e)));
    TRY(volume_path(e, v, "_labels.nii", path));
    TRY(nifti_write_u8(path, &v->space, v->labels, "label values: see labels.tsv"));
done:
    return st;
}

/* "<temporary folder>/<folder>/<id><ending>". */
static status nnunet_path(const exporter *e, const volume *v, const char *folder,
                          const char *ending, char path[PATH_SIZE]) {
    char name[VOLUME_ID + 64];
    snprintf(name, sizeof name, "%s/%s%s", folder, v->id, ending);
    return path_join(path, e->folder.temporary, name);
}

static status export_nnunet(const exporter *e, const store_entry *entry, const volume *v) {
    char path[PATH_SIZE];
    status st = ST_OK;
    TRY(nnunet_path(e, v, entry->unlabelled ? "imagesTs" : "imagesTr", "_0000.nii.gz", path));
    TRY(nifti_write_i16(path, &v->space, v->hu, nifti_description(e)));
    if (entry->unlabelled) goto done;
    TRY(nnunet_path(e, v, "labelsTr", ".nii.gz", path));
    TRY(nifti_write_u8(path, &v->space, v->labels, "label values: see dataset.json"));
done:
    return st;
}

static status export_png(const exporter *e, const store_entry *entry, const volume *v) {
    (void)entry;
    static const uint8_t black[3] = {0, 0, 0};
    const int64_t *shape = v->space.shape;
    int64_t tiles = SHEET_ROWS * SHEET_COLUMNS;
    int64_t side = shape[1] > shape[2] ? shape[1] : shape[2];
    int64_t scale = side < SHEET_SIDE ? SHEET_SIDE / side : 1;
    char path[PATH_SIZE];
    image sheet = {0};
    status st = ST_OK;
    if (tiles > shape[0]) tiles = shape[0];
    int64_t rows = (tiles + SHEET_COLUMNS - 1) / SHEET_COLUMNS;
    TRY(image_create(rows * shape[1] * scale, SHEET_COLUMNS * shape[2] * scale, black, &sheet));
    for (int64_t t = 0; t < tiles; t++) {
        int64_t z = (2 * t + 1) * shape[0] / (2 * tiles), at = z * shape[1] * shape[2];
        image_draw_slice(&sheet, t / SHEET_COLUMNS * shape[1] * scale,
                         t % SHEET_COLUMNS * shape[2] * scale, scale, v->hu + at, v->labels + at,
                         shape[1], shape[2], SHEET_WINDOW[0], SHEET_WINDOW[1]);
    }
    TRY(volume_path(e, v, ".png", path));
    TRY(image_write(&sheet, path));
done:
    image_free(&sheet);
    return st;
}

/* Writes labels.tsv, the table of label values in the format of BIDS. Local. */
static status write_label_table(const exporter *e) {
    const label_set *set = store_labels(e->from);
    enum { ESCAPED = 4 * LABEL_NAME }; /* "\x1b" for a byte */
    char text[LABELS_MAX * (ESCAPED + 8) + 16], name[ESCAPED], path[PATH_SIZE];
    int length = snprintf(text, sizeof text, "index\tname\n");
    status st = ST_OK;
    for (int k = 0; k < set->count; k++) {
        printable(set->name[k], false, name, sizeof name);
        length += snprintf(text + length, sizeof text - (size_t)length, "%d\t%s\n", k, name);
    }
    TRY(path_join(path, e->folder.temporary, "labels.tsv"));
    TRY(file_write_atomic(path, text, length));
done:
    return st;
}

/* The folders and dataset.json of nnU-Net v2. Local; called on rank 0. */
static status write_nnunet_table(const exporter *e) {
    const label_set *set = store_labels(e->from);
    char path[PATH_SIZE], *text = NULL;
    int64_t labelled = 0;
    json_t *labels = json_object(), *table = NULL;
    status st = ST_OK;
    for (int64_t i = 0; i < store_count(e->from); i++)
        labelled += !store_at(e->from, i)->unlabelled;
    for (int k = 0; k < set->count; k++) {
        char name[4 * LABEL_NAME];
        printable(set->name[k], false, name, sizeof name);
        json_object_set_new(labels, name, json_integer(k));
    }
    table = json_pack("{s:{s:s}, s:o, s:I, s:s}", "channel_names", "0", "CT", "labels", labels,
                      "numTraining", (json_int_t)labelled, "file_ending", ".nii.gz");
    if (table) text = json_dumps(table, JSON_INDENT(1));
    if (!text) TRY(status_memory("dataset.json", 0));
    TRY(path_join(path, e->folder.temporary, "dataset.json"));
    TRY(file_write_atomic(path, text, (int64_t)strlen(text)));
done:
    free(text);
    json_decref(table);
    return st;
}

/* The folders of nnU-Net, before any rank writes into them. Local; called on rank 0. */
static status make_nnunet_folders(const exporter *e) {
    char path[PATH_SIZE];
    status st = ST_OK;
    bool unlabelled = false;
    for (int64_t i = 0; i < store_count(e->from); i++)
        unlabelled |= store_at(e->from, i)->unlabelled;
    const char *const names[] = {"imagesTr", "labelsTr", unlabelled ? "imagesTs" : NULL};
    for (int i = 0; i < 3 && names[i] && st == ST_OK; i++) {
        st = path_join(path, e->folder.temporary, names[i]);
        if (st == ST_OK) st = file_make_dirs(path);
    }
    return st;
}

static const struct row {
    const char *name;
    export_volume write;
} FORMATS[] = {{"dicom", export_dicom},
               {"nifti", export_nifti},
               {"nnunet", export_nnunet},
               {"png", export_png}};

static const named_table formats = NAMED_TABLE("format", FORMATS);

/* Volume i of a synthetic store at the matrix of its series. Local. */
static status read_native(const exporter *e, int64_t i, volume *out) {
    status st = ST_OK;
    const json_t *origin = json_object_get(store_manifest(e->from)->detail, "provenance");
    const json_t *records = json_object_get(origin, "volumes"), *record = NULL;
    const char *id = store_at(e->from, i)->id, *of = NULL;
    volume v = {0};
    int64_t rows = 0, columns = 0;
    for (size_t k = 0; k < json_array_size(records) && !record; k++) {
        of = json_string_value(json_object_get(json_array_get(records, k), "id"));
        if (of && strcmp(of, id) == 0) record = json_array_get(records, k);
    }
    TRY(native_matrix_read(record, &rows, &columns));
    TRY(store_read_volume(e->from, i, &v));
    TRY(native_matrix_resample(&v, rows, columns, out));
done:
    volume_free(&v);
    return st;
}

/* Writes this rank's block of the volumes; rank 0 also tables and the card. Local. */
static status write_share(const exporter *e, const struct row *format, int rank, int size) {
    const export_volume write = format->write;
    int64_t count = store_count(e->from), first = count * rank / size;
    status st = ST_OK;
    const export_about about = {format->name, e->gate, e->native};
    if (rank == 0) st = export_card_write(e->from, &about, e->folder.temporary);
    if (st == ST_OK && rank == 0 && write == export_nifti) st = write_label_table(e);
    if (st == ST_OK && rank == 0 && write == export_nnunet) st = write_nnunet_table(e);
    for (int64_t i = first; i < count * (rank + 1) / size && st == ST_OK; i++) {
        volume v = {0};
        st = e->native ? read_native(e, i, &v) : store_read_volume(e->from, i, &v);
        if (st == ST_OK) st = write(e, store_at(e->from, i), &v);
        volume_free(&v);
    }
    return st;
}

/* Reads the study of the run directory `run`, if there is one. Collective. */
static status read_study(const comm *c, const char *run, exporter *e) {
    status st = ST_OK;
    char path[PATH_SIZE];
    int64_t found = 0;
    TRY(comm_agree(c, path_join(path, run, "study.yaml")));
    found = comm_rank(c) == 0 && file_exists(path);
    TRY(comm_sum_i64(c, &found, 1));
    if (!found) goto done;
    TRY(comm_agree(c, array_alloc(&e->study, 1, sizeof *e->study, "the study")));
    TRY(study_read(c, path, NULL, 0, e->study));
    study_texts_at(&e->study->export.codes, e->rules);
    e->codes = (structure_codes){e->rules, e->study->export.codes.count};
done:
    return st;
}

/* Refuses a synthetic store that its run's gate blocks, and warns of one that it does not let pass.
 * Collective. */
static status check_gate(const comm *c, exporter *e, const char *run) {
    status st = ST_OK;
    char path[PATH_SIZE] = "";
    const release_kind wanted = e->study ? e->study->gate.release : RELEASE_WARN;
    release found = {0};
    TRY(comm_agree(c, path_join(path, run, "gate")));
    if (comm_rank(c) == 0) st = release_read(path, store_manifest(e->from)->seal, wanted, &found);
    if (st == ST_OK && comm_rank(c) == 0) st = release_check(&found);
    TRY(comm_agree(c, st));
    e->gate = found.passed ? GATE_PASSED : GATE_NOT_PASSED;
    if (comm_rank(c) == 0 && !found.passed) {
        char text[sizeof found.finding];
        printable(found.finding, true, text, sizeof text);
        fprintf(stderr, "ctaug: warning: %s\n", text);
    }
done:
    return st;
}

/* What the run of the store says of it: its study and its gate. Collective. */
static status ask_run(const comm *c, exporter *e, const char *directory) {
    status st = ST_OK;
    char above[PATH_SIZE + 4], run[PATH_SIZE];
    snprintf(above, sizeof above, "%s/..", directory);
    TRY(comm_agree(c, real_path(above, run)));
    TRY(read_study(c, run, e));
    if (e->content != CONTENT_REAL) TRY(check_gate(c, e, run));
done:
    return st;
}

status export_verb(const comm *c, int argc, char **argv) {
    const char *directory = "", *out = "";
    int format = 0;
    bool share = false;
    exporter e = {0};
    const verb_option options[] = {
        {.name = "--store", .text = &directory, .required = true},
        {.name = "--format", .choice = &format, .choices = &formats, .required = true},
        {.name = "--out", .text = &out, .required = true},
        {.name = "--native", .flag = &e.native},
        {.name = "--rtstruct", .flag = &e.rtstruct},
        {.name = "--share", .flag = &share},
        {0}};
    status st = verb_parse(argc, argv, options, NULL, 0, NULL);
    if (st == ST_OK && e.rtstruct && FORMATS[format].write != export_dicom)
        st =
            status_fail(ST_USAGE, "--rtstruct is for --format dicom, not %s", FORMATS[format].name);
    if (!share) umask(077); /* as in a run directory: most stores show patients */
    if (st == ST_OK) st = store_open(directory, &e.from);
    TRY(comm_agree(c, st));
    e.content = export_content(e.from);
    e.native = e.native && e.content != CONTENT_REAL; /* those have it */
    TRY(ask_run(c, &e, directory));
    TRY(output_folder_open(c, out, &e.folder));
    st = comm_rank(c) == 0 && FORMATS[format].write == export_nnunet ? make_nnunet_folders(&e)
                                                                     : ST_OK;
    st = comm_agree(c, st);
    if (st == ST_OK) st = write_share(&e, &FORMATS[format], comm_rank(c), comm_size(c));
    TRY(output_folder_close(c, &e.folder, st));
    if (comm_rank(c) == 0)
        verb_print("%" PRId64 " volumes as %s: %s\n", store_count(e.from), FORMATS[format].name,
                   e.folder.out);
done:
    store_close(e.from);
    free(e.study);
    return st;
}
