/* Building series in three steps: rank 0 lists the files, each rank reads a share of the headers,
 * and every rank builds the same series from all headers, independent of the number of ranks.
 *
 * File names and Instance Numbers define no order in DICOM. The order of slices is that of their
 * positions, projected onto the normal of the image plane.
 */
#include "io/series.h"

#include "io/activity.h"
#include "io/label_file.h"
#include "io/nifti_read.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Growing list of path names. */
typedef struct path_list {
    char (*at)[PATH_SIZE];
    int64_t count, capacity;
} path_list;

/* ---- the folder ---- */

static status path_list_add(path_list *list, const char *path) {
    if (list->count == list->capacity) {
        int64_t capacity = list->capacity ? 2 * list->capacity : 256, bytes = 0;
        void *grown = NULL;
        if (size_mul(capacity, PATH_SIZE, &bytes)) grown = realloc(list->at, (size_t)bytes);
        if (!grown) return status_memory("the list of files", bytes);
        list->at = grown;
        list->capacity = capacity;
    }
    return path_join(list->at[list->count++], "", path);
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name); /* unlike alphasort() independent of the locale */
}

static int is_visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* Appends the files below `directory`. */
static status walk(const char *directory, path_list *list) {
    status st = ST_OK;
    char path[PATH_SIZE];
    struct dirent **entries = NULL;
    int n = scandir(directory, &entries, is_visible, by_name);
    if (n < 0)
        return status_fail(ST_INPUT, "%s: cannot list the folder: %s", directory, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct stat itself, target;
        TRY(path_join(path, directory, entries[i]->d_name));
        if (lstat(path, &itself) != 0 || stat(path, &target) != 0)
            TRY(status_fail(ST_INPUT, "%s: cannot read: %s", path, strerror(errno)));
        if (S_ISDIR(itself.st_mode)) TRY(walk(path, list));
        if (S_ISREG(target.st_mode)) TRY(path_list_add(list, path));
    }
done:
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return st;
}

/* The files of the folder as rank 0 sees them, on every rank. Collective. */
static status list_files(const comm *c, const char *directory, path_list *list) {
    status st = ST_OK;
    int64_t bytes = 0;
    if (comm_rank(c) == 0) {
        st = walk(directory, list);
        if (st == ST_OK && list->count == 0)
            st = status_fail(ST_INPUT, "%s: the folder holds no files", directory);
        bytes = list->count * PATH_SIZE;
    }
    TRY(comm_agree(c, st));
    TRY(comm_broadcast_block(c, (void **)&list->at, &bytes, 0));
    list->count = bytes / PATH_SIZE;
done:
    return st;
}

/* ---- headers ---- */

static status read_header(const char *path, dicom_header *out) {
    if (!nifti_is_name(path)) return dicom_read_header(path, out);
    *out = (dicom_header){.kind = DICOM_NIFTI};
    return path_join(out->path, "", path);
}

/* Headers of all files, in the order of `files`, on every rank; the caller frees *out. Collective.
 */
static status read_headers(const comm *c, const path_list *files, dicom_header **out) {
    status st;
    int64_t rank = comm_rank(c), ranks = comm_size(c), mine_count = 0, bytes = 0, total = 0;
    dicom_header *mine = NULL, *gathered = NULL, *next;
    *out = NULL;
    st = array_alloc(&mine, (files->count + ranks - 1 - rank) / ranks, sizeof *mine,
                     "DICOM headers");
    if (st == ST_OK) st = array_alloc(out, files->count, sizeof **out, "DICOM headers");
    for (int64_t i = rank; i < files->count && st == ST_OK; i += ranks) {
        st = read_header(files->at[i], &mine[mine_count++]);
        activity_progress();
    }
    TRY(comm_agree(c, st));

    bytes = mine_count * (int64_t)sizeof *mine;
    TRY(comm_all_gather(c, mine, bytes, (void **)&gathered, &total, NULL));
    if (total != files->count * (int64_t)sizeof *mine)
        TRY(status_fail(ST_INTERNAL, "the ranks read a different number of headers than files"));
    next = gathered; /* rank r read files r, r + ranks, ... */
    for (int64_t r = 0; r < ranks; r++)
        for (int64_t i = r; i < files->count; i += ranks) (*out)[i] = *next++;
done:
    free(mine);
    free(gathered);
    return st;
}

static double dot(const double *a, const double *b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Row direction x column direction. */
static void normal_of(const dicom_header *h, double normal[3]) {
    const double *r = h->orientation, *c = h->orientation + 3;
    normal[0] = r[1] * c[2] - r[2] * c[1];
    normal[1] = r[2] * c[0] - r[0] * c[2];
    normal[2] = r[0] * c[1] - r[1] * c[0];
}

/* Position along the normal, mm. */
static double height_of(const dicom_header *h) {
    double normal[3];
    normal_of(h, normal);
    return dot(h->position, normal);
}

/* CT first, by series and height; then the rest by path. */
static int by_place(const void *left, const void *right) {
    const dicom_header *a = left, *b = right;
    int order = (a->kind != DICOM_CT) - (b->kind != DICOM_CT);
    if (order == 0 && a->kind == DICOM_CT) {
        order = strcmp(a->series_uid, b->series_uid);
        if (order == 0) order = (height_of(a) > height_of(b)) - (height_of(a) < height_of(b));
    }
    return order ? order : strcmp(a->path, b->path);
}

/* ---- one series ---- */

static status check_alike(const dicom_header *first, const dicom_header *h) {
    const char *what = NULL;
    if (h->rows != first->rows || h->columns != first->columns) what = "number of rows or columns";
    for (int i = 0; i < 6; i++)
        if (fabs(h->orientation[i] - first->orientation[i]) > 1e-4) what = "orientation";
    for (int i = 0; i < 2; i++)
        if (fabs(h->pixel_spacing[i] - first->pixel_spacing[i]) > 1e-4 * first->pixel_spacing[i])
            what = "pixel spacing";
    if (strcmp(h->patient_id, first->patient_id) != 0) what = "patient ID";
    if (!what) return ST_OK;
    return status_fail(ST_INPUT, "%s: its %s differs from that of %s, which is of the same series",
                       h->path, what, first->path);
}

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Every distance between neighbours must be within 1 % of the median, which a missing slice does
 * not change, plus 0.01 mm for positions that were rounded when written. *spacing is the mean. */
static status check_even(const dicom_header *slices, int64_t n, double *spacing) {
    status st;
    double *gaps = NULL, *sorted = NULL, median;
    TRY(array_alloc(&gaps, n - 1, sizeof *gaps, "slice distances"));
    TRY(array_alloc(&sorted, n - 1, sizeof *sorted, "slice distances"));
    for (int64_t i = 0; i < n - 1; i++) {
        gaps[i] = sorted[i] = height_of(&slices[i + 1]) - height_of(&slices[i]);
        if (!(gaps[i] > 1e-3))
            TRY(status_fail(ST_INPUT,
                            "%s: lies at the same position as %s, which is of the same series",
                            slices[i + 1].path, slices[i].path));
    }
    qsort(sorted, (size_t)(n - 1), sizeof *sorted, by_value);
    median = sorted[(n - 2) / 2]; /* of two the smaller: the larger may span a missing slice */
    for (int64_t i = 0; i < n - 1; i++)
        if (fabs(gaps[i] - median) > 0.01 * median + 0.01)
            TRY(status_fail(ST_INPUT,
                            "%s: %g mm to the slice before, %s, where the series has %g mm: a "
                            "slice is missing or the spacing is uneven",
                            slices[i + 1].path, gaps[i], slices[i].path, median));
    *spacing = (height_of(&slices[n - 1]) - height_of(&slices[0])) / (double)(n - 1);
done:
    free(gaps);
    free(sorted);
    return st;
}

/* A tilted gantry shears the stack, but the axes of a volume are orthogonal. */
static status check_upright(const dicom_header *slices, int64_t n) {
    const dicom_header *first = &slices[0], *last = &slices[n - 1];
    double step[3];
    for (int i = 0; i < 3; i++) step[i] = last->position[i] - first->position[i];
    double drift_x = dot(step, first->orientation), drift_y = dot(step, first->orientation + 3);
    if (fabs(drift_x) <= first->pixel_spacing[1] && fabs(drift_y) <= first->pixel_spacing[0])
        return ST_OK;
    return status_fail(ST_INPUT,
                       "%s: from the first to the last slice of the series the image plane shifts "
                       "by %g and %g mm (a tilted gantry?): resample the series upright",
                       last->path, drift_x, drift_y);
}

static void fill_geometry(const dicom_header *first, int64_t n, double spacing, geometry *space) {
    space->shape[0] = n;
    space->shape[1] = first->rows;
    space->shape[2] = first->columns;
    space->spacing[0] = spacing;
    space->spacing[1] = first->pixel_spacing[0];
    space->spacing[2] = first->pixel_spacing[1];
    memcpy(space->origin, first->position, sizeof space->origin);
    normal_of(first, space->direction);
    memcpy(space->direction + 3, first->orientation + 3, 3 * sizeof(double));
    memcpy(space->direction + 6, first->orientation, 3 * sizeof(double));
}

/* A patient ID may be empty (type 2): the study UID then replaces it. */
static status make_pseudonym(const dicom_header *first, char out[VOLUME_ID]) {
    status st;
    char patient[SHA256_HEX], series[SHA256_HEX];
    const char *id = first->patient_id[0] ? first->patient_id : first->study_uid;
    TRY(bytes_sha256(id, (int64_t)strlen(id), patient));
    TRY(bytes_sha256(first->series_uid, (int64_t)strlen(first->series_uid), series));
    snprintf(out, VOLUME_ID, "p-%.16s-%.8s", patient, series);
done:
    return st;
}

/* What n compressed slices may decode to: 200 times their bytes, and always 1 GiB. The pixels of
 * uncompressed slices are all there. */
static status check_payload(const dicom_header *slices, int64_t n, const geometry *space) {
    enum { RATIO_MAX = 200, FREE = 1 << 30, VOXEL = sizeof(int16_t) + sizeof(uint8_t) };
    int64_t payload = 0, allowed = 0, voxels = 0;
    bool compressed = false;
    for (int64_t i = 0; i < n; i++) {
        compressed |= slices[i].compressed;
        if (!size_add(payload, slices[i].file_bytes, &payload)) payload = INT64_MAX;
    }
    status st = geometry_voxels(space, &voxels); /* at most 2^40 */
    if (st != ST_OK) return status_fail(st, "%s: %s", slices[0].path, status_message());
    if (!size_mul(payload, RATIO_MAX, &allowed)) allowed = INT64_MAX;
    if (allowed < FREE) allowed = FREE;
    if (!compressed || voxels * VOXEL <= allowed) return ST_OK;
    return status_fail(
        ST_INPUT,
        "%s: its series claims %" PRId64 " x %" PRId64 " x %" PRId64 " voxels, %" PRId64
        " bytes, but its compressed files have only %" PRId64 " bytes: refused",
        slices[0].path, space->shape[0], space->shape[1], space->shape[2], voxels * VOXEL, payload);
}

/* One series from its n headers, which are sorted by_place(). */
static status build_series(const dicom_header *slices, int64_t n, series *out) {
    status st;
    double spacing = 0;
    for (int64_t i = 1; i < n; i++) TRY(check_alike(&slices[0], &slices[i]));
    TRY(check_even(slices, n, &spacing));
    TRY(check_upright(slices, n));
    memcpy(out->series_uid, slices[0].series_uid, sizeof out->series_uid);
    fill_geometry(&slices[0], n, spacing, &out->space);
    TRY(check_payload(slices, n, &out->space));
    for (int64_t i = 0; i < n; i++) out->contrast |= slices[i].contrast;
    TRY(make_pseudonym(&slices[0], out->pseudonym));
    TRY(array_alloc(&out->slices, n, sizeof *out->slices, "the slices of a series"));
    memcpy(out->slices, slices, (size_t)n * sizeof *slices);
done:
    return st;
}

/* ---- all series ---- */

static int by_pseudonym(const void *left, const void *right) {
    const series *a = left, *b = right;
    return strcmp(a->pseudonym, b->pseudonym);
}

/* Compares pseudonyms without the part of the series. */
static bool same_patient(const series *a, const series *b) {
    size_t length = (size_t)(strrchr(a->pseudonym, '-') - a->pseudonym);
    return strncmp(a->pseudonym, b->pseudonym, length + 1) == 0;
}

/* Notes a segmentation without a series at every series of its patient. */
static status add_unmatched(series_list *list, const dicom_header *seg) {
    for (int64_t i = 0; i < list->count; i++) {
        series *s = &list->items[i];
        if (s->unmatched_segmentation || strcmp(s->slices[0].patient_id, seg->patient_id) != 0)
            continue;
        if (!seg->patient_id[0] && strcmp(s->slices[0].study_uid, seg->study_uid) != 0) continue;
        s->unmatched_segmentation = strdup(seg->path);
        if (!s->unmatched_segmentation) return status_memory("segmentations", PATH_SIZE);
    }
    return ST_OK;
}

/* Assigns a segmentation to its series. */
static status add_segmentation(series_list *list, const dicom_header *seg, int64_t *left_out) {
    series *s = series_match(list, seg);
    if (!s) {
        ++*left_out;
        return seg->kind == DICOM_NIFTI ? ST_OK : add_unmatched(list, seg);
    }
    void *grown = realloc(s->segmentations, (size_t)(s->segmentation_count + 1) * PATH_SIZE);
    if (!grown) return status_memory("segmentations", PATH_SIZE);
    s->segmentations = grown;
    memcpy(s->segmentations[s->segmentation_count++], seg->path, PATH_SIZE);
    const char *frame = s->slices[0].frame_uid;
    if (seg->kind == DICOM_RTSTRUCT && seg->frame_uid[0] && frame[0] &&
        strcmp(seg->frame_uid, frame) != 0 && list->other_frame_count++ == 0)
        memcpy(list->other_frame, seg->path, PATH_SIZE);
    return ST_OK;
}

/* Builds all series from headers sorted by_place(). */
static status group(const char *directory, const dicom_header *headers, int64_t n, series_list *out,
                    int64_t *left_out) {
    status st = ST_OK;
    int64_t slices = 0;
    while (slices < n && headers[slices].kind == DICOM_CT) slices++;
    if (slices == 0)
        TRY(status_fail(ST_INPUT, "%s: none of its %" PRId64 " DICOM files is a CT slice",
                        directory, n));
    TRY(array_alloc(&out->items, slices, sizeof *out->items, "the list of series"));
    for (int64_t first = 0, next; first < slices; first = next) {
        next = first + 1;
        while (next < slices && strcmp(headers[next].series_uid, headers[first].series_uid) == 0)
            next++;
        if (next - first == 1) {
            if (out->single_count++ == 0)
                memcpy(out->single, headers[first].path, sizeof out->single);
            continue;
        }
        TRY(build_series(&headers[first], next - first, &out->items[out->count++]));
    }
    if (out->count == 0)
        TRY(status_fail(ST_INPUT,
                        "%s: the only slice of its series; a volume needs 2 or more, and no series "
                        "in %s has them",
                        out->single, directory));
    qsort(out->items, (size_t)out->count, sizeof *out->items, by_pseudonym);
    for (int64_t i = 1; i < out->count; i++)
        if (by_pseudonym(&out->items[i - 1], &out->items[i]) == 0)
            TRY(status_fail(ST_INPUT, "%s and %s: two series get the same pseudonym, %s",
                            out->items[i - 1].slices[0].path, out->items[i].slices[0].path,
                            out->items[i].pseudonym));
    for (int64_t i = slices; i < n; i++)
        if (headers[i].kind == out->masks)
            TRY(add_segmentation(out, &headers[i], left_out));
        else
            ++*left_out;
done:
    return st;
}

status series_scan(const comm *c, const char *directory, dicom_kind masks, series_list *out,
                   int64_t *left_out) {
    status st;
    path_list files = {0};
    dicom_header *headers = NULL;
    *out = (series_list){.masks = masks};
    *left_out = 0;
    TRY(list_files(c, directory, &files));
    TRY(read_headers(c, &files, &headers));
    qsort(headers, (size_t)files.count, sizeof *headers, by_place);
    st = group(directory, headers, files.count, out, left_out);
    TRY(comm_agree(c, st)); /* ranks may differ only in lack of memory */
done:
    if (st != ST_OK) series_list_free(out);
    free(files.at);
    free(headers);
    return st;
}

static void series_free(series *s) {
    free(s->slices);
    free(s->segmentations);
    free(s->unmatched_segmentation);
}

/* A patient whose SEG files all refer to missing series indicates a damaged archive rather than a
 * series that nobody segmented. */
static status check_unmatched(const series_list *list, const series *s) {
    if (!s->unmatched_segmentation) return ST_OK;
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i].segmentation_count > 0 && same_patient(s, &list->items[i])) return ST_OK;
    return status_fail(
        ST_INPUT, "%s: refers to a series that is not there; the patient's CT is series %s, %s",
        s->unmatched_segmentation, s->series_uid, s->slices[0].path);
}

status series_find_unsegmented(const series_list *list, int64_t *count, char path[PATH_SIZE]) {
    status st = ST_OK;
    *count = 0;
    for (int64_t i = 0; i < list->count; i++) {
        if (list->items[i].segmentation_count > 0) continue;
        TRY(check_unmatched(list, &list->items[i]));
        if ((*count)++ == 0) memcpy(path, list->items[i].slices[0].path, PATH_SIZE);
    }
    if (*count == list->count)
        TRY(status_fail(ST_INPUT,
                        "%s: no %s refers to series %s, nor to any other here; add some, or "
                        "set ingest.labels to thresholds",
                        path, label_file_word(list->masks), list->items[0].series_uid));
done:
    return st;
}

status series_keep_segmented(series_list *list, int64_t *count, char path[PATH_SIZE]) {
    int64_t kept = 0;
    status st = series_find_unsegmented(list, count, path);
    if (st != ST_OK) return st;
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i].segmentation_count > 0)
            list->items[kept++] = list->items[i];
        else
            series_free(&list->items[i]);
    list->count = kept;
    return ST_OK;
}

void series_list_free(series_list *list) {
    for (int64_t i = 0; i < list->count; i++) series_free(&list->items[i]);
    free(list->items);
    *list = (series_list){0};
}

status series_read(const series *s, volume *out) {
    status st;
    int64_t pixels = s->space.shape[1] * s->space.shape[2];
    *out = (volume){.space = s->space, .contrast = s->contrast};
    memcpy(out->id, s->pseudonym, sizeof out->id);
    TRY(volume_alloc(out));
    for (int64_t z = 0; z < s->space.shape[0]; z++) {
        TRY(dicom_read_ct(&s->slices[z], out->hu + z * pixels));
        activity_progress();
    }
done:
    if (st != ST_OK) volume_free(out);
    return st;
}
