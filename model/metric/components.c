/* Union of sets in one pass over the voxels, numbers in a second one. */
#include "model/metric/components.h"
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

/* The set of a voxel: the union of those of its 13 neighbours that come before it, or 0. */
static int32_t joined_neighbours(const int32_t *number, const int64_t shape[3], int64_t z,
                                 int64_t y, int64_t x, int32_t *parent) {
    int32_t set = 0;
    for (int64_t dz = -1; dz <= 0; dz++)
        for (int64_t dy = -1; dy <= 1; dy++)
            for (int64_t dx = -1; dx <= 1; dx++) {
                if (dz * 9 + dy * 3 + dx >= 0) continue; /* does not come before */
                int64_t nz = z + dz, ny = y + dy, nx = x + dx;
                if (nz < 0 || ny < 0 || ny >= shape[1] || nx < 0 || nx >= shape[2]) continue;
                int32_t other = number[(nz * shape[1] + ny) * shape[2] + nx];
                if (other > 0) set = set > 0 ? join(parent, set, other) : other;
            }
    return set;
}

/* *voxels of the volume, *labelled of the label. */
static status check(const uint8_t *volume, const int64_t shape[3], int label, int64_t *voxels,
                    int64_t *labelled) {
    *voxels = 1;
    *labelled = 0;
    for (int axis = 0; axis < 3; axis++) {
        if (shape[axis] < 1)
            return status_fail(ST_INPUT, "components in a volume of size %" PRId64 ", axis %d",
                               shape[axis], axis);
        if (!size_mul(*voxels, shape[axis], voxels)) return status_memory("components", INT64_MAX);
    }
    for (int64_t i = 0; i < *voxels; i++) *labelled += volume[i] == label;
    if (*labelled >= INT32_MAX)
        return status_fail(ST_INPUT, "components of a label of %" PRId64 " voxels: too many",
                           *labelled);
    return ST_OK;
}

status components_find(const uint8_t *volume, const int64_t shape[3], int label, int32_t *number,
                       components *out) {
    status st = ST_OK;
    int32_t *parent = NULL, sets = 0;
    int64_t voxels = 0, labelled = 0, i = 0;
    *out = (components){0};
    TRY(check(volume, shape, label, &voxels, &labelled));
    TRY(array_alloc(&parent, labelled + 1, sizeof *parent, "components"));
    for (int64_t z = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, i++) {
                number[i] = 0;
                if (volume[i] != label) continue;
                int32_t set = joined_neighbours(number, shape, z, y, x, parent);
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

void components_free(components *c) {
    free(c->size);
    *c = (components){0};
}

void components_overlap(const components *c, const int32_t *number, const uint8_t *other, int64_t n,
                        int label, int64_t *overlap) {
    memset(overlap, 0, (size_t)c->count * sizeof *overlap);
    for (int64_t i = 0; i < n; i++)
        if (number[i] > 0 && other[i] == label) overlap[number[i] - 1]++;
}
