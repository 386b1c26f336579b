/* The list of volumes of a store as JSON, and the checks that writer and reader share. */
#include "io/store_detail.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Pixels of a slice: HDF5 limits a chunk, here a slice of int16, to less than 4 GiB. */
#define SLICE_MAX (INT64_C(1) << 30)

enum { VOLUMES_MAX = 1 << 20 };

void store_shard_name(int64_t shard, char out[SHARD_NAME]) {
    snprintf(out, SHARD_NAME, "shard-%05" PRId64 ".h5", shard);
}

static bool id_is_good(const char *id) {
    size_t length = strnlen(id, VOLUME_ID);
    if (length == 0 || length >= VOLUME_ID || strcmp(id, ".") == 0 || strstr(id, ".."))
        return false;
    for (const char *at = id; *at; at++)
        if (*at <= ' ' || *at > '~' || *at == '/' || *at == '\\') return false;
    return true;
}

static bool all_finite(const double *x, int n) {
    for (int i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static status check_entry(const store_entry *e, status code, const char *where) {
    int64_t voxels = 0;
    const geometry *g = &e->space;
    if (!id_is_good(e->id))
        return status_fail(code, "%s: \"%.64s\" cannot be the name of a volume", where, e->id);
    if (geometry_voxels(g, &voxels) != ST_OK || g->shape[1] * g->shape[2] > SLICE_MAX)
        return status_fail(code,
                           "%s: volume %s: no usable shape: %" PRId64 " x %" PRId64 " x %" PRId64,
                           where, e->id, g->shape[0], g->shape[1], g->shape[2]);
    if (!all_finite(g->spacing, 3) || !all_finite(g->origin, 3) || !all_finite(g->direction, 9))
        return status_fail(code, "%s: volume %s: its geometry is not finite", where, e->id);
    for (int k = 0; k < 3; k++)
        if (g->spacing[k] <= 0)
            return status_fail(code, "%s: volume %s: spacing %g mm", where, e->id, g->spacing[k]);
    if (e->contrast != 0 && e->contrast != 1)
        return status_fail(code, "%s: volume %s: contrast is %d, neither 0 nor 1", where, e->id,
                           e->contrast);
    if ((unsigned)e->traits.kernel >= KERNEL_CLASSES || (unsigned)e->traits.body >= BODY_PARTS)
        return status_fail(code, "%s: volume %s: no class of kernel %d or part of the body %d",
                           where, e->id, (int)e->traits.kernel, (int)e->traits.body);
    return ST_OK;
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static status check_unique(const store_entry *entries, int64_t count, status code,
                           const char *where) {
    status st;
    const char **ids = NULL;
    TRY(array_alloc(&ids, count, sizeof *ids, "volume names"));
    for (int64_t i = 0; i < count; i++) ids[i] = entries[i].id;
    qsort(ids, (size_t)count, sizeof *ids, compare_ids);
    for (int64_t i = 1; i < count; i++)
        if (strcmp(ids[i - 1], ids[i]) == 0)
            TRY(status_fail(code, "%s: two volumes are named %s", where, ids[i]));
done:
    free(ids);
    return st;
}

static status check_labels(const label_set *labels, status code, const char *where) {
    if (labels->count < 1 || labels->count > LABELS_MAX)
        return status_fail(code,
                           "%s: %d labels; a store holds 1 to %d (background and at most %d "
                           "structures)",
                           where, labels->count, LABELS_MAX, STRUCTURES_MAX);
    for (int i = 0; i < labels->count; i++) {
        size_t length = strnlen(labels->name[i], LABEL_NAME);
        if (length == 0 || length >= LABEL_NAME)
            return status_fail(code, "%s: label %d has no name or too long a one", where, i);
    }
    if (strcmp(labels->name[0], "background") != 0)
        return status_fail(code, "%s: label 0 is \"%s\", not \"background\"", where,
                           labels->name[0]);
    return ST_OK;
}

status store_detail_check(const store_entry *entries, int64_t count, const label_set *labels,
                          status code, const char *where) {
    status st;
    if (count < 0 || count > VOLUMES_MAX)
        TRY(status_fail(code, "%s: %" PRId64 " volumes; at most %d are possible", where, count,
                        VOLUMES_MAX));
    TRY(check_labels(labels, code, where));
    for (int64_t i = 0; i < count; i++) {
        int64_t shard = entries[i].shard, before = i > 0 ? entries[i - 1].shard : 0;
        TRY(check_entry(&entries[i], code, where));
        if (shard != before && !(i > 0 && shard == before + 1))
            TRY(status_fail(code, "%s: volume %s: out of order in shard %" PRId64, where,
                            entries[i].id, shard));
    }
    TRY(check_unique(entries, count, code, where));
done:
    return st;
}

static json_t *numbers(const double *x, int n) {
    json_t *list = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(list, json_real(x[i]));
    return list;
}

static json_t *entry_to_json(const store_entry *e) {
    const geometry *g = &e->space;
    const char *kernel = kernel_class_word(e->traits.kernel),
               *body = body_part_word(e->traits.body);
    return json_pack("{s:s, s:[I, I, I], s:o, s:o, s:o, s:i, s:b, s:s*, s:s*, s:I}", "id", e->id,
                     "shape", (json_int_t)g->shape[0], (json_int_t)g->shape[1],
                     (json_int_t)g->shape[2], "spacing", numbers(g->spacing, 3), "origin",
                     numbers(g->origin, 3), "direction", numbers(g->direction, 9), "contrast",
                     e->contrast, "labelled", !e->unlabelled, "kernel", kernel[0] ? kernel : NULL,
                     "body", body[0] ? body : NULL, "shard", (json_int_t)e->shard);
}

/* Label values that occur in each volume. NULL if out of memory. New reference. */
static json_t *structures_to_json(const store_entry *entries, int64_t count) {
    json_t *all = json_array();
    for (int64_t i = 0; i < count; i++) {
        json_t *list = json_array();
        for (int k = 1; k < LABELS_MAX; k++)
            if (store_has_structure(&entries[i], k)) json_array_append_new(list, json_integer(k));
        if (json_array_append_new(all, list) != 0) {
            json_decref(all);
            return NULL;
        }
    }
    return all;
}

static status structures_from_json(const json_t *all, store_entry *entries, int64_t count,
                                   int labels, const char *where) {
    if (!all) return ST_OK;
    if (!json_is_array(all) || (int64_t)json_array_size(all) != count)
        return status_fail(ST_INTEGRITY, "%s: \"structures\" is no list of %" PRId64, where, count);
    for (int64_t i = 0; i < count; i++) {
        const json_t *list = json_array_get(all, (size_t)i);
        bool good = json_is_array(list);
        for (size_t k = 0; k < json_array_size(list); k++) {
            const json_t *value = json_array_get(list, k);
            const json_int_t label = json_integer_value(value);
            good = good && json_is_integer(value) && label > 0 && label < labels;
            if (good) entries[i].structures[label / 64] |= UINT64_C(1) << (label % 64);
        }
        if (!good)
            return status_fail(ST_INTEGRITY, "%s: volume %s: a broken list of structures", where,
                               entries[i].id);
    }
    return ST_OK;
}

status store_detail_make(const store_entry *entries, int64_t count, const label_set *labels,
                         const json_t *provenance, json_t **out) {
    status st = ST_OK;
    json_t *names = json_array(), *volumes = json_array(), *origin = NULL;
    json_t *structures = structures_to_json(entries, count);
    *out = NULL;
    for (int i = 0; i < labels->count; i++)
        if (json_array_append_new(names, json_string(labels->name[i])) != 0)
            TRY(status_fail(ST_INPUT, "label %d has a name that is no UTF-8 text", i));
    for (int64_t i = 0; i < count; i++)
        if (json_array_append_new(volumes, entry_to_json(&entries[i])) != 0)
            TRY(status_memory("a list of volumes", 0));
    if (provenance && !(origin = json_deep_copy(provenance)))
        TRY(status_memory("a store's provenance", 0));
    if (!structures) TRY(status_memory("a list of volumes", 0));
    *out = json_pack("{s:O, s:O, s:O, s:O*}", "labels", names, "volumes", volumes, "structures",
                     structures, "provenance", origin);
    if (!*out) TRY(status_memory("a list of volumes", 0));
done:
    json_decref(origin);
    json_decref(structures);
    json_decref(volumes);
    json_decref(names);
    return st;
}

static bool read_numbers(const json_t *list, double *x, size_t n) {
    if (!json_is_array(list) || json_array_size(list) != n) return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *number = json_array_get(list, i);
        if (!json_is_number(number)) return false;
        x[i] = json_number_value(number);
    }
    return true;
}

static status entry_from_json(json_t *item, store_entry *e, const char *where) {
    const char *id = "", *kernel = "", *body = "";
    json_int_t shape[3], shard;
    json_t *spacing, *origin, *direction;
    json_error_t error;
    int labelled = 1;
    if (json_unpack_ex(item, &error, JSON_STRICT,
                       "{s:s, s:[I, I, I!], s:o, s:o, s:o, s:i, s?b, s?s, s?s, s:I}", "id", &id,
                       "shape", &shape[0], &shape[1], &shape[2], "spacing", &spacing, "origin",
                       &origin, "direction", &direction, "contrast", &e->contrast, "labelled",
                       &labelled, "kernel", &kernel, "body", &body, "shard", &shard) != 0)
        return status_fail(ST_INTEGRITY, "%s: a broken entry in \"volumes\": %s", where,
                           error.text);
    if (strlen(id) >= sizeof e->id || !read_numbers(spacing, e->space.spacing, 3) ||
        !read_numbers(origin, e->space.origin, 3) ||
        !read_numbers(direction, e->space.direction, 9))
        return status_fail(ST_INTEGRITY, "%s: volume %.64s: broken name or geometry", where, id);
    e->traits = (scan_traits){.kernel = kernel_class_of(kernel), .body = body_part_of(body)};
    if (strcmp(kernel, kernel_class_word(e->traits.kernel)) != 0 ||
        strcmp(body, body_part_word(e->traits.body)) != 0)
        return status_fail(ST_INTEGRITY,
                           "%s: volume %.64s: unknown class of kernel or part of the "
                           "body",
                           where, id);
    snprintf(e->id, sizeof e->id, "%s", id);
    for (int k = 0; k < 3; k++) e->space.shape[k] = shape[k];
    e->unlabelled = !labelled;
    e->shard = shard;
    return ST_OK;
}

static status labels_from_json(const json_t *names, label_set *labels, const char *where) {
    *labels = (label_set){0};
    if (!json_is_array(names) || json_array_size(names) > LABELS_MAX)
        return status_fail(ST_INTEGRITY, "%s: \"labels\" is no list of at most %d names", where,
                           LABELS_MAX);
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || strlen(name) >= LABEL_NAME)
            return status_fail(ST_INTEGRITY, "%s: label %zu has no name or too long a one", where,
                               i);
        snprintf(labels->name[i], LABEL_NAME, "%s", name);
        labels->count++;
    }
    return ST_OK;
}

status store_detail_read(const json_t *detail, const char *where, store_entry **entries,
                         int64_t *count, label_set *labels) {
    status st;
    const json_t *volumes = json_object_get(detail, "volumes");
    store_entry *list = NULL;
    int64_t n = (int64_t)json_array_size(volumes);
    *entries = NULL;
    *count = 0;
    if (!json_is_array(volumes) || n > VOLUMES_MAX)
        TRY(status_fail(ST_INTEGRITY, "%s: \"volumes\" is no list of at most %d", where,
                        VOLUMES_MAX));
    TRY(labels_from_json(json_object_get(detail, "labels"), labels, where));
    TRY(array_alloc(&list, n, sizeof *list, "a list of volumes"));
    for (int64_t i = 0; i < n; i++)
        TRY(entry_from_json(json_array_get(volumes, (size_t)i), &list[i], where));
    TRY(store_detail_check(list, n, labels, ST_INTEGRITY, where));
    TRY(structures_from_json(json_object_get(detail, "structures"), list, n, labels->count, where));
    *entries = list;
    *count = n;
    list = NULL;
done:
    free(list);
    return st;
}
