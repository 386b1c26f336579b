/* Union of sets in one pass over the voxels, numbers in a second one; for one label or for several
 * at once. */
#include "model/components.h"
#include "io/alloc.h"

#include <inttypes.h>
#include <string.h>

/* The root of a set, which is its smallest member; shortens the path to it. */
static int32_t root(int32_t *parent, int32_t of) {
    while (parent[of] != of) {
        parent[of] = parent[parent[of]];
        of = parent[of];
    }
    return of;
}

/* Joins two sets; returns the root of the union. */
static int32_t join(int32_t *parent, int32_t a, int32_t b) {
    a = root(parent, a);
    b = root(parent, b);
    if (a < b)
        parent[b] = a;
    else
        parent[a] = b;
    return a < b ? a : b;
}

/* The set of voxel i at z, y, x: the union of those of its 13 neighbours that come before it and
 * have its label, or 0. */
static int32_t joined_neighbours(const uint8_t *volume, const int32_t *number,
                                 const int64_t shape[3], int64_t i, int64_t z, int64_t y, int64_t x,
                                 int32_t *parent) {
    int32_t set = 0;
    for (int64_t dz = -1; dz <= 0; dz++)
        for (int64_t dy = -1; dy <= 1; dy++)
            for (int64_t dx = -1; dx <= 1; dx++) {
                if (dz * 9 + dy * 3 + dx >= 0) continue; /* does not come before */
                int64_t nz = z + dz, ny = y + dy, nx = x + dx;
                if (nz < 0 || ny < 0 || ny >= shape[1] || nx < 0 || nx >= shape[2]) continue;
                const int64_t other = (nz * shape[1] + ny) * shape[2] + nx;
                if (volume[other] != volume[i]) continue;
                set = set > 0 ? join(parent, set, number[other]) : number[other];
            }
    return set;
}

/* *voxels of the volume, *labelled of the wanted labels. */
static status check(const uint8_t *volume, const int64_t shape[3],
                    const bool wanted[COMPONENT_LABELS], int64_t *voxels, int64_t *labelled) {
    *voxels = 1;
    *labelled = 0;
    for (int axis = 0; axis < 3; axis++) {
        if (shape[axis] < 1)
            return status_fail(ST_INPUT, "components in a volume of size %" PRId64 ", axis %d",
                               shape[axis], axis);
        if (!size_mul(*voxels, shape[axis], voxels)) return status_memory("components", INT64_MAX);
    }
    for (int64_t i = 0; i < *voxels; i++) *labelled += wanted[volume[i]];
    if (*labelled >= INT32_MAX)
        return status_fail(ST_INPUT, "components of labels of %" PRId64 " voxels: too many",
                           *labelled);
    return ST_OK;
}

/* components_find() for all voxels of the wanted labels. Local. */
static status find(const uint8_t *volume, const int64_t shape[3],
                   const bool wanted[COMPONENT_LABELS], int32_t *number, components *out) {
    status st = ST_OK;
    int32_t *parent = NULL, sets = 0;
    int64_t voxels = 0, labelled = 0, i = 0;
    *out = (components){0};
    TRY(check(volume, shape, wanted, &voxels, &labelled));
    TRY(array_alloc(&parent, labelled + 1, sizeof *parent, "components"));
    for (int64_t z = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, i++) {
                number[i] = 0;
                if (!wanted[volume[i]]) continue;
                int32_t set = joined_neighbours(volume, number, shape, i, z, y, x, parent);
                if (set == 0) {
                    set = ++sets;
                    parent[set] = set;
                }
                number[i] = set;
            }
    /* Roots are the smallest members: in ascending order each set's parent has its number already.
     */
    for (int32_t set = 1; set <= sets; set++)
        parent[set] = parent[set] == set ? (int32_t)++out->count : parent[parent[set]];
    TRY(array_alloc(&out->size, out->count, sizeof *out->size, "components"));
    for (i = 0; i < voxels; i++) {
        if (number[i] == 0) continue;
        number[i] = parent[number[i]];
        out->size[number[i] - 1]++;
    }
done:
    if (st != ST_OK) components_free(out);
    free(parent);
    return st;
}

status components_find(const uint8_t *volume, const int64_t shape[3], int label, int32_t *number,
                       components *out) {
    bool wanted[COMPONENT_LABELS] = {false};
    if (label >= 0 && label < COMPONENT_LABELS) wanted[label] = true;
    return find(volume, shape, wanted, number, out);
}

void components_free(components *c) {
    free(c->size);
    *c = (components){0};
}

status components_remove_small(uint8_t *labels, const int64_t shape[3], double share,
                               const bool keep_all[COMPONENT_LABELS],
                               int64_t removed[COMPONENT_LABELS]) {
    status st = ST_OK;
    bool wanted[COMPONENT_LABELS];
    int64_t largest[COMPONENT_LABELS] = {0}, voxels = 0;
    int32_t *number = NULL;
    components c = {0};
    for (int k = 0; k < COMPONENT_LABELS; k++) wanted[k] = k > 0 && !(keep_all && keep_all[k]);
    if (removed) memset(removed, 0, COMPONENT_LABELS * sizeof *removed);
    if (!size_mul(shape[0], shape[1], &voxels) || !size_mul(voxels, shape[2], &voxels))
        TRY(status_memory("components", INT64_MAX));
    TRY(array_alloc(&number, voxels, sizeof *number, "components"));
    TRY(find(labels, shape, wanted, number, &c));
    for (int64_t i = 0; i < voxels; i++)
        if (number[i] > 0 && c.size[number[i] - 1] > largest[labels[i]])
            largest[labels[i]] = c.size[number[i] - 1];
    for (int64_t i = 0; i < voxels; i++) {
        if (number[i] == 0) continue;
        int64_t *size = &c.size[number[i] - 1]; /* 0: removed, and counted */
        if ((double)*size >= share * (double)largest[labels[i]]) continue;
        if (removed && *size > 0) removed[labels[i]]++;
        *size = 0;
        labels[i] = 0;
    }
done:
    components_free(&c);
    free(number);
    return st;
}
