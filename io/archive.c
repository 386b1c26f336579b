/* Rank 0 lists the files; rank r reads the headers of files r, r + ranks, ...; then every rank gets
 * all headers and all faults in an order that does not depend on the number of ranks. */
#include "io/archive.h"

#include "io/activity.h"
#include "io/decoder.h"
#include "io/real_path.h"
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

static status add_unreadable(fault_list *faults, const char *path, const char *what, int why) {
    char reason[160];
    snprintf(reason, sizeof reason, "%s: %s", what, strerror(why));
    return fault_add(faults, &(fault){.scope = FAULT_FILE,
                                      .files = 1,
                                      .text = {[FAULT_PATH] = path,
                                               [FAULT_REASON] = reason,
                                               [FAULT_ADVICE] = "make it readable, or remove it"}});
}

/* Whether a link leads to something below `root`, a real path; not if its target's path is too
 * long. Local. */
static bool stays_inside(const char *link, const char *root) {
    char target[PATH_SIZE];
    return real_path(link, target) == ST_OK && real_path_is_in(target, root);
}

/* Appends the files below `directory`. root: the real path of the archive; top: `directory` is the
 * archive itself, and that it cannot be listed is no mere fault. */
static status walk(const char *directory, const char *root, bool top, path_list *list,
                   fault_list *faults) {
    status st = ST_OK;
    char path[PATH_SIZE];
    struct dirent **entries = NULL;
    int n = scandir(directory, &entries, is_visible, by_name);
    if (n < 0 && !top) return add_unreadable(faults, directory, "cannot list the folder", errno);
    if (n < 0)
        return status_fail(ST_INPUT, "%s: cannot list the folder: %s", directory, strerror(errno));
    for (int i = 0; i < n; i++) {
        struct stat itself, target;
        if (path_join(path, directory, entries[i]->d_name) != ST_OK) {
            TRY(add_unreadable(faults, directory, "a file in it", ENAMETOOLONG));
            continue;
        }
        if (lstat(path, &itself) != 0 || stat(path, &target) != 0) {
            TRY(add_unreadable(faults, path, "cannot read", errno));
            continue;
        }
        const bool inside = !S_ISLNK(itself.st_mode) || stays_inside(path, root);
        if (!inside)
            TRY(fault_add(faults, &(fault){.scope = FAULT_FILE,
                                           .files = 1,
                                           .text = {[FAULT_PATH] = path,
                                                    [FAULT_REASON] = "a link that leads out of the "
                                                                     "archive: not followed",
                                                    [FAULT_ADVICE] = "copy what it leads to"}}));
        if (S_ISDIR(itself.st_mode)) TRY(walk(path, root, false, list, faults));
        if (S_ISREG(target.st_mode) && inside) TRY(path_list_add(list, path));
    }
done:
    for (int i = 0; i < n; i++) free(entries[i]);
    free(entries);
    return st;
}

/* The files of the folder as rank 0 sees them, on every rank. Collective. */
static status list_files(const comm *c, const char *directory, path_list *list,
                         fault_list *faults) {
    status st = ST_OK;
    int64_t bytes = 0;
    char root[PATH_SIZE];
    if (comm_rank(c) == 0) {
        st = real_path(directory, root);
        if (st == ST_OK) st = walk(directory, root, true, list, faults);
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

/* Makes a record of a file whose header was refused, for the reason in status_message(). Local. */
static status add_refused(const char *path, dicom_kind masks, fault_list *faults,
                          int64_t *not_dicom) {
    char message[1024];
    dicom_header h;
    dicom_remains left;
    snprintf(message, sizeof message, "%s", status_message());
    fault f = {.scope = FAULT_FILE, .files = 1, .text = {[FAULT_PATH] = path}};
    status st = decoder_salvage(path, &h, &left);
    if (st == ST_INPUT) { /* not even that */
        f.text[FAULT_ADVICE] = "remove this file";
        return fault_add_message(faults, &f);
    }
    if (st != ST_OK) return st;
    if (!left.is_dicom) {
        ++*not_dicom;
        f.text[FAULT_REASON] = "not a DICOM file";
        f.text[FAULT_ADVICE] = "nothing, unless it should be a slice";
        return fault_add(faults, &f);
    }
    const bool is_slice =
        h.picture == PICTURE_SLICE && (left.torn || (left.has_pixels && left.has_place));
    f.text[FAULT_UID] = h.series_uid;
    f.text[FAULT_ADVICE] = "export the file again";
    if (h.kind == DICOM_CT && is_slice && h.series_uid[0]) {
        f.scope = FAULT_SERIES;
        f.text[FAULT_ADVICE] = "export the series again, or correct this file";
    } else if (h.kind == masks) {
        f.scope = FAULT_SEG;
        f.text[FAULT_UID] = h.referenced_series_uid;
        f.text[FAULT_ADVICE] = "correct the segmentation";
    } else if (h.kind == DICOM_CT && !is_slice) {
        f.text[FAULT_ADVICE] = "nothing: it is no slice";
    }
    status_fail(ST_INPUT, "%s", message);
    return fault_add_message(faults, &f);
}

/* The axis that a direction is nearest to, with its sign: 1, 2, 3 or -1, -2, -3. */
static int axis_of(const double direction[3]) {
    int axis = 0;
    for (int k = 1; k < 3; k++)
        if (fabs(direction[k]) > fabs(direction[axis])) axis = k;
    return direction[axis] < 0 ? -1 - axis : 1 + axis;
}

/* A Series Instance UID for a header that has none. Local. */
static status name_series(const char *directory, dicom_header *h) {
    char seed[PATH_SIZE + 3 * DICOM_UID + 128], hash[SHA256_HEX];
    const size_t root = strlen(directory);
    const char *inside = strncmp(h->path, directory, root) == 0 ? h->path + root : h->path;
    inside += strspn(inside, "/");
    const char *slash = strrchr(inside, '/');
    const bool numbered = h->series_number >= 0;
    if (h->series_uid[0] || h->kind == DICOM_NIFTI || h->kind == DICOM_OTHER) return ST_OK;
    snprintf(seed, sizeof seed, "%.*s\n%s\n%s\n%s %" PRId64 "\n%" PRId64 " %" PRId64 "\n%d %d",
             slash ? (int)(slash - inside) : 0, inside, h->study_uid, h->frame_of_reference_uid,
             numbered ? "series" : "acquisition",
             numbered ? h->series_number : h->acquisition_number, h->rows, h->columns,
             axis_of(h->orientation), axis_of(h->orientation + 3));
    status st = bytes_sha256(seed, (int64_t)strlen(seed), hash);
    if (st == ST_OK) snprintf(h->series_uid, sizeof h->series_uid, "folder-%.32s", hash);
    return st;
}

static status read_headers(const char *path, dicom_header **out, int64_t *count) {
    if (!nifti_is_name(path)) return decoder_read_headers(path, out, count);
    status st = array_alloc(out, 1, sizeof **out, "a header");
    if (st != ST_OK) return st;
    **out = (dicom_header){.kind = DICOM_NIFTI, .frames = 1};
    *count = 1;
    return path_join((*out)->path, "", path);
}

/* Appends the headers of a file: one for each frame of Enhanced CT, one for any other. Local. */
static status append_headers(const char *directory, const char *path, archive *to,
                             int64_t *capacity) {
    status st;
    int64_t frames = 0, bytes = 0;
    dicom_header *all = NULL;
    TRY(read_headers(path, &all, &frames));
    if (to->count + frames > *capacity) {
        void *grown = NULL;
        *capacity = 2 * *capacity + frames + 64;
        if (size_mul(*capacity, sizeof *all, &bytes)) grown = realloc(to->headers, (size_t)bytes);
        if (!grown) TRY(status_memory("DICOM headers", bytes));
        to->headers = grown;
    }
    memcpy(to->headers + to->count, all, (size_t)frames * sizeof *all);
    for (int64_t k = 0; k < frames; k++) TRY(name_series(directory, &to->headers[to->count + k]));
    to->count += frames;
done:
    free(all);
    return st;
}

/* Reads this rank's headers to `mine`. Local. */
static status read_own(const comm *c, const char *directory, const path_list *files,
                       dicom_kind masks, archive *mine, fault_list *faults) {
    int64_t capacity = 0;
    for (int64_t i = comm_rank(c); i < files->count; i += comm_size(c)) {
        status st = append_headers(directory, files->at[i], mine, &capacity);
        if (st == ST_INPUT) st = add_refused(files->at[i], masks, faults, &mine->not_dicom);
        if (st != ST_OK) return st;
        activity_progress();
    }
    return ST_OK;
}

static int by_path(const void *left, const void *right) { return dicom_by_path(left, right); }

static int by_note(const void *left, const void *right) {
    const dicom_header *a = *(const dicom_header *const *)left,
                       *b = *(const dicom_header *const *)right;
    int order = strcmp(a->series_uid, b->series_uid);
    if (order == 0) order = strcmp(a->note, b->note);
    return order ? order : by_path(a, b);
}

static bool same_note(const dicom_header *a, const dicom_header *b) {
    return strcmp(a->series_uid, b->series_uid) == 0 && strcmp(a->note, b->note) == 0;
}

/* One record for what was read otherwise than it is written, for each series and kind; and one for
 * those that are no slices though they are stored as CT. Local. */
static status add_notes(const archive *a, fault_list *faults) {
    status st;
    const dicom_header **noted = NULL;
    int64_t n = 0;
    TRY(array_alloc(&noted, a->count, sizeof *noted, "headers"));
    for (int64_t i = 0; i < a->count; i++)
        if (a->headers[i].note[0] && (a->headers[i].kind != DICOM_OTHER || a->headers[i].ct_class))
            noted[n++] = &a->headers[i];
    if (n > 1) qsort(noted, (size_t)n, sizeof *noted, by_note);
    for (int64_t i = 0, next; i < n; i = next) {
        const dicom_header *h = noted[i];
        const bool other = h->kind == DICOM_OTHER;
        for (next = i + 1; next < n && same_note(h, noted[next]);) next++;
        TRY(fault_add(faults,
                      &(fault){.scope = other ? FAULT_FILE : FAULT_NOTE,
                               .ordinary = other,
                               .files = other ? next - i : 0,
                               .text = {[FAULT_PATH] = h->path,
                                        [FAULT_UID] = h->series_uid,
                                        [FAULT_REASON] = h->note,
                                        [FAULT_ADVICE] = other ? "nothing: it is no slice in "
                                                                 "HU"
                                                               : ""}}));
    }
done:
    free(noted);
    return st;
}

status archive_scan(const comm *c, const char *directory, dicom_kind masks, archive *out,
                    fault_list *faults) {
    status st;
    path_list files = {0};
    archive mine = {0};
    const int64_t size = (int64_t)sizeof *mine.headers;
    int64_t bytes = 0;
    *out = (archive){0};
    TRY(list_files(c, directory, &files, faults));
    TRY(comm_agree(c, read_own(c, directory, &files, masks, &mine, faults)));
    TRY(comm_all_gather(c, mine.headers, mine.count * size, (void **)&out->headers, &bytes, NULL));
    TRY(faults_gather(c, faults));
    out->count = bytes / size;
    out->files = files.count;
    out->not_dicom = mine.not_dicom;
    TRY(comm_sum_i64(c, &out->not_dicom, 1));
    if (out->count > 1) qsort(out->headers, (size_t)out->count, sizeof *out->headers, by_path);
    TRY(comm_agree(c, add_notes(out, faults)));
done:
    if (st != ST_OK) archive_free(out);
    archive_free(&mine);
    free(files.at);
    return st;
}

void archive_free(archive *a) {
    free(a->headers);
    *a = (archive){0};
}
