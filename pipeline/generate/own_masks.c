/* All ranks scan the folder together; each then reads its share of the mask files, and all group
 * them in the same way. */
#include "pipeline/generate/own_masks.h"

#include "io/alloc.h"
#include "io/decoder.h"
#include "io/nifti_read.h"
#include "io/printable.h"
#include "pipeline/generate/own_names.h"
#include "pipeline/generate/own_patients.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { FAULTS_SHOWN = 20 };

static const dicom_kind kinds[OWN_KINDS] = {DICOM_SEG, DICOM_RTSTRUCT, DICOM_NIFTI};

static int place_of_kind(dicom_kind kind) {
    int k = 0;
    while (k < OWN_KINDS && kinds[k] != kind) k++;
    return k;
}

static bool is_mask(const dicom_header *h) { return place_of_kind(h->kind) < OWN_KINDS; }

const structure_names *own_masks_names(const own_masks *m, dicom_kind kind) {
    return &m->names[kind == DICOM_NIFTI];
}

/* ---- the scan ---- */

/* Scans the folder, and for its series once more for each kind of mask. Collective. */
static status scan(own_masks *m) {
    static const pseudonym_key no_key; /* pseudonyms of these series are used nowhere */
    const stage_context *s = m->stage;
    const char *folder = s->study->generate.masks;
    status st = ST_OK;
    int64_t series = 0, masks[OWN_KINDS] = {0};
    TRY(archive_scan(s->comm, folder, DICOM_SEG, &m->found, &m->faults));
    for (int64_t i = 0; i < m->found.count; i++) {
        const dicom_header *h = &m->found.headers[i];
        series += h->kind == DICOM_CT;
        if (is_mask(h)) masks[place_of_kind(h->kind)]++;
    }
    for (int k = 0; k < OWN_KINDS && series > 0; k++) {
        const series_policy policy = {.key = &no_key,
                                      .split_gaps = s->study->ingest.gaps == GAPS_SPLIT,
                                      .shear = s->study->ingest.tilt == TILT_SHEAR,
                                      .any_orientation = true,
                                      .masks = kinds[k]};
        if (masks[k] > 0) TRY(series_scan(s->comm, folder, &policy, &m->lists[k]));
    }
    TRY(comm_agree(s->comm, array_alloc(&m->files, m->found.count, sizeof *m->files, "masks")));
done:
    return st;
}

/* ---- the files ---- */

/* The name of a NIfTI file without its folder and ending. */
static void stem_of(const char *path, char stem[PATH_SIZE]) {
    const char *slash = strrchr(path, '/');
    snprintf(stem, PATH_SIZE, "%s", slash ? slash + 1 : path);
    char *dot = strrchr(stem, '.');
    if (dot && strcasecmp(dot, ".gz") == 0) {
        *dot = '\0';
        dot = strrchr(stem, '.');
    }
    if (dot) *dot = '\0';
}

/* Reads the texts of a file into `own`, hashes it, and says how a NIfTI file is called. Local. */
static status read_file(own_masks *m, const label_set *labels, int64_t i, structure_texts *own) {
    const dicom_header *h = &m->found.headers[i];
    char stem[PATH_SIZE] = "", hex[SHA256_HEX];
    status st = ST_OK;
    int called = 0;
    if (h->kind == DICOM_NIFTI) {
        stem_of(h->path, stem);
        if (strlen(stem) < STRUCTURE_TEXT)
            TRY(own_name_value(m->stage->study, labels, stem, &called));
        m->files[i].named = called > 0;
    }
    TRY(decoder_label_texts(h->path, h->kind, own));
    TRY(file_sha256(h->path, hex));
    memcpy(m->files[i].sha256, hex, sizeof hex);
    const bool is_stem = h->kind == DICOM_NIFTI && own->count == 1 && strcmp(own->at[0], stem) == 0;
    if (called > 0 && own->count > 0 && !is_stem)
        st = status_fail(ST_INPUT,
                         "%s: it is called after a structure, but holds other values than 0 and 1",
                         h->path);
    m->files[i].named |= is_stem;
done:
    return st;
}

/* Reads this rank's mask files; a file at fault is recorded. Local. */
static status read_share(own_masks *m, const label_set *labels, structure_texts mine[2],
                         fault_list *found) {
    status st = ST_OK;
    structure_texts own = {0};
    int64_t number = 0;
    for (int64_t i = 0; i < m->found.count; i++) {
        const dicom_header *h = &m->found.headers[i];
        if (!is_mask(h) || number++ % comm_size(m->stage->comm) != comm_rank(m->stage->comm))
            continue;
        st = read_file(m, labels, i, &own);
        m->files[i].faulty = st == ST_INPUT;
        if (st == ST_INPUT)
            st = fault_add_message(
                found, &(fault){.scope = FAULT_SEG, .files = 1, .text = {[FAULT_PATH] = h->path}});
        TRY(st);
        for (int64_t k = 0; k < own.count && !m->files[i].faulty; k++)
            TRY(structure_texts_add(&mine[h->kind == DICOM_NIFTI], own.at[k]));
        structure_texts_free(&own);
    }
done:
    structure_texts_free(&own);
    return st;
}

/* Gives all ranks the texts of all, and their values. Collective. */
static status share_names(own_masks *m, const label_set *labels, const structure_texts *mine,
                          bool nifti) {
    status st = ST_OK;
    structure_texts all = {0};
    void *gathered = NULL;
    int64_t bytes = 0;
    TRY(comm_all_gather(m->stage->comm, mine->at, mine->count * STRUCTURE_TEXT, &gathered, &bytes,
                        NULL));
    const char(*texts)[STRUCTURE_TEXT] = gathered;
    for (int64_t k = 0; k < bytes / STRUCTURE_TEXT && st == ST_OK; k++)
        st = structure_texts_add(&all, texts[k]);
    if (st == ST_OK) st = own_names_make(m->stage->study, labels, &all, nifti, &m->names[nifti]);
    TRY(comm_agree(m->stage->comm, st)); /* ranks may differ only in lack of memory */
done:
    structure_texts_free(&all);
    free(gathered);
    return st;
}

/* Appends the faults of all ranks to those of the masks. Collective. */
static status share_faults(own_masks *m, fault_list *found) {
    status st = ST_OK;
    TRY(faults_gather(m->stage->comm, found));
    for (int64_t k = 0; k < found->count && st == ST_OK; k++)
        st = fault_add(&m->faults, &found->items[k]);
    TRY(comm_agree(m->stage->comm, st));
done:
    return st;
}

/* Collective. */
static status read_files(own_masks *m, const label_set *labels) {
    const comm *c = m->stage->comm;
    structure_texts mine[2] = {{0}, {0}};
    fault_list found = {0};
    status st = ST_OK;
    TRY(comm_agree(c, read_share(m, labels, mine, &found)));
    TRY(share_faults(m, &found));
    TRY(comm_sum_i64(c, (int64_t *)m->files,
                     m->found.count * (int64_t)(sizeof *m->files / sizeof(int64_t))));
    for (int k = 0; k < 2; k++) TRY(share_names(m, labels, &mine[k], k == 1));
done:
    for (int k = 0; k < 2; k++) structure_texts_free(&mine[k]);
    faults_free(&found);
    return st;
}

/* ---- volumes ---- */

const series *own_masks_series(const own_masks *m, int64_t i) {
    const dicom_header *h = &m->found.headers[i];
    if (!is_mask(h)) return NULL;
    const series_list *list = &m->lists[place_of_kind(h->kind)];
    for (int64_t i = 0; i < list->count; i++)
        for (int64_t k = 0; k < list->items[i].segmentation_count; k++)
            if (strcmp(list->items[i].segmentations[k], h->path) == 0) return &list->items[i];
    return NULL;
}

static bool same_folder(const char *a, const char *b) {
    const char *slash = strrchr(a, '/');
    const size_t folder = slash ? (size_t)(slash - a) + 1 : 0;
    return strncmp(a, b, folder) == 0 && !strchr(b + folder, '/');
}

/* Whether file i belongs to the volume of an item. */
static bool joins(const own_masks *m, const own_mask *item, const series *beside, int64_t i) {
    const int64_t first = item->files[0];
    if (beside || item->beside)
        return beside && item->beside && strcmp(beside->pseudonym, item->beside->pseudonym) == 0;
    return m->files[i].named && m->files[first].named &&
           same_folder(m->found.headers[first].path, m->found.headers[i].path);
}

/* Puts file i into its volume, perhaps a new one. */
static status place_file(own_masks *m, const series *beside, int64_t i) {
    own_mask *item = NULL;
    for (int64_t k = 0; k < m->count && !item; k++)
        if (joins(m, &m->items[k], beside, i)) item = &m->items[k];
    if (!item) {
        item = &m->items[m->count++];
        item->beside = beside;
    }
    int64_t *grown = realloc(item->files, (size_t)(item->count + 1) * sizeof *grown);
    if (!grown) return status_memory("masks", item->count);
    item->files = grown;
    item->files[item->count++] = i;
    return ST_OK;
}

/* Contours without a series are a fault: for the reason of the scan, if that has one. */
static status add_unplaced(own_masks *m, int64_t i) {
    const char *path = m->found.headers[i].path;
    const fault_list *said = &m->lists[place_of_kind(DICOM_RTSTRUCT)].faults;
    const char *reason = "its contours need the CT series that they were drawn on beside them";
    for (int64_t k = 0; k < said->count; k++)
        if (said->items[k].scope == FAULT_SEG && strcmp(said->items[k].text[FAULT_PATH], path) == 0)
            reason = said->items[k].text[FAULT_REASON];
    m->files[i].faulty = 1;
    return fault_add(&m->faults, &(fault){.scope = FAULT_SEG,
                                          .files = 1,
                                          .text = {[FAULT_PATH] = path, [FAULT_REASON] = reason}});
}

static bool is_sound(const own_masks *m, const own_mask *item) {
    bool sound = true;
    for (int64_t k = 0; k < item->count; k++) sound &= !m->files[item->files[k]].faulty;
    return sound;
}

/* Local, with the same result on all ranks. */
static status group_files(own_masks *m) {
    status st = ST_OK;
    int64_t kept = 0;
    TRY(array_alloc(&m->items, m->found.count, sizeof *m->items, "masks"));
    for (int64_t i = 0; i < m->found.count; i++) {
        const dicom_header *h = &m->found.headers[i];
        if (!is_mask(h)) continue;
        const series *beside = own_masks_series(m, i);
        if (!beside && h->kind == DICOM_RTSTRUCT && !m->files[i].faulty) TRY(add_unplaced(m, i));
        TRY(place_file(m, beside, i));
    }
    for (int64_t k = 0; k < m->count; k++) {
        own_mask item = m->items[k];
        if (is_sound(m, &item))
            m->items[kept++] = item;
        else
            free(item.files);
    }
    m->count = kept;
done:
    return st;
}

/* ---- the fingerprint ---- */

/* Writes what the map of an item follows from. Local. */
static status describe_item(const own_masks *m, const own_mask *item, FILE *f) {
    status st = ST_OK;
    char hex[SHA256_HEX], stem[PATH_SIZE];
    fprintf(f, "mask\n");
    for (int64_t k = 0; k < item->count; k++) {
        const dicom_header *h = &m->found.headers[item->files[k]];
        stem_of(h->path, stem);
        fprintf(f, "%s %s %s\n", label_file_word(h->kind), m->files[item->files[k]].sha256,
                h->kind == DICOM_NIFTI ? stem : "");
    }
    for (int64_t z = 0; item->beside && z < item->beside->source.shape[0]; z++) {
        const dicom_header *h = &item->beside->slices[z];
        if (z > 0 && strcmp(h->path, h[-1].path) == 0) continue;
        TRY(file_sha256(h->path, hex));
        fprintf(f, "slice %s\n", hex);
    }
done:
    return st;
}

/* A hash for each item: hashes[count][SHA256_HEX + 7]. Each rank makes its share. Local. */
static status hash_share(const own_masks *m, char (*hashes)[SHA256_HEX + 7]) {
    status st = ST_OK;
    const comm *c = m->stage->comm;
    for (int64_t i = comm_rank(c); i < m->count && st == ST_OK; i += comm_size(c)) {
        char *text = NULL, hex[SHA256_HEX];
        size_t bytes = 0;
        FILE *f = open_memstream(&text, &bytes);
        if (!f) return status_memory("a fingerprint", 0);
        st = describe_item(m, &m->items[i], f);
        if (fclose(f) != 0 && st == ST_OK) st = status_memory("a fingerprint", 0);
        if (st == ST_OK) st = bytes_sha256(text, (int64_t)bytes, hex);
        if (st == ST_OK) memcpy(hashes[i], hex, sizeof hex);
        free(text);
    }
    return st;
}

/* Collective. */
static status find_fingerprint(own_masks *m) {
    static const char *const keys[] = {"ingest.structures", "ingest.overlap", "ingest.order",
                                       "ingest.fractional"};
    status st = ST_OK;
    char(*hashes)[SHA256_HEX + 7] = NULL, hex[SHA256_HEX];
    const int64_t bytes = m->count * (int64_t)sizeof *hashes;
    st = array_alloc(&hashes, m->count, sizeof *hashes, "fingerprints");
    if (st == ST_OK) st = hash_share(m, hashes);
    TRY(comm_agree(m->stage->comm, st));
    TRY(comm_sum_i64(m->stage->comm, (int64_t *)(void *)hashes, bytes / (int64_t)sizeof(int64_t)));
    st = bytes_sha256(hashes, bytes, hex);
    if (st == ST_OK)
        st = study_fingerprint(m->stage->study, keys, sizeof keys / sizeof *keys, hex,
                               m->fingerprint);
    TRY(comm_agree(m->stage->comm, st));
done:
    free(hashes);
    return st;
}

/* ---- all of it ---- */

static void say_fault(const own_masks *m, const fault *f) {
    char path[4 * PATH_SIZE], reason[4 * PATH_SIZE];
    printable(f->text[FAULT_PATH], false, path, sizeof path);
    printable(f->text[FAULT_REASON], false, reason, sizeof reason);
    log_warning(m->stage->log, "generate.masks: left out: %s: %s", path, reason);
}

status own_masks_judge(const own_masks *m, int64_t from) {
    const stage_context *s = m->stage;
    int64_t faults = 0;
    for (int64_t i = from; i < m->faults.count; i++) {
        const fault *f = &m->faults.items[i];
        if (f->ordinary || f->scope == FAULT_NOTE) continue;
        if (comm_rank(s->comm) == 0 && faults < FAULTS_SHOWN) say_fault(m, f);
        faults++;
    }
    if (comm_rank(s->comm) == 0 && faults > FAULTS_SHOWN)
        log_warning(s->log, "generate.masks: %" PRId64 " more faults", faults - FAULTS_SHOWN);
    if (faults > 0 && (s->strict || s->study->ingest.strict == SWITCH_ON))
        return status_fail(ST_INPUT,
                           "%" PRId64 " faults in generate.masks, and nothing is painted because "
                           "of --strict or ingest.strict: see above",
                           faults);
    return ST_OK;
}

/* Appends what is wrong with the series; the three scans say the same. Local. */
static status add_series_faults(own_masks *m) {
    status st = ST_OK;
    for (int k = 0; k < OWN_KINDS; k++) {
        const fault_list *found = &m->lists[k].faults;
        if (!m->lists[k].items) continue;
        for (int64_t i = 0; i < found->count && st == ST_OK; i++)
            if (found->items[i].scope == FAULT_SERIES) st = fault_add(&m->faults, &found->items[i]);
        break;
    }
    return st;
}

status own_masks_find(const stage_context *stage, const store *real, const split *sp,
                      own_masks *out) {
    status st = ST_OK;
    int64_t beside = 0;
    *out = (own_masks){.stage = stage};
    TRY(comm_agree(stage->comm, decoder_begin()));
    TRY(scan(out));
    TRY(read_files(out, store_labels(real)));
    TRY(own_patients_leave_out(out, real, sp));
    st = add_series_faults(out);
    if (st == ST_OK) st = group_files(out);
    TRY(comm_agree(stage->comm, st));
    for (int k = 0; k < 2 && comm_rank(stage->comm) == 0; k++)
        own_names_warn(stage->log, &out->names[k]);
    TRY(own_masks_judge(out, 0));
    if (out->count == 0)
        TRY(status_fail(ST_INPUT,
                        "generate.masks: of %" PRId64 " files in %s none is a mask that can be "
                        "used: SEG, NIfTI, or an RT Structure Set beside its series",
                        out->found.files, stage->study->generate.masks));
    for (int64_t i = 0; i < out->count; i++) beside += out->items[i].beside != NULL;
    log_info(stage->log, "generate: masks of %" PRId64 " volumes, %" PRId64 " beside their series",
             out->count, beside);
    TRY(find_fingerprint(out));
done:
    return st;
}

void own_masks_free(own_masks *m) {
    for (int64_t i = 0; i < m->count; i++) free(m->items[i].files);
    for (int k = 0; k < OWN_KINDS; k++) series_list_free(&m->lists[k]);
    for (int k = 0; k < 2; k++) structure_names_free(&m->names[k]);
    archive_free(&m->found);
    faults_free(&m->faults);
    free(m->items);
    free(m->files);
    decoder_end();
    *m = (own_masks){0};
}
