/* Writing and reading checkpoints. A directory is filled under a temporary name and then renamed,
 * so that a checkpoint is complete or absent.
 *
 * state.h5: one contiguous f32 dataset for each array, with its name as path; scalars as f64
 * attributes of the root group. The hash of state.h5 in the manifest is compared before anything is
 * read. Older checkpoints are removed only after the new one is published.
 */
#include "io/checkpoint.h"
#include "io/alloc.h"
#include "io/store_hdf5.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STATE "state.h5"
#define KIND "checkpoint"
#define DAMAGED ".damaged-"

enum { STEP_NAME = 64, RANK_MAX = 4 };

/* "step-00001200". */
static void step_name(int64_t step, char out[STEP_NAME]) {
    snprintf(out, STEP_NAME, "step-%08" PRId64, step);
}

static status step_path(char out[PATH_SIZE], const char *directory, int64_t step) {
    char name[STEP_NAME];
    step_name(step, name);
    return path_join(out, directory, name);
}

/* Names are relative paths of printable ASCII with no empty, "." or ".." part. */
static bool name_is_good(const char *name) {
    size_t length = strnlen(name, CHECKPOINT_NAME);
    if (length == 0 || length == CHECKPOINT_NAME) return false;
    for (const char *part = name;; part++) {
        size_t n = strcspn(part, "/");
        if (n == 0 || strncmp(part, "..", n) == 0) return false; /* also "." */
        for (const char *end = part + n; part < end; part++)
            if (*part <= ' ' || *part > '~') return false;
        if (!*part) return true;
    }
}

static status check_array(const checkpoint_array *a, const char *path) {
    bool good = name_is_good(a->name) && a->rank >= 0 && a->rank <= RANK_MAX;
    for (int k = 0; good && k < a->rank; k++) good = a->shape[k] >= 1;
    if (good) return ST_OK;
    return status_fail(ST_INTERNAL, "%s: array \"%.127s\" has no usable name or shape", path,
                       a->name);
}

static void shape_of(const checkpoint_array *a, hsize_t shape[RANK_MAX]) {
    for (int k = 0; k < a->rank; k++) shape[k] = (hsize_t)a->shape[k];
}

/* ---- writing ---- */

/* Creates the parent groups of `name`; those that HDF5 creates by itself would carry times. */
static status make_groups(hid_t file, const char *name, const char *path) {
    status st = ST_OK;
    char part[CHECKPOINT_NAME];
    snprintf(part, sizeof part, "%s", name);
    for (char *slash = strchr(part, '/'); slash; slash = strchr(slash + 1, '/')) {
        hid_t group = -1;
        *slash = 0;
        htri_t there = H5Lexists(file, part, H5P_DEFAULT);
        TRY(hdf5_check(there, ST_STORAGE, path, "look for a group"));
        if (!there) {
            TRY(hdf5_make_group(file, part, path, &group));
            TRY(hdf5_check(H5Gclose(group), ST_STORAGE, path, "write"));
        }
        *slash = '/';
    }
done:
    return st;
}

static status write_array(hid_t file, const checkpoint_array *a, const char *path) {
    status st;
    hsize_t shape[RANK_MAX];
    TRY(check_array(a, path));
    TRY(make_groups(file, a->name, path));
    shape_of(a, shape);
    TRY(hdf5_write_dataset(file, a->name, H5T_IEEE_F32LE, H5T_NATIVE_FLOAT, a->rank, shape, NULL,
                           a->at, path));
done:
    return st;
}

static status write_state(const char *path, const checkpoint_array *arrays, int64_t n_arrays,
                          const checkpoint_scalar *scalars, int64_t n_scalars) {
    status st;
    hid_t file = -1;
    hdf5_lock();
    TRY(hdf5_create(path, &file));
    for (int64_t i = 0; i < n_arrays; i++) TRY(write_array(file, &arrays[i], path));
    for (int64_t i = 0; i < n_scalars; i++) {
        if (!name_is_good(scalars[i].name))
            TRY(status_fail(ST_INTERNAL, "%s: scalar \"%.127s\" has no usable name", path,
                            scalars[i].name));
        TRY(hdf5_put_attribute(file, scalars[i].name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, 0, NULL,
                               &scalars[i].value, path));
    }
    TRY(hdf5_finish(&file, path));
done:
    hdf5_drop(&file);
    hdf5_unlock();
    return st;
}

/* Writes state.h5 and its manifest into `directory`, which still has a temporary name. */
static status fill(const char *directory, const char *fingerprint, int64_t step,
                   const checkpoint_array *arrays, int64_t n_arrays,
                   const checkpoint_scalar *scalars, int64_t n_scalars) {
    status st;
    char path[PATH_SIZE];
    manifest m = {.kind = KIND};
    snprintf(m.fingerprint, sizeof m.fingerprint, "%s", fingerprint);
    TRY(path_join(path, directory, STATE));
    TRY(write_state(path, arrays, n_arrays, scalars, n_scalars));
    TRY(manifest_add_file(&m, directory, STATE));
    m.detail = json_pack("{s:I}", "step", (json_int_t)step);
    if (!m.detail) TRY(status_memory("a manifest", 0));
    TRY(manifest_write(&m, directory));
done:
    manifest_free(&m);
    return st;
}

/* rename() does not replace a directory with content: an older checkpoint of the same step is first
 * renamed to a temporary name. */
static status publish(const char *directory, const char *temporary, int64_t step) {
    status st;
    char path[PATH_SIZE], name[STEP_NAME + 32], old[PATH_SIZE];
    TRY(step_path(path, directory, step));
    snprintf(name, sizeof name, "step-%08" PRId64 ".tmp.old.%ld", step, (long)getpid());
    TRY(path_join(old, directory, name));
    bool replaces = file_exists(path);
    if (replaces && rename(path, old) != 0)
        TRY(status_fail(ST_STORAGE, "%s: cannot move it away: %s", path, strerror(errno)));
    TRY(file_publish(temporary, path));
    if (replaces) TRY(file_remove_tree(old));
done:
    return st;
}

/* ---- listing ---- */

/* Descending. */
static int compare_steps(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

/* The step of a published name, -1 for any other name. */
static int64_t step_of(const char *name) {
    char expected[STEP_NAME];
    int64_t step = -1;
    if (sscanf(name, "step-%" SCNd64, &step) != 1 || step < 0) return -1;
    step_name(step, expected);
    return strcmp(expected, name) == 0 ? step : -1;
}

/* The steps of all directories with a published name, newest first; none if `directory` is missing.
 * The caller frees *steps. */
static status list_steps(const char *directory, int64_t **steps, int64_t *count) {
    status st = ST_OK;
    DIR *d = opendir(directory);
    struct dirent *entry;
    *steps = NULL;
    *count = 0;
    if (!d && errno == ENOENT) return ST_OK;
    if (!d) return status_fail(ST_STORAGE, "%s: cannot list: %s", directory, strerror(errno));
    while (errno = 0, (entry = readdir(d))) {
        int64_t step = step_of(entry->d_name);
        if (step < 0) continue;
        int64_t *more = realloc(*steps, (size_t)(*count + 1) * sizeof *more);
        if (!more) TRY(status_memory("a list of checkpoints", (*count + 1) * 8));
        *steps = more;
        more[(*count)++] = step;
    }
    if (errno != 0) TRY(status_fail(ST_STORAGE, "%s: cannot list: %s", directory, strerror(errno)));
    if (*count > 0) qsort(*steps, (size_t)*count, sizeof **steps, compare_steps);
done:
    closedir(d);
    return st;
}

/* Removes all but the newest `keep` steps. The step just written stays, even if a training that was
 * started again from 0 finds later steps of an older training. */
static status remove_old(const char *directory, int64_t written, int keep) {
    status st;
    char path[PATH_SIZE];
    int64_t *steps = NULL, count = 0;
    TRY(list_steps(directory, &steps, &count));
    for (int64_t i = keep > 1 ? keep : 1; i < count; i++) {
        if (steps[i] == written) continue;
        TRY(step_path(path, directory, steps[i]));
        TRY(file_remove_tree(path));
    }
done:
    free(steps);
    return st;
}

status checkpoint_write(const char *directory, int64_t step, const char *fingerprint,
                        const checkpoint_array *arrays, int64_t n_arrays,
                        const checkpoint_scalar *scalars, int64_t n_scalars, int keep) {
    status st;
    char name[STEP_NAME + 32], temporary[PATH_SIZE] = "";
    if (step < 0) TRY(status_fail(ST_INTERNAL, "%s: checkpoint of a negative step", directory));
    TRY(file_make_dirs(directory));
    TRY(file_remove_temporaries(directory));
    snprintf(name, sizeof name, "step-%08" PRId64 ".tmp.%ld", step, (long)getpid());
    TRY(path_join(temporary, directory, name));
    TRY(file_make_dirs(temporary));
    TRY(fill(temporary, fingerprint, step, arrays, n_arrays, scalars, n_scalars));
    TRY(publish(directory, temporary, step));
    TRY(remove_old(directory, step, keep));
done:
    if (st != ST_OK && temporary[0]) {
        char message[1024]; /* the first failure is reported, not that of the removal */
        snprintf(message, sizeof message, "%s", status_message());
        if (file_remove_tree(temporary) != ST_OK) status_fail(st, "%s", message);
    }
    return st;
}

/* ---- reading ---- */

/* Reads the manifest of a checkpoint, which must describe this step. */
static status read_manifest(const char *path, int64_t step, manifest *m) {
    status st;
    TRY(manifest_read(path, KIND, m));
    const json_t *kept = json_object_get(m->detail, "step");
    if (m->count != 1 || strcmp(m->files[0].name, STATE) != 0 || !json_is_integer(kept) ||
        json_integer_value(kept) != step)
        TRY(status_fail(ST_INTEGRITY, "%s: its manifest is that of another checkpoint", path));
done:
    return st;
}

/* Moves a damaged checkpoint to the first free name "step-N.damaged-K". */
static status set_aside(const char *directory, int64_t step, char moved[PATH_SIZE]) {
    status st;
    char path[PATH_SIZE], name[STEP_NAME], numbered[STEP_NAME + 32];
    step_name(step, name);
    TRY(step_path(path, directory, step));
    for (int k = 1;; k++) {
        snprintf(numbered, sizeof numbered, "%s" DAMAGED "%d", name, k);
        TRY(path_join(moved, directory, numbered));
        if (!file_exists(moved)) break;
    }
    if (rename(path, moved) != 0)
        TRY(status_fail(ST_STORAGE, "%s: cannot be moved to %s: %s", path, moved, strerror(errno)));
    TRY(file_sync(directory));
done:
    return st;
}

static status count_damaged(const char *directory, int64_t *count) {
    status st = ST_OK;
    struct dirent *entry;
    DIR *d = opendir(directory);
    *count = 0;
    if (!d && errno == ENOENT) return ST_OK;
    if (!d) return status_fail(ST_STORAGE, "%s: cannot list: %s", directory, strerror(errno));
    while (errno = 0, (entry = readdir(d)))
        *count += strncmp(entry->d_name, "step-", 5) == 0 && strstr(entry->d_name, DAMAGED);
    if (errno != 0) st = status_fail(ST_STORAGE, "%s: cannot list: %s", directory, strerror(errno));
    closedir(d);
    return st;
}

/* Whether a checkpoint is whole: ST_OK, and *ours and out->others are set; otherwise the reason. */
static status examine(const char *path, int64_t step, const char *fingerprint, bool *ours,
                      checkpoint_choice *out) {
    status st;
    manifest m = {0};
    TRY(read_manifest(path, step, &m));
    *ours = strcmp(m.fingerprint, fingerprint) == 0;
    if (*ours) TRY(manifest_check_file(&m, path, 0));
    out->others |= !*ours;
    if (*ours) snprintf(out->seal, sizeof out->seal, "%s", m.seal);
done:
    manifest_free(&m);
    return st;
}

status checkpoint_find(const char *directory, const char *fingerprint, checkpoint_report report,
                       void *context, checkpoint_choice *out) {
    status st;
    char path[PATH_SIZE], moved[PATH_SIZE], reason[512];
    int64_t *steps = NULL, count = 0;
    *out = (checkpoint_choice){.step = -1};
    TRY(list_steps(directory, &steps, &count));
    for (int64_t i = 0; i < count && out->step < 0; i++) {
        bool ours = false;
        TRY(step_path(path, directory, steps[i]));
        TRY(manifest_refuse_newer(path));
        if (examine(path, steps[i], fingerprint, &ours, out) == ST_OK) {
            if (ours) out->step = steps[i];
            continue;
        }
        snprintf(reason, sizeof reason, "%s", status_message());
        TRY(set_aside(directory, steps[i], moved));
        if (report) report(context, moved, reason);
    }
    TRY(count_damaged(directory, &out->damaged));
    if (out->step < 0 && !out->others && out->damaged > 0)
        st = status_fail(ST_INTEGRITY,
                         "%s: all %" PRId64 " checkpoints are damaged (step-*" DAMAGED
                         "*): bring back good ones, or remove the directory to train from step 0",
                         directory, out->damaged);
done:
    free(steps);
    return st;
}

status checkpoint_list(const char *directory, const char *fingerprint, checkpoint_kept **out,
                       int64_t *count) {
    status st;
    char path[PATH_SIZE];
    int64_t *steps = NULL, n = 0;
    *out = NULL;
    *count = 0;
    TRY(list_steps(directory, &steps, &n));
    TRY(array_alloc(out, n > 0 ? n : 1, sizeof **out, "a list of checkpoints"));
    for (int64_t i = 0; i < n; i++) {
        bool ours = false;
        checkpoint_choice found = {.step = steps[i]};
        checkpoint_kept *kept = &(*out)[*count];
        TRY(step_path(path, directory, steps[i]));
        if (examine(path, steps[i], fingerprint, &ours, &found) != ST_OK || !ours) continue;
        kept->step = steps[i];
        memcpy(kept->seal, found.seal, sizeof kept->seal);
        ++*count;
    }
done:
    free(steps);
    return st;
}

static status read_array(hid_t file, const checkpoint_array *a, const char *path) {
    status st;
    char where[PATH_SIZE + CHECKPOINT_NAME + 2];
    hsize_t shape[RANK_MAX];
    hid_t dataset = -1;
    TRY(check_array(a, path));
    snprintf(where, sizeof where, "%s: %s", path, a->name);
    shape_of(a, shape);
    TRY(hdf5_check(dataset = H5Dopen2(file, a->name, H5P_DEFAULT), ST_INTEGRITY, where, "open it"));
    TRY(hdf5_check_dataset(dataset, a->name, H5T_IEEE_F32LE, a->rank, shape, NULL, path));
    TRY(hdf5_check(H5Dread(dataset, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, a->at),
                   ST_INTEGRITY, where, "read it"));
done:
    if (dataset >= 0) H5Dclose(dataset);
    return st;
}

static status read_state(const char *path, const checkpoint_array *arrays, int64_t n_arrays,
                         checkpoint_scalar *scalars, int64_t n_scalars) {
    status st;
    hid_t file = -1;
    hdf5_lock();
    TRY(hdf5_open(path, &file));
    for (int64_t i = 0; i < n_arrays; i++) TRY(read_array(file, &arrays[i], path));
    for (int64_t i = 0; i < n_scalars; i++)
        TRY(hdf5_get_attribute(file, scalars[i].name, H5T_NATIVE_DOUBLE, 0, NULL, &scalars[i].value,
                               path));
done:
    if (file >= 0) H5Fclose(file);
    hdf5_unlock();
    return st;
}

status checkpoint_read(const char *directory, int64_t step, checkpoint_array *arrays,
                       int64_t n_arrays, checkpoint_scalar *scalars, int64_t n_scalars) {
    status st;
    char path[PATH_SIZE], state[PATH_SIZE];
    manifest m = {0};
    TRY(step_path(path, directory, step));
    TRY(read_manifest(path, step, &m));
    st = manifest_check_file(&m, path, 0);
    if (st != ST_OK)
        TRY(status_fail(st, "%.500s; remove %s and run again: the checkpoint before it is used",
                        status_message(), path));
    TRY(path_join(state, path, STATE));
    TRY(read_state(state, arrays, n_arrays, scalars, n_scalars));
done:
    manifest_free(&m);
    return st;
}

status checkpoint_write_arrays(const char *path, const checkpoint_array *arrays, int64_t n) {
    return write_state(path, arrays, n, NULL, 0);
}

status checkpoint_read_arrays(const char *path, const checkpoint_array *arrays, int64_t n) {
    return read_state(path, arrays, n, NULL, 0);
}

/* The arrays of an open group, as they are found. */
typedef struct group_list {
    const char *path;
    checkpoint_array *arrays;
    int64_t n, capacity;
    status st;
} group_list;

/* Shape and values of dataset `name` of a group as the next array of the list. */
static status add_array(hid_t group, const char *name, group_list *list) {
    status st = ST_OK;
    checkpoint_array *a = &list->arrays[list->n];
    hsize_t shape[RANK_MAX] = {0};
    hid_t dataset = -1, space = -1;
    int64_t count = 1;
    if (list->n == list->capacity || strlen(name) >= CHECKPOINT_NAME)
        TRY(status_fail(ST_INTEGRITY, "%s: array \"%.127s\" has no usable name", list->path, name));
    list->n++;
    snprintf(a->name, sizeof a->name, "%s", name);
    TRY(hdf5_check(dataset = H5Dopen2(group, name, H5P_DEFAULT), ST_INTEGRITY, list->path, name));
    TRY(hdf5_check(space = H5Dget_space(dataset), ST_INTEGRITY, list->path, name));
    a->rank = H5Sget_simple_extent_ndims(space);
    if (a->rank < 0 || a->rank > RANK_MAX)
        TRY(status_fail(ST_INTEGRITY, "%s: array \"%s\" has no usable shape", list->path, name));
    TRY(hdf5_check(H5Sget_simple_extent_dims(space, shape, NULL), ST_INTEGRITY, list->path, name));
    for (int k = 0; k < a->rank; k++) {
        a->shape[k] = (int64_t)shape[k];
        if (a->shape[k] < 1 || !size_mul(count, a->shape[k], &count))
            TRY(status_fail(ST_INTEGRITY, "%s: array \"%s\" has no usable shape", list->path,
                            name));
    }
    TRY(array_alloc(&a->at, count, sizeof *a->at, "an array"));
    H5Dclose(dataset);
    dataset = -1;
    TRY(read_array(group, a, list->path));
done:
    if (space >= 0) H5Sclose(space);
    if (dataset >= 0) H5Dclose(dataset);
    return st;
}

/* Callback of H5Literate(). */
static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *context) {
    group_list *list = context;
    (void)info;
    list->st = add_array(group, name, list);
    return list->st == ST_OK ? 0 : 1; /* 1: the walk ends */
}

status checkpoint_read_group(const char *path, const char *group, checkpoint_array **arrays,
                             int64_t *n) {
    status st;
    hid_t file = -1, at = -1;
    H5G_info_t info;
    group_list list = {.path = path};
    *arrays = NULL;
    *n = 0;
    hdf5_lock();
    TRY(hdf5_open(path, &file));
    if (H5Lexists(file, group, H5P_DEFAULT) <= 0) goto done;
    TRY(hdf5_check(at = H5Gopen2(file, group, H5P_DEFAULT), ST_INTEGRITY, path, "open a group"));
    TRY(hdf5_check(H5Gget_info(at, &info), ST_INTEGRITY, path, "read a group"));
    list.capacity = (int64_t)info.nlinks;
    TRY(array_alloc(&list.arrays, list.capacity, sizeof *list.arrays, "arrays of a file"));
    const int ended = H5Literate(at, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, &list);
    TRY(list.st);
    TRY(hdf5_check(ended, ST_INTEGRITY, path, "list a group"));
done:
    *arrays = list.arrays;
    *n = list.n;
    if (at >= 0) H5Gclose(at);
    if (file >= 0) H5Fclose(file);
    hdf5_unlock();
    return st;
}

void checkpoint_group_free(checkpoint_array *arrays, int64_t n) {
    for (int64_t i = 0; i < n; i++) free(arrays[i].at);
    free(arrays);
}
