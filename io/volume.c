/* Volumes and label sets. Shapes may come from files: they are checked before memory is
 * allocated. */
#include "io/volume.h"

#include <inttypes.h>
#include <string.h>

enum { VOXELS_LOG2_MAX = 40 };

_Static_assert(LABELS_MAX == UINT8_MAX + 1, "every u8 value can be a label");

status geometry_voxels(const geometry *space, int64_t *voxels) {
    const int64_t *shape = space->shape;
    int64_t n = 1;
    for (int axis = 0; axis < 3; axis++)
        if (shape[axis] < 1 || !size_mul(n, shape[axis], &n) || n > INT64_C(1) << VOXELS_LOG2_MAX)
            return status_fail(ST_INPUT,
                               "a volume of %" PRId64 " x %" PRId64 " x %" PRId64
                               " voxels (z y x): every side must be at least 1 and all together at "
                               "most 2^%d",
                               shape[0], shape[1], shape[2], VOXELS_LOG2_MAX);
    *voxels = n;
    return ST_OK;
}

status volume_alloc(volume *v) {
    status st;
    int64_t voxels = 0;
    v->hu = NULL;
    v->labels = NULL;
    TRY(geometry_voxels(&v->space, &voxels));
    TRY(array_alloc(&v->hu, voxels, sizeof *v->hu, "the HU of a volume"));
    TRY(array_alloc(&v->labels, voxels, sizeof *v->labels, "the labels of a volume"));
done:
    if (st != ST_OK) volume_free(v);
    return st;
}

void volume_free(volume *v) {
    free(v->hu);
    free(v->labels);
    v->hu = NULL;
    v->labels = NULL;
}

int label_max(const uint8_t *labels, int64_t n) {
    int max = 0;
    for (int64_t k = 0; k < n; k++) max = labels[k] > max ? labels[k] : max;
    return max;
}

int label_find(const label_set *set, const char *name) {
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->name[i], name) == 0) return i;
    return -1;
}
