/* Finds components by flood fill: a first pass measures all of them, a second one clears those that
 * are too small. */
#include "model/components.h"

#include "io/alloc.h"

#include <string.h>

typedef struct component {
    int64_t seed, size; /* a voxel of it; voxels */
} component;

/* A list that grows. */
typedef struct stack {
    int64_t *at;
    int64_t count, capacity;
} stack;

typedef struct component_list {
    component *at;
    int64_t count, capacity;
} component_list;

/* Makes room for `count` elements of `size` bytes each. Local. */
static status grow(void **at, int64_t *capacity, int64_t count, int64_t size) {
    int64_t more = *capacity > 0 ? *capacity : 512, bytes = 0;
    if (count <= *capacity) return ST_OK;
    while (more < count) more *= 2;
    void *memory = size_mul(more, size, &bytes) ? realloc(*at, (size_t)bytes) : NULL;
    if (!memory) return status_memory("components", bytes);
    *at = memory;
    *capacity = more;
    return ST_OK;
}

static status push(stack *s, int64_t voxel) {
    void *at = s->at;
    status st = grow(&at, &s->capacity, s->count + 1, sizeof *s->at);
    s->at = at;
    if (st == ST_OK) s->at[s->count++] = voxel;
    return st;
}

static status add(component_list *list, component c) {
    void *at = list->at;
    status st = grow(&at, &list->capacity, list->count + 1, sizeof *list->at);
    list->at = at;
    if (st == ST_OK) list->at[list->count++] = c;
    return st;
}

/* First and last of the coordinates next to x, in 0..n-1. */
static int64_t before(int64_t x) { return x > 0 ? x - 1 : 0; }
static int64_t after(int64_t x, int64_t n) { return x + 1 < n ? x + 1 : x; }

/* Visits the component of `seed`; *size = its voxels. seen[voxel]: visited voxels; NULL: the voxels
 * are set to 0 instead. Local. */
static status flood(uint8_t *labels, const int64_t shape[3], int64_t seed, uint8_t *seen, stack *s,
                    int64_t *size) {
    status st = ST_OK;
    const int64_t h = shape[1], w = shape[2];
    const uint8_t label = labels[seed];
    s->count = *size = 0;
    *(seen ? &seen[seed] : &labels[seed]) = seen != NULL;
    TRY(push(s, seed));
    while (s->count > 0) {
        const int64_t at = s->at[--s->count], z = at / (h * w), y = at / w % h, x = at % w;
        ++*size;
        for (int64_t k = before(z); k <= after(z, shape[0]); k++)
            for (int64_t j = before(y); j <= after(y, h); j++)
                for (int64_t i = before(x); i <= after(x, w); i++) {
                    const int64_t next = (k * h + j) * w + i;
                    if (labels[next] != label || (seen && seen[next])) continue;
                    *(seen ? &seen[next] : &labels[next]) = seen != NULL;
                    TRY(push(s, next));
                }
    }
done:
    return st;
}

status components_remove_small(uint8_t *labels, const int64_t shape[3], double share,
                               const bool keep_all[COMPONENT_LABELS],
                               int64_t removed[COMPONENT_LABELS]) {
    status st = ST_OK;
    int64_t largest[COMPONENT_LABELS] = {0}, voxels = 0, size = 0;
    uint8_t *seen = NULL;
    stack s = {0};
    component_list list = {0};
    if (removed) memset(removed, 0, COMPONENT_LABELS * sizeof *removed);
    if (!size_mul(shape[0], shape[1], &voxels) || !size_mul(voxels, shape[2], &voxels))
        TRY(status_fail(ST_INTERNAL, "a label map is too large"));
    TRY(array_alloc(&seen, voxels, 1, "components"));
    for (int64_t i = 0; i < voxels; i++) {
        const uint8_t label = labels[i];
        if (label == 0 || seen[i] || (keep_all && keep_all[label])) continue;
        TRY(flood(labels, shape, i, seen, &s, &size));
        TRY(add(&list, (component){.seed = i, .size = size}));
        if (size > largest[label]) largest[label] = size;
    }
    for (int64_t c = 0; c < list.count; c++) {
        const uint8_t label = labels[list.at[c].seed];
        if ((double)list.at[c].size >= share * (double)largest[label]) continue;
        TRY(flood(labels, shape, list.at[c].seed, NULL, &s, &size));
        if (removed) removed[label]++;
    }
done:
    free(seen);
    free(s.at);
    free(list.at);
    return st;
}
