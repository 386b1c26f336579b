/* The HU of a slice are compared by a hash. Series that look like copies are compared by their
 * middle slice first: two reconstructions of one scan have the same geometry, too. */
#include "io/series_content.h"

#include "io/activity.h"
#include "io/decoder.h"
#include "io/series_build.h"

#include <math.h>
#include <string.h>

/* A number of the HU of a slice. What cannot be decoded is a fault of its
 * series, or has the number 0 if no faults are asked for. Local. */
static status hash_slice(const dicom_header *h, uint64_t *content, fault_list *faults) {
    status st;
    int16_t *hu = NULL;
    char hex[SHA256_HEX];
    int64_t pixels = 0;
    if (!size_mul(h->rows, h->columns, &pixels)) pixels = -1;
    TRY(array_alloc(&hu, pixels, sizeof *hu, "a slice"));
    st = decoder_read_ct(h, hu);
    if (st == ST_INPUT && !faults) {
        st = ST_OK; /* content 0: unlike any other */
        goto done;
    }
    if (st == ST_INPUT)
        st = fault_add_message(faults, &(fault){.scope = FAULT_SERIES,
                                                .files = 1,
                                                .text = {[FAULT_PATH] = h->path,
                                                         [FAULT_UID] = h->series_uid,
                                                         [FAULT_ADVICE] = "export it again"}});
    TRY(st);
    TRY(bytes_sha256(hu, pixels * (int64_t)sizeof *hu, hex));
    hex[16] = '\0';
    *content = strtoull(hex, NULL, 16) | 1;
    activity_progress();
done:
    free(hu);
    return st;
}

/* The content of n slices on every rank, each decoded by one of them. `faults`: of this rank; may
 * be NULL. Collective. */
static status hash_slices(const comm *c, const dicom_header *const *slices, int64_t n,
                          uint64_t *content, fault_list *faults) {
    status st = ST_OK;
    memset(content, 0, (size_t)n * sizeof *content);
    for (int64_t k = comm_rank(c); k < n && st == ST_OK; k += comm_size(c))
        st = hash_slice(slices[k], &content[k], faults);
    TRY(comm_agree(c, st));
    /* Each number is set on one rank, and 0 on the others. */
    TRY(comm_sum_i64(c, (int64_t *)content, n));
done:
    return st;
}

static bool is_same_series(const placed *a, const placed *b) {
    return strcmp(a->header->series_uid, b->header->series_uid) == 0;
}

static bool share_place(const placed *a, const placed *b) {
    return is_same_series(a, b) && a->header->picture == PICTURE_SLICE &&
           b->header->picture == PICTURE_SLICE && build_same_place(a, b);
}

status content_of_shared_places(const comm *c, placed *slices, int64_t n, fault_list *faults) {
    status st;
    fault_list found = {0};
    const dicom_header **shared = NULL;
    int64_t *at = NULL, count = 0;
    uint64_t *content = NULL;
    st = array_alloc(&shared, n, sizeof *shared, "slices");
    if (st == ST_OK) st = array_alloc(&at, n, sizeof *at, "slices");
    if (st == ST_OK) st = array_alloc(&content, n, sizeof *content, "slices");
    TRY(comm_agree(c, st));
    for (int64_t i = 0; i < n; i++) {
        if (!(i > 0 && share_place(&slices[i - 1], &slices[i])) &&
            !(i + 1 < n && share_place(&slices[i], &slices[i + 1])))
            continue;
        shared[count] = slices[i].header;
        at[count++] = i;
    }
    TRY(hash_slices(c, shared, count, content, &found));
    TRY(faults_gather(c, &found));
    for (int64_t k = 0; k < count; k++) slices[at[k]].content = content[k];
    for (int64_t k = 0; k < found.count && st == ST_OK; k++)
        st = fault_add(faults, &found.items[k]);
    TRY(comm_agree(c, st));
done:
    faults_free(&found);
    free(shared);
    free(at);
    free(content);
    return st;
}

/* ---- series ---- */

/* Compares pseudonyms without the part of the series. */
static bool same_patient(const series *a, const series *b) {
    const size_t length = (size_t)(strrchr(a->pseudonym, '-') - a->pseudonym);
    return strncmp(a->pseudonym, b->pseudonym, length + 1) == 0;
}

static bool look_alike(const series *a, const series *b) {
    const geometry *g = &a->source, *h = &b->source;
    bool alike = same_patient(a, b) && memcmp(g->shape, h->shape, sizeof g->shape) == 0 &&
                 a->contrast == b->contrast;
    for (int i = 0; i < 3; i++) alike &= fabs(g->origin[i] - h->origin[i]) < 1e-3;
    for (int i = 0; i < 3; i++) alike &= fabs(g->spacing[i] - h->spacing[i]) < 1e-4;
    for (int i = 0; i < 9; i++) alike &= fabs(g->direction[i] - h->direction[i]) < 1e-4;
    return alike;
}

/* Whether two series have the same HU: *same, on every rank. Collective. */
static status compare_series(const comm *c, const series *a, const series *b, bool *same) {
    status st;
    const int64_t n = a->source.shape[0], middle = n / 2;
    const dicom_header **slices = NULL;
    uint64_t *content = NULL;
    *same = false;
    st = array_alloc(&slices, 2 * n, sizeof *slices, "slices");
    if (st == ST_OK) st = array_alloc(&content, 2 * n, sizeof *content, "slices");
    TRY(comm_agree(c, st));
    slices[0] = &a->slices[middle];
    slices[1] = &b->slices[middle];
    TRY(hash_slices(c, slices, 2, content, NULL));
    if (content[0] == 0 || content[0] != content[1]) goto done;
    for (int64_t z = 0; z < n; z++) {
        slices[z] = &a->slices[z];
        slices[n + z] = &b->slices[z];
    }
    TRY(hash_slices(c, slices, 2 * n, content, NULL));
    *same = true;
    for (int64_t z = 0; z < n; z++) *same &= content[z] != 0 && content[z] == content[n + z];
done:
    free(slices);
    free(content);
    return st;
}

/* Gives the segmentations of a copy to the series that stays, and records the copy. Local. */
static status merge_copy(series_list *list, series *stays, const series *copy) {
    const int64_t count = stays->segmentation_count + copy->segmentation_count;
    int64_t bytes = 0;
    if (copy->segmentation_count > 0) {
        void *grown = NULL;
        if (size_mul(count, PATH_SIZE, &bytes))
            grown = realloc(stays->segmentations, (size_t)bytes);
        if (!grown) return status_memory("segmentations", bytes);
        stays->segmentations = grown;
        memcpy(stays->segmentations[stays->segmentation_count], copy->segmentations,
               (size_t)copy->segmentation_count * PATH_SIZE);
        stays->segmentation_count = count;
    }
    stays->faulty_labels |= copy->faulty_labels;
    return fault_add(&list->faults,
                     &(fault){.scope = FAULT_SERIES,
                              .files = copy->source.shape[0],
                              .text = {[FAULT_PATH] = copy->slices[0].path,
                                       [FAULT_UID] = copy->series_uid,
                                       [FAULT_TAG] = "SeriesInstanceUID (0020,000e)",
                                       [FAULT_REASON] = "a copy of another series of the patient, "
                                                        "with the same pixels: taken once",
                                       [FAULT_ADVICE] = "nothing, or remove the copy"}});
}

status content_drop_copies(const comm *c, series_list *list) {
    status st = ST_OK;
    int64_t kept = 0;
    for (int64_t i = 0; i < list->count; i++) {
        series *one = &list->items[i];
        series *original = NULL;
        for (int64_t k = kept - 1; k >= 0 && st == ST_OK; k--) {
            bool same = false;
            if (!same_patient(&list->items[k], one)) break;
            if (look_alike(&list->items[k], one))
                st = compare_series(c, &list->items[k], one, &same);
            if (same) original = &list->items[k];
        }
        if (st == ST_OK && original) st = comm_agree(c, merge_copy(list, original, one));
        if (st == ST_OK && original)
            build_free(one);
        else
            list->items[kept++] = *one;
    }
    list->count = kept;
    return st;
}
